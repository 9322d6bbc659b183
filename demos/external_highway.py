"""Five cars swap places: the shipped policy in highway-env and under commonroad's kinematic single track, unchanged."""

from pathlib import Path

import torch
import tyro
from rich.table import Table

import pontryagin
from pontryagin.controllers.plants.commonroad import CommonRoadBicycles
from pontryagin.controllers.plants.highway import HighwayBicycles
from pontryagin.envs.files import write_json
from pontryagin.training.commands.simulate import compare, simulate_all
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.film import write_film
from pontryagin.training.pictures.side_by_side import side_by_side


def main(states: int = 32, seed: int = 0, seconds: float = 6.0, out_dir: Path = Path("results/external")) -> dict:
    """Print a table, write a film.

    Args:
        states: initial states, the same for both.
        seed: of the draw.
        seconds: that a unit of the problem's time takes; the crossing takes four of them.
        out_dir: where film and figures go.
    """
    policy = pontryagin.ImplicitPolicy.load("cars5", device="cpu")
    problem = policy.problem
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(seed))
    model = pontryagin.evaluate(problem, policy, z0)
    plants = {"highway-env": HighwayBicycles(problem, seconds), "commonroad": CommonRoadBicycles(problem, seconds)}
    table = Table(
        "plant", "mean cost", "worst terminal error", "in wheelbases", "nearest two", "touched", title="cars5"
    )
    figures = {}
    for name, plant in plants.items():
        flown, touched = simulate_all(policy, plant, z0)
        f = figures[name] = compare(problem, model, pontryagin.evaluate(problem, policy, z0, flown=flown))
        f["flights_that_touched"], error = touched, f["terminal_error_worst"]
        row = (f"{f['cost_plant']:.3f}", f"{error:.3f}", f"{error / problem.wheelbase:.3f}")
        table.add_row(name, *row, f"{f['min_distance_path_min']:.2f}", f"{touched:.0f} of {states}")
    PlainConsole(least=90).print(table)
    frames, _ = side_by_side(problem, policy, plants, z0[:1], every=1, size=(480, 480))
    print(write_film(frames, out_dir / "highway.gif", fps=15, width=1080))
    write_json(out_dir / "highway.json", figures)
    return figures


if __name__ == "__main__":
    tyro.cli(main)
