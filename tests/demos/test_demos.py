"""Every demo runs, headless and briefly."""

import importlib.util
import math
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "demos"
BRIEF = {
    "quickstart": lambda out: {"iterations": 2, "anchors": 2, "fine": 1, "out_dir": out, "compile": False},
    "fly_quadrotor": lambda out: {"episodes": 1, "video": out / "film.gif"},
    "ride_bicycles": lambda out: {"episodes": 1, "video": out / "bicycles.gif"},
    "new_problem": lambda out: {"time_budget": "2s", "states": 2, "out_dir": out, "compile": False},
    "classical": lambda out: {"states": 2, "mpc_states": 1, "out_dir": out},
    "compare": lambda out: {"methods": ("ppo",), "seconds": 1.5, "policies": out, "video": out / "film.gif"},
    "anchors": lambda out: {"time_budget": "0.6s", "compile": False, "small": True, "out_dir": out},
    "widths": lambda out: {
        "widths": (0.1,),
        "anchors": 2,
        "teaching": 3,
        "time_budget": "0.6s",
        "states": 2,
        "mpc_states": 1,
        "compile": False,
        "out_dir": out,
    },  # fmt: skip
    "families": lambda out: {"candidates": 2, "members": (1,), "states": 2, "out_dir": out},
    "gallery": lambda out: {
        "problems": ("double_integrator",),
        "states": 2,
        "time_budget": "5s",
        "out_dir": out,
    },  # fmt: skip
    "external_mujoco": lambda out: {"states": 1, "every": 80, "plants": ("exact", "drag 0.05"), "out_dir": out},
    "external_highway": lambda out: {"states": 1, "out_dir": out},
    "external_crazyflow": lambda out: {"checkpoint": "lqr", "states": 2, "film": False, "out_dir": out},
    "cures": lambda out: {
        "cures": ("one application of T",),
        "seeds": 1,
        "iterations": 1,
        "compile": False,
        "out_dir": out,
    },  # fmt: skip
    "figures": lambda out: {"out": out},
    "gpu": lambda out: {"device": "cpu", "quick": True, "out_dir": out},
    "growth": lambda out: {"repeat": 1, "brief": True, "out_dir": out},
    "reproduce": lambda out: {"out": out},
    "optima": lambda out: {"rows": ("double_integrator",), "scale": 0.2, "checked": 2, "out_dir": out},
    "networks": lambda out: {
        "problems": ("double_integrator",),
        "states": 2,
        "time_budget": "5s",
        "network": "1s",
        "out_dir": out,
    },  # fmt: skip
    "sweeps": lambda out: {"problems": ("van_der_pol",), "states": 2, "seconds": 20.0, "out_dir": out},
    "consumption": lambda out: {"households": (4,), "batch": 2, "few": (), "runs": 1, "out_dir": out},
    "swarm": lambda out: {
        "problem": "swarm5",
        "states": 1,
        "many": 2,
        "width": 120,
        "out_dir": out,
        "checkpoint": out / "policy",
    },  # fmt: skip
    "compiling": lambda out: {"problems": ("moon",), "batch": 2, "compile": False, "out_dir": out},
    "speed": lambda out: {"envs": 64, "runs": 2, "training": False},
}


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_sweeps_without_an_optimum_in_the_time(tmp_path, capsys):
    told = loaded("sweeps").main(problems=("van_der_pol",), states=2, seconds=1e-9, out_dir=tmp_path)
    assert all(math.isnan(way["worst"]) for way in told["van_der_pol"].values()) and "nan" in capsys.readouterr().out


def test_every_demo_has_a_brief_form():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(BRIEF)


LONG = (
    "anchors", "classical", "cures", "families", "figures", "gpu", "growth", "new_problem", "speed", "swarm", "sweeps",
    "widths",
)  # fmt: skip
"""Those that take more than ten seconds, however brief."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in sorted(BRIEF)])
def test_demo(name, tmp_path, capsys):
    if name == "external_crazyflow":
        pytest.importorskip("crazyflow", reason='pip install "pontryagin[crazyflow]", which no other extra brings')
    module = loaded(name)
    module.main(**BRIEF[name](tmp_path))
    assert capsys.readouterr().out
    if name == "quickstart":
        assert {"flights.png", "training.png", "quadrotor.gif", "table.json"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("name", "states", "gap", "terminal_error"),
    [
        ("quadrotor", 128, 0.002, 0.05),
        ("quadrotor_wide", 128, 0.01, 0.1),
        ("quadrotor_robust", 128, 0.04, 0.05),
        ("bicycle5", 128, 0.01, 0.01),
        ("bicycle5_continuous", 128, 0.10, 0.1),
        ("bicycle100", 4, 0.15, 0.2),
        ("crazyflie", 128, 0.005, 0.02),
    ],
)
def test_shipped_policies_are_near_the_optimum(name, states, gap, terminal_error):
    """The checkpoints in the package against the stored optima of their own problems."""
    from pontryagin import ImplicitPolicy
    from pontryagin.controllers.optimum import known_reference
    from pontryagin.training.commands.evaluate import measure

    policy = ImplicitPolicy.load(name, device="cpu")
    flown = measure(policy.problem, policy, states, 0)
    figures, best = flown.summary(), known_reference(policy.problem, flown.trajectory.z[0])
    assert best is not None  # those of a hundred have not converged: the best that is known
    assert flown.cost.mean() <= (1 + gap) * best.cost.mean() and figures["terminal_error_worst"] <= terminal_error
    # forces of a tenth of a newton: float32 leaves more of ∇_u H there
    assert figures["residual_999"] <= (1e-3 if name == "crazyflie" else 1e-6) and figures["success_rate"] == 1.0


def test_the_quickstart_may_be_run_again(tmp_path, monkeypatch):
    """Its folders hold the runs of the last time then; they are its own."""
    module = loaded("quickstart")
    seen = []

    def train(problem, config):
        seen.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", train)
    with pytest.raises(KeyboardInterrupt):
        module.main(out_dir=tmp_path)
    assert seen[0].fresh and not seen[0].resume
