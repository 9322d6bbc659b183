"""Four ways to begin on the quadrotor: random weights, one optimum, tables of many, a network that was taught them.

Writes the curves of the validation cost to results/anchors/: curves.json and curves.png.
"""

import dataclasses
import time
from pathlib import Path

import torch
import tyro

import pontryagin
from pontryagin.envs.files import write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.plots import curves_figure
from pontryagin.training.recipes import recipe
from pontryagin.training.train import VALIDATION_SEED, make_value

WAYS = {
    "none": {"learning_rate": 1.5e-2},
    "nominal": {"steps": None},
    "multi": {"steps": None, "anchors": 256, "anchor_rounds": 1},
    "distilled": {"anchors": 1000, "distill_distance": 0.06, "depth": 2, "width": 128, "rank": 20, "batch": 128},
}


def main(
    time_budget: str = "2m", compile: bool = True, small: bool = False, out_dir: Path = Path("results/anchors")
) -> dict:
    """Train each for the same time after its anchors, and draw.

    Args:
        time_budget: of JFB, each.
        compile: compile the training step.
        small: few optima and states, to see that it runs.
        out_dir: where the figure and the data go.
    """
    problem = pontryagin.Quadrotor()
    few = {"batch": 2, "anchors": 3, "anchor_rounds": 0, "distill_iterations": 2, "validation_states": 2}
    states = 2 if small else 128
    validation = problem.sample_initial_state(states, torch.Generator().manual_seed(VALIDATION_SEED))
    optimum, curves = float(pontryagin.solve_reference(problem, validation).cost.mean()), {}
    for anchor, options in WAYS.items():
        common = {"anchor": anchor, "time_budget": time_budget, "learning_rate": 5e-4, "compile": compile}
        config = dataclasses.replace(recipe("quadrotor", taught=False), **(common | options | (few if small else {})))
        begin = time.monotonic()
        value = make_value(problem, config)
        spent = 0.0 if anchor == "none" else time.monotonic() - begin
        _, history = pontryagin.train(problem, config, value)
        curves[anchor] = [[(spent + row["seconds"]) / 60, row["validation_cost"] / optimum - 1] for row in history.rows]
        first, last = curves[anchor][0], min(curves[anchor], key=lambda point: point[1])
        text = f"begins at {first[1]:.2%} after {first[0]:.1f} min, best {last[1]:.2%} after {last[0]:.1f} min"
        PlainConsole().print(f"{anchor:10} {text}", highlight=False)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_json(out_dir / "curves.json", {"optimum": optimum, "curves": curves})
    lines = {f"anchor: {a}": ([x for x, _ in c], [100 * y for _, y in c], "o-") for a, c in curves.items()}
    across = "minutes, optima included, compiling not"
    curves_figure(lines, out_dir / "curves.png", across, "mean cost above the optimum, %")
    return curves


if __name__ == "__main__":
    tyro.cli(main)
