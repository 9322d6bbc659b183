"""The command ``pontryagin solve``: from the class of a problem to a controller and its measured gap."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ...controllers.optimum import ReferenceTrajectory
from ...envs.catalog import make_problem
from ...envs.files import alone, check_folder, write_json
from ..console import PlainConsole
from ..evaluate import Evaluation, evaluate
from ..pictures import trajectory_figure
from ..solve import solve
from ..solved import Solved
from .arguments import ProblemName


def solve_command(
    problem: ProblemName,
    time_budget: str = "5m",
    seed: int = 0,
    gap: float = 0.01,
    states: int = 64,
    out_dir: Path | None = None,
) -> None:
    """Find a feedback controller for any problem, and say how far above the optimum it is.

    Optima from a spread of initial states, expansions about them, and training where that is not enough. For example

        pontryagin solve double_integrator
        pontryagin solve my_module:Rocket --time-budget 10m --out-dir runs/rocket

    The folder then holds the policy, solved.json with the gap of every fresh state, and a figure of the flights.

    Args:
        problem: the problem.
        time_budget: how long it may take, 90s, 5m or 1h; the stage at hand is finished.
        seed: of the fresh states and the training.
        gap: relative cost above the optimum that is good enough.
        states: fresh states on which it is measured.
        out_dir: folder; runs/<problem> unless given.
    """
    made = make_problem(problem)
    folder = Path("runs") / problem.replace(":", ".") if out_dir is None else out_dir
    check_folder(folder, "--out-dir")
    with alone(folder, "solve", 0):
        found = solve(made, time_budget, seed, folder, gap, states)
        write_json(folder / "solved.json", record(found, problem))
    flown = measured(found, min(states, 16))
    figure = trajectory_figure(made, flown, folder / "trajectory.png")
    PlainConsole(least=80).print(f"\n{found.report}\n\npolicy in {folder}; {figure}", highlight=False)


def record(found: Solved, problem: str) -> dict[str, object]:
    """What ``solved.json`` holds: plain numbers, nan as None."""
    optima: ReferenceTrajectory = found.optima
    numbers = {"cost": found.cost, "optimum": optima.optimum, "linear_cost": found.linear_cost, "gap": found.gap}
    tables = {k: [x if x == x and abs(x) != float("inf") else None for x in v.tolist()] for k, v in numbers.items()}
    history = json.loads(json.dumps(found.history).replace("NaN", "null").replace("Infinity", "null"))
    return {"problem": problem, "hamiltonian": found.policy.hamiltonian, "history": history, **tables}


@torch.no_grad()
def measured(found: Solved, states: int) -> Evaluation:
    """The first of the fresh flights, with their optima."""
    z0 = found.optima.z[0, :states]
    return evaluate(found.policy.problem, found.policy, z0, found.optima.optimum[:states])
