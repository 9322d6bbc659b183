"""From a class to a controller: the stages, what they keep, and what is refused."""

import dataclasses
import json

import pytest
import torch

import pontryagin
from pontryagin import ImplicitPolicy, Problem, evaluate, solve
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.training.commands.cli import main


@dataclasses.dataclass(frozen=True)
class Pendulum(Problem):
    """A stranger's: it swings up with limited torque, and nothing of it is known here."""

    state_dim: int = 2
    control_dim: int = 1
    horizon: float = 3.0
    steps: int = 30
    control_low: float = -6.0
    control_high: float = 6.0

    def dynamics(self, t, z, u):
        return torch.cat([z[..., 1:], 9.81 * torch.sin(z[..., :1]) + u], -1)

    def running_cost(self, t, z, u):
        return 0.05 * (u**2).sum(-1) + 1 - torch.cos(z[..., 0]) + 0.05 * z[..., 1] ** 2

    def terminal_cost(self, z):
        return 20 * (1 - torch.cos(z[..., 0])) + 5 * z[..., 1] ** 2

    def sample_initial_state(self, batch, generator=None):
        return torch.tensor([torch.pi, 0.0]) + 0.3 * torch.randn(batch, 2, generator=generator)


def test_linear_quadratic_is_exact_at_once(tmp_path):
    found = solve(DoubleIntegrator(), "60s", out=tmp_path, states=16)
    assert found.gap.max() < 1e-8 and found.optima.converged.all()
    assert len(found.history) == 1 and "expansions" in str(found.history[0]["stage"])
    again = ImplicitPolicy.load(tmp_path)
    z0 = found.optima.z[0]
    torch.testing.assert_close(evaluate(again.problem, again, z0).cost, found.cost)


def test_a_strangers_swing_up_beats_linear_feedback():
    found = solve(Pendulum(), "90s", gap=0.02, states=32)
    gap = found.gap[~found.gap.isnan()]
    assert len(gap) >= 30 and gap.mean() < 0.02
    assert found.cost.mean() < found.linear_cost.mean()
    assert "fresh states" in found.report and f"{float(gap.mean()):.2%}" in found.report


def test_time_that_is_up_leaves_a_policy():
    found = solve(Pendulum(), 1.0, states=4)
    assert found.cost.isfinite().all() and len(found.history) >= 1


def test_fresh_states_follow_the_seed():
    one, two, other = (solve(DoubleIntegrator(), "30s", seed=seed, states=4).optima.z[0] for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_the_command_ends_in_the_gap(tmp_path, capsys):
    main(["solve", "double_integrator", "--states", "8", "--time-budget", "30s", "--out-dir", str(tmp_path)])
    assert "above the optimum, 8 fresh states" in capsys.readouterr().out
    record = json.loads((tmp_path / "solved.json").read_text())
    assert len(record["gap"]) == 8 and max(record["gap"]) < 1e-8 and record["hamiltonian"] in ("held", "continuous")
    assert (tmp_path / "trajectory.png").stat().st_size > 1000 and (tmp_path / "policy.json").exists()


@pytest.mark.parametrize(
    ("options", "message"), [({"time_budget": "soon"}, "time"), ({"states": 0}, "states"), ({"gap": -1}, "gap")]
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        pontryagin.solve(DoubleIntegrator(), **options)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="out"):
        solve(DoubleIntegrator(), "30s", out=tmp_path / "taken")
