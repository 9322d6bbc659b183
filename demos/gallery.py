"""The gallery by ``solve`` with its defaults: gaps of fresh states, beside linear feedback along one optimum and MPC.

Each result is kept in results/gallery/NAME-SEED.json and not made again; the table and the figure are of all of them.
"""

import json
import math
import time
from pathlib import Path

import torch
import tyro
from rich.table import Table

from pontryagin import Problem, RecedingHorizon, make_problem, solve
from pontryagin.controllers.optimum import cores, crew
from pontryagin.envs.files import write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.evaluate import gap_figures, relative_gap
from pontryagin.training.pictures import draw_gallery, save_figure
from pontryagin.training.solved import Solved, flown_by

NAMES = (
    "pendulum", "cartpole", "dubins", "van_der_pol", "epidemic", "reactor", "harvest", "reaction_diffusion", "burgers",
    "goddard", "min_fuel", "rocket",
)  # fmt: skip


def main(
    problems: tuple[str, ...] = NAMES, seeds: tuple[int, ...] = (0,), time_budget: str = "5m", states: int = 64,
    out_dir: Path = Path("results/gallery"),
) -> list[dict[str, object]]:  # fmt: skip
    """Solve problems of other people with no option, and say how far from the optimum that ended.

    Args:
        problems: names, as `pontryagin solve` takes them.
        seeds: of the fresh states.
        time_budget: for each.
        states: fresh states.
        out_dir: where results, table and figure go.
    """
    return measured({name: make_problem(name) for name in problems}, seeds, time_budget, states, out_dir)


def measured(
    problems: dict[str, Problem], seeds: tuple[int, ...], time_budget: str, states: int, out_dir: Path,
    fresh: bool = False,
) -> list[dict[str, object]]:  # fmt: skip
    """Solve those that ``out_dir`` has no row of, all of them where ``fresh``; table and figure are of all rows."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, problem in problems.items():
        for seed in seeds:
            file = out_dir / f"{name.replace(':', '.')}-{seed}.json"
            if fresh or not file.exists():
                PlainConsole().print(f"{name}, seed {seed}")
                begin = time.perf_counter()
                found = solve(problem, time_budget, seed, states=states, processes=cores(problem))
                row = {"problem": name, "seed": seed, **summary(found, time.perf_counter() - begin)}
                write_json(file, {**row, **by_mpc(found)})
    rows: list[dict[str, object]] = [json.loads(file.read_text()) for file in sorted(out_dir.glob("*-*.json"))]
    PlainConsole(least=100).print(table_of(rows, states))
    save_figure(draw_gallery(rows), out_dir / "gallery.png")
    return rows


def table_of(rows: list[dict[str, object]], states: int) -> Table:
    """A line for each row; rows of earlier runs do not say how many optima and fresh states (``states``) they had."""
    heads = ("problem", "seed", "mean", "median", "worst", "one optimum", "MPC", "seconds", "optima", "known")
    table = Table(*heads, title="solve")
    for row in rows:
        gaps = (spoken(row.get(key)) for key in ("mean", "median", "worst", "linear", "mpc"))
        ends = (f"{row['seconds']:.0f}", str(row.get("optima", "-")), f"{row['known']}/{row.get('states', states)}")
        table.add_row(str(row["problem"]), str(row["seed"]), *gaps, *ends)
    return table


def summary(found: Solved, seconds: float) -> dict[str, object]:
    """Plain numbers; ``None`` where nothing is known."""
    one = relative_gap(found.linear_cost, found.optima.optimum)
    figures = gap_figures(found.gap) | {"linear": gap_figures(one)["mean"]}
    return {
        **finite(figures), "known": int((~found.gap.isnan()).sum()), "seconds": seconds,
        "states": len(found.gap), "optima": found.known, "stage": str(found.history[-1]["stage"]),
        "threads": torch.get_num_threads(), "processes": cores(found.policy.problem),
    }  # fmt: skip


def by_mpc(found: Solved) -> dict[str, object]:
    """Gap from the same states of model predictive control, which plans ten times an episode and knows no optima."""
    problem, begin = found.policy.problem, time.perf_counter()
    with crew(cores(problem), problem), torch.no_grad():
        planner = RecedingHorizon(problem, every=-(-problem.steps // 10))
        cost = flown_by(problem, planner, found.path.z[0]).cost
    gap = relative_gap(cost.nan_to_num(torch.inf, torch.inf), found.optima.optimum)
    figures = gap_figures(gap)
    plain = finite({"mpc": figures["mean"], "mpc_worst": figures["worst"]})
    return {**plain, "mpc_seconds": time.perf_counter() - begin}


def finite(figures: dict[str, float]) -> dict[str, float | None]:
    """``None`` in place of what is infinite or not known."""
    return {name: x if math.isfinite(x) else None for name, x in figures.items()}


def spoken(gap: object) -> str:
    """As a percentage."""
    return f"{gap:.2%}" if isinstance(gap, float) else "-"


if __name__ == "__main__":
    tyro.cli(main)
