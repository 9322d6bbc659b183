"""How far from the optimum, as the initial states spread: anchored, anchored and trained, trained from random, MPC.

Writes figures.json (after every width; a second call goes on) and widths.png to results/widths/.
"""

import dataclasses
import time
from pathlib import Path

import torch
import tyro

import pontryagin
from pontryagin.envs.files import read_json, write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.duration import seconds
from pontryagin.training.pictures.plots import curves_figure
from pontryagin.training.recipes import recipe
from pontryagin.training.train import make_policy, make_value


def study(problem, config, time_budget: float, states: int, mpc_states: int) -> dict[str, dict[str, float]]:
    """The figures of each method on the same states; the three that learn have the same time, the anchored one less."""
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(0))
    optimum, begin, figures = pontryagin.solve_reference(problem, z0).cost, time.monotonic(), {}

    def note(name, controller, count=states):
        result = pontryagin.evaluate(problem, controller, z0[:count], optimum[:count])
        figures[name] = result.summary() | {"minutes": (time.monotonic() - begin) / 60}

    value = make_value(problem, config)
    note("anchored", make_policy(problem, value, config))
    note("anchored + JFB", pontryagin.train(problem, dataclasses.replace(config, time_budget=time_budget), value)[0])
    spent, begin = figures["anchored + JFB"]["minutes"], time.monotonic()
    fresh = dataclasses.replace(config, anchor="none", time_budget=60 * spent, learning_rate=1e-2)
    note("random + JFB", pontryagin.train(problem, fresh)[0])
    begin = time.monotonic()
    note("MPC", pontryagin.RecedingHorizon(problem), mpc_states)
    return figures


def main(
    widths: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0), anchors: int = 1000, teaching: int = 8000,
    time_budget: str = "1.5m", states: int = 128, mpc_states: int = 8, compile: bool = True,
    out_dir: Path = Path("results/widths"),
) -> dict[str, dict[str, dict[str, float]]]:  # fmt: skip
    """Train and fly the quadrotor from rho_0 of several widths.

    Args:
        widths: standard deviations of position and angles at the start.
        anchors: optima distilled into the network, at each width.
        teaching: steps of Adam that do it.
        time_budget: of JFB after that; from random weights it gets all the time that the anchored one took.
        states: initial states of the comparison.
        mpc_states: of them, how many MPC flies.
        compile: compile the training step.
        out_dir: where results go.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / "figures.json"
    figures = read_json(path) if path.exists() else {}
    options = {"anchors": anchors, "teaching": teaching, "time_budget": seconds(time_budget), "states": states}
    if figures.setdefault("options", options) != options:
        raise ValueError(f"{path} was made with {figures['options']}, not {options}; move it away first")
    config = dataclasses.replace(
        recipe("quadrotor_wide"), anchors=anchors, distill_iterations=teaching, compile=compile,
        learning_rate=recipe("quadrotor_wide", taught=False).learning_rate, width=128 if compile else 16,
    )  # fmt: skip
    for width in widths:
        if str(width) not in figures:
            problem = pontryagin.Quadrotor(initial_scale=width)
            figures[str(width)] = study(problem, config, seconds(time_budget), states, mpc_states)
            write_json(path, figures)
        for name, row in figures[str(width)].items():
            row_text = f"gap {row['gap_mean']:.2%} mean, {row['gap_median']:.2%} median, {row['gap_worst']:.1%} worst"
            PlainConsole().print(
                f"width {width:<5} {name:15} {row_text}, {row['minutes']:.1f} minutes", highlight=False
            )
    colors = {"random + JFB": "k", "anchored": "C1", "anchored + JFB": "C0"}  # MPC's gap is 0 to plotting accuracy
    curves = {
        f"{name}, {key[4:]}": (widths, [100 * figures[str(width)][name][key] for width in widths], f"o{dash}{color}")
        for name, color in colors.items()
        for key, dash in (("gap_mean", "-"), ("gap_median", ":"))
    }
    across = "standard deviation of the initial position and angles"
    curves_figure(curves, out_dir / "widths.png", across, "gap to the optimum, %", log=True)
    return figures


if __name__ == "__main__":
    tyro.cli(main)
