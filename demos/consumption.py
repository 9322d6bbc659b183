"""A hundred households at one price: the argmax of a dense block in three ways, and optima that IPOPT finds, too.

Writes results/consumption/figures.json: for each number of households the time of an argmax for a batch of states by
the structure of H_uu, by dense blocks and by products alone, and how far the three are apart; for a few households the
optimal costs by the descent of this package and by IPOPT.
"""

import time
from pathlib import Path

import torch
import tyro

from pontryagin import ProjectedNewton, solve_argmax, solve_optimum, solve_reference
from pontryagin.envs.consumption import Consumption
from pontryagin.envs.files import write_json

WAYS = ("auto", "dense", "cg")


def main(
    households: tuple[int, ...] = (32, 100, 400), batch: int = 64, few: tuple[int, ...] = (5, 20), runs: int = 5,
    out_dir: Path = Path("results/consumption"),
) -> dict[str, object]:  # fmt: skip
    """Measure.

    Args:
        households: how many, for the argmax.
        batch: states of one argmax.
        few: how many, for IPOPT; none where CasADi is not installed.
        runs: of which the fastest counts.
        out_dir: where the figures go.
    """
    rows = [argmax(Consumption(count), batch, runs) for count in households]
    checks = [check(Consumption(count)) for count in few]
    figures: dict[str, object] = {"command": "python demos/consumption.py", "argmax": rows, "optima": checks}
    write_json(out_dir / "figures.json", figures)
    for row in [*rows, *checks]:
        print(", ".join(f"{key} {value:.6g}" for key, value in row.items()))
    return figures


def argmax(problem: Consumption, batch: int, runs: int) -> dict[str, float]:
    """Milliseconds of an argmax to 1e-6 from the problem's own start, by each way, and what each came to."""
    generator = torch.Generator().manual_seed(0)
    z = problem.sample_initial_state(batch, generator).double()
    p = -torch.exp(0.3 * torch.randn(z.shape, generator=generator).double()) / problem.households
    row, found = {"households": float(problem.households), "batch": float(batch)}, {}
    for way in WAYS:
        operator, times = ProjectedNewton(solver=way), []
        for _ in range(runs):
            begin = time.perf_counter()
            found[way] = solve_argmax(problem, 1.0, z, p, operator=operator, max_iterations=30)
            times.append(time.perf_counter() - begin)
        row |= {f"{way}_ms": 1e3 * min(times), f"{way}_converged": float(found[way].converged.double().mean())}
    row["iterations"] = float(found["auto"].iterations.double().mean())
    row["apart"] = float(max((found[way].control - found["auto"].control).abs().max() for way in WAYS))
    return row


def check(problem: Consumption) -> dict[str, float]:
    """Optimal cost of one state by both searches."""
    z0 = problem.sample_initial_state(1, torch.Generator().manual_seed(0)).double()
    ours, theirs = solve_optimum(problem, z0), solve_reference(problem, z0)
    return {
        "households": float(problem.households), "descent": float(ours.cost), "ipopt": float(theirs.cost),
        "converged": float(ours.converged & theirs.converged), "ipopt_seconds": float(theirs.seconds),
    }  # fmt: skip


if __name__ == "__main__":
    tyro.cli(main)
