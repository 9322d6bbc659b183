"""What holds the training of bicycles under the continuous Hamiltonian: all cures, and the same without each.

Writes figures.json (after every run; a second call goes on) and cures.png to results/cures/.
"""

import dataclasses
from pathlib import Path

import matplotlib.figure
import tyro
from torch import Tensor

import pontryagin
from pontryagin.controllers.optimum.store import known_reference
from pontryagin.envs.files import read_json, write_json
from pontryagin.envs.states import draw_states
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.plots import plain_ticks, save_figure, tidy
from pontryagin.training.recipes import recipe

CURES = {
    "all cures": {},
    "no price on held bounds": {"bound_penalty": 0.0},
    "no clip of adjoints": {"adjoint_clip": None},
    "no clip of gradients": {"gradient_clip": 1e9},
    "no return to the best weights": {"rollback": None},
    "no fine terms": {"fine_width": 0},
    "no nominal costate": {"nominal": False},
    "one application of T": {"argmax_iterations": 1},
    "SOAP instead of Adam": {"optimizer": "soap"},
}
"""What differs from the recipe."""


def flown(problem: pontryagin.Problem, config: pontryagin.TrainConfig, z0: Tensor, optimum: Tensor) -> dict[str, float]:
    """One run: how far above the optimum its policy is."""
    policy, history = pontryagin.train(problem, config)
    result = pontryagin.evaluate(problem, policy, z0, optimum).summary()
    kept = {key: result[key] for key in ("cost_mean", "gap_mean", "gap_median", "gap_worst", "success_rate")}
    return kept | {"rollbacks": history.rows[-1]["rollbacks"]}


def draw(figures: dict[str, dict[str, float]]) -> matplotlib.figure.Figure:
    """The mean gap of each run, by cure."""
    names = [name for name in CURES if any(key.startswith(f"{name}, ") for key in figures)]
    figure = matplotlib.figure.Figure(figsize=(8, 0.42 * len(names) + 1.2), layout="constrained")
    axis = figure.subplots()
    for row, name in enumerate(names):
        gaps = [100 * run["gap_mean"] for key, run in figures.items() if key.startswith(f"{name}, ")]
        axis.plot(gaps, [row] * len(gaps), "o", ms=8, color="C0" if row else "k", alpha=0.7)
    axis.set(xscale="log", xlabel="above the optimum in the mean of the states, %, one dot a seed")
    plain_ticks(axis.xaxis)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.grid(axis="x", which="both", alpha=0.2)
    tidy(figure)
    return figure


def main(
    cures: tuple[str, ...] = tuple(CURES), seeds: int = 3, iterations: int = 1000, states: int = 128,
    compile: bool = True, out_dir: Path = Path("results/cures"),
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Train five bicycles by the continuous Hamiltonian, with the whole recipe and without each of its cures.

    The whole has what the recipe had before this was measured, too: a price on held bounds, and two applications of T.

    Args:
        cures: which rows.
        seeds: runs of each.
        iterations: of a run; the recipe has three times as many, and twice as many validations for them.
        states: initial states on which the policies are compared.
        compile: compile the training step.
        out_dir: where results go.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    path, problem, console = out_dir / "figures.json", pontryagin.make_problem("bicycle5"), PlainConsole()
    figures, z0 = read_json(path) if path.exists() else {}, draw_states(problem, states, 0)
    known = known_reference(problem, z0)
    if known is None:
        raise ValueError(
            f"no optima of {states} states are stored; run: pontryagin reference bicycle5 --states {states}"
        )
    options = {"iterations": iterations, "states": states}
    if figures.setdefault("options", options) != options:
        raise ValueError(f"{path} was made with {figures['options']}, not {options}; move it away first")
    usual = dataclasses.replace(
        recipe("bicycle5", "continuous"), iterations=iterations, validate_every=100, bound_penalty=1.0,
        argmax_iterations=2, compile=compile,
    )  # fmt: skip
    for seed in range(seeds):
        for name in cures:
            key = f"{name}, seed {seed}"
            if key not in figures:
                figures[key] = flown(problem, dataclasses.replace(usual, seed=seed, **CURES[name]), z0, known.optimum)
                write_json(path, figures)
            console.print(f"{key:40} gap {figures[key]['gap_mean']:.2%}", highlight=False)
    save_figure(draw(figures), out_dir / "cures.png")
    return figures


if __name__ == "__main__":
    tyro.cli(main)
