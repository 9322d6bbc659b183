"""The commands ``pontryagin benchmark`` and ``pontryagin tune``: run, print a table, write figures and a page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ...envs.catalog import make_problem
from ...envs.files import replace_file
from ..benchmark import (
    HEADINGS,
    BenchmarkConfig,
    Record,
    TuneConfig,
    benchmark,
    evaluation_states,
    known_optima,
    markdown,
    rows,
    tune,
)
from ..console import PlainConsole
from ..duration import spoken


def benchmark_command(problem: str, config: BenchmarkConfig) -> None:
    """Compare the implicit controller with PPO, SAC and classical control: same environment, cost, starts, wall time.

    Every run has a process of its own and the same budget, everything included; finished runs are kept, so the command
    can be killed and given again. For example

        pontryagin benchmark quadrotor                                # 3 seeds, 10 minutes each: three hours
        pontryagin benchmark quadrotor --time-budget 60s --seeds 1    # a first look
        pontryagin benchmark my_module:Rocket --methods jfb,ppo --workers 4
        pontryagin benchmark quadrotor --methods jfb,mine=model.zip   # an agent of your own beside ours

    Writes a JSON file per run, table.md, figures and report.html, which needs no network.
    """
    console = PlainConsole(least=120)
    with _shown(console) as tell:
        records = benchmark(problem, config, tell)
    folder = config.out / problem.replace(":", ".")
    table = Table(title=f"{problem}: {spoken(config.time_budget)} of training each, {config.threads} thread(s)")
    for index, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if index else "left")
    for row in rows(records):
        table.add_row(*row)
    console.print(table)
    for path in write_results(problem, records, folder, config.film):
        console.print(str(path), highlight=False)
    for record in records:
        if "failed" in record:
            console.print(f"{record['method']}: {record['failed']}", highlight=False)


def write_results(name: str, records: list[Record], folder: Path, film: bool) -> list[Path]:
    """table.md, figures, film and page of the runs that did not fail."""
    from ..benchmark import benchmark_figures, benchmark_film, write_report

    done = [record for record in records if "failed" not in record]
    if not done:
        return []
    problem = make_problem(name)
    z0 = evaluation_states(problem, max(record["states"] for record in done))
    known = known_optima(problem, z0)
    optimum = float(known[1].optimum.nanmean()) if known and known[1].converged.any() else None
    first = known is not None and known[0] is z0 and bool(known[1].converged[0])
    ghost = (known[1].z[:, 0].numpy(), known[1].u[:, 0].numpy()) if known and first else None
    paths = [folder / "table.md"]
    replace_file(paths[0], markdown(records).encode())
    paths += benchmark_figures(problem, name, done, optimum, ghost, folder)
    if film:
        paths.append(benchmark_film(problem, done, ghost, folder / "film.gif"))
    return [*paths, write_report(name, records, paths, folder / "report.html")]


def tune_command(problem: str, config: TuneConfig) -> None:
    """Search for the settings of PPO or SAC on a problem: Optuna, bounded, with its log kept.

        pontryagin tune quadrotor --algorithm ppo --trials 12 --time-budget 60s

    Prints the best recipe; those of the shipped problems are in training/benchmark/rl_recipes.py.
    """
    console = PlainConsole(least=120)
    with _shown(console) as tell:
        found = tune(problem, config, tell)
    console.print(found)


@contextlib.contextmanager
def _shown(console: PlainConsole) -> Iterator[Callable[[str], None]]:
    """A spinner with the time gone by, and a line for each thing that is done."""
    begun = time.monotonic()
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console,
        disable=not console.is_terminal,
    )  # fmt: skip
    bar.add_task("running")

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - begun:7.0f} s  {line}", highlight=False)

    with bar:
        yield tell
