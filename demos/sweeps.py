"""What can be made of a few optima: their feedback, argmax of the held H, and plans that are swept ten times a flight.

For each problem the same optima, the same fresh states, five policies. Writes results/sweeps/sweeps.json and a figure.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
import tyro
from rich.table import Table

from pontryagin import ImplicitPolicy, Problem, make_problem
from pontryagin.controllers.optimum import cores, crew, expand_agents, solve_optimum
from pontryagin.controllers.value import FlownValue
from pontryagin.envs.files import write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.evaluate import gap_figures, relative_gap
from pontryagin.training.pictures import draw_sweeps, save_figure
from pontryagin.training.solved import flown_by
from pontryagin.training.start import families

OPTIMA = {"epidemic": 24, "rocket": 24, "reactor": 24, "dubins": 48, "crazyflie": 24, "van_der_pol": 24, "min_fuel": 24}
WAYS = {"feedback": (0, 0), "argmax": (0, 1), "1 sweep": (1, 0), "2 sweeps": (2, 0), "4 sweeps": (4, 0)}
"""Name -> sweeps, iterations of the argmax."""


def main(
    problems: tuple[str, ...] = tuple(OPTIMA), states: int = 32, seconds: float = 60.0,
    out_dir: Path = Path("results/sweeps"),
) -> dict[str, dict[str, dict[str, float]]]:  # fmt: skip
    """Fly each policy from the same states, and compare what it costs with the optimum of each.

    Args:
        problems: which; those that are stored already are not flown again.
        states: fresh states.
        seconds: for the optima of each problem, and again for those of the fresh states.
        out_dir: where data and figure go.
    """
    file = out_dir / "sweeps.json"
    told: dict[str, dict[str, dict[str, float]]] = json.loads(file.read_text()) if file.exists() else {}
    for name in problems:
        if name not in told:
            made = make_problem(name)
            with crew(cores(made), made):
                told[name] = row(made, OPTIMA.get(name, 24), states, seconds)
            write_json(file, told)
    table = Table("problem", "optima", *(f"{way}: mean, worst" for way in WAYS), title="above the optimum")
    for name, flown in told.items():
        gaps = (f"{x['mean']:.3%}, {x['worst']:.2%}" for x in flown.values())
        table.add_row(name, f"{next(iter(flown.values()))['optima']:.0f}", *gaps)
    PlainConsole(least=160).print(table)
    save_figure(draw_sweeps(told), out_dir / "sweeps.png")
    return told


def row(problem: Problem, optima: int, states: int, seconds: float) -> dict[str, dict[str, float]]:
    """What each way comes to: mean and worst gap, seconds, and from how many optima."""
    known = families(problem, optima, seconds)
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(90_001)).double()
    best = solve_optimum(problem, z0, known=known, seconds=seconds)
    expansion, found = expand_agents(problem, known), {}
    for way, (sweeps, iterations) in WAYS.items():
        value = FlownValue(problem, expansion, sweeps).double()
        policy = ImplicitPolicy(problem, value, max_iterations=iterations, hamiltonian="held")
        begin = time.perf_counter()
        cost = flown_by(problem, policy, z0).cost.nan_to_num(torch.inf, torch.inf)
        took, figures = time.perf_counter() - begin, gap_figures(relative_gap(cost, best.optimum))
        found[way] = figures | {"seconds": took, "optima": len(known.cost)}
    return found


if __name__ == "__main__":
    tyro.cli(main)
