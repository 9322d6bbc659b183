"""Optima in torch beside IPOPT, in one run: seconds, failures and costs, written to results/optima/."""

import json
import platform
import time
from pathlib import Path

import torch
import tyro
from rich.progress import track
from rich.table import Table

import pontryagin
from pontryagin.envs.files import write_json
from pontryagin.envs.states import draw_states
from pontryagin.training.console import PlainConsole

ROWS = {
    "pendulum": 16,
    "cartpole": 16,
    "dubins": 16,
    "min_fuel": 16,
    "van_der_pol": 16,
    "epidemic": 16,
    "reactor": 16,
    "harvest": 16,
    "goddard": 16,
    "rocket": 16,
    "quadrotor": 32,
    "quadrotor_wide": 16,
    "bicycle5": 16,
}
"""States of each."""
CHECKED = 2
"""Of them, so many are solved by IPOPT too, as it takes them one by one."""


def solved(problem: pontryagin.Problem, z0: torch.Tensor, method: str) -> tuple[dict[str, float], torch.Tensor]:
    """Seconds of processor and clock, failures, and the optima, nan where it failed."""
    begin, cpu = time.perf_counter(), time.process_time()
    found = pontryagin.solve_optimum(problem, z0, method=method)
    figures = {
        "states": len(z0),
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - begin,
        "failures": int((~found.converged).sum()),
    }
    return figures | {"cpu_ms_each": 1e3 * figures["cpu_seconds"] / len(z0)}, found.optimum


def compared(name: str, states: int, checked: int) -> dict[str, dict[str, float]]:
    """A row: ours on all states, IPOPT on the first ``checked``, and how the costs differ where both converged."""
    problem = pontryagin.make_problem(name)
    z0 = draw_states(problem, states, 0).double()
    pontryagin.solve_optimum(problem, z0[:1], max_iterations=2)  # what is imported at first use is not counted
    ours, optimum = solved(problem, z0, "ddp")
    check, other = solved(problem, z0[:checked], "ipopt")
    apart = (optimum[:checked] - other) / other.abs()
    apart = apart[~apart.isnan()]
    agree = apart.abs() <= 1e-6
    return {
        "torch": ours,
        "ipopt": check,
        "both": {
            "converged": len(apart),
            "agree": int(agree.sum()),
            "cheaper": int((apart < -1e-6).sum()),
            "dearer": int((apart > 1e-6).sum()),
            "ratio": check["cpu_ms_each"] / ours["cpu_ms_each"],
        },
    }


def main(
    rows: tuple[str, ...] = tuple(ROWS), scale: float = 1.0, checked: int = CHECKED,
    out_dir: Path = Path("results/optima"),
) -> dict[str, dict[str, dict[str, float]]]:  # fmt: skip
    """Solve the same states in torch (one thread) and, fewer of them, by IPOPT.

    Args:
        rows: names of problems.
        scale: times as many states of each as are usual here.
        checked: states that IPOPT solves, too.
        out_dir: where figures.json goes.
    """
    torch.set_num_threads(1)
    console, figures = PlainConsole(least=110), {}
    out_dir.mkdir(parents=True, exist_ok=True)
    for name in track(rows, "problems", console=console, transient=True):
        states = max(1, round(scale * ROWS.get(name, 16)))
        figures[name] = compared(name, states, min(checked, states))
        write_json(out_dir / "figures.json", figures)
    table = Table(title="optima from scratch: one thread, processor time")
    for heading in (
        "problem",
        "states",
        "failed",
        "ms each",
        "IPOPT failed",
        "IPOPT ms each",
        "agree",
        "cheaper",
        "dearer",
    ):
        table.add_column(heading, justify="left" if heading == "problem" else "right")
    for name, row in figures.items():
        ours, ipopt, both = row["torch"], row["ipopt"], row["both"]
        table.add_row(
            name, str(ours["states"]), str(ours["failures"]), f"{ours['cpu_ms_each']:.0f}",
            f"{ipopt['failures']} of {ipopt['states']}", f"{ipopt['cpu_ms_each']:.0f}",
            f"{both['agree']} of {both['converged']}", str(both["cheaper"]), str(both["dearer"]),
        )  # fmt: skip
    console.print(table)
    console.print(json.dumps({"machine": platform.machine(), "torch": torch.__version__}), highlight=False)
    return figures


if __name__ == "__main__":
    tyro.cli(main)
