"""The command ``pontryagin compare-gradients``: runs the comparison, draws it, and says in words what it found."""

from __future__ import annotations

import math

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ...envs.catalog import make_problem
from ..console import PlainConsole
from ..recipes import recipe
from ..theory import PARTS, CompareConfig, Result, compare_gradients


def compare_command(problem: str, config: CompareConfig) -> None:
    """Compare unrolling, implicit differentiation and JFB: memory, time, direction, and cost at equal wall time.

    For each way to differentiate the argmax and each way to search it. For example

        pontryagin compare-gradients quadrotor              # about a quarter of an hour on two cores
        pontryagin compare-gradients my_module:Rocket --quick
        pontryagin compare-gradients double_integrator --hamiltonian held --quick

    Writes compare.json and figures to a folder named by the problem, and prints what they say.
    """
    made = make_problem(problem)
    name = problem.replace(":", ".")
    console = PlainConsole(least=110)
    bar = Progress(
        TextColumn("{task.fields[part]}"), BarColumn(24), TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[line]}", markup=False), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    task = bar.add_task("", total=1.0, part="", line="")

    def tell(share: float, line: str) -> None:
        if line in PARTS:
            bar.update(task, part=f"part {list(PARTS).index(line) + 1} of {len(PARTS)}: {line}", line="")
        bar.update(task, completed=share, line="" if line in PARTS else line)
        if not console.is_terminal:
            print(f"{100 * share:3.0f} %  {line}", flush=True)

    with bar:
        result = compare_gradients(made, recipe(problem, config.hamiltonian, taught=False), config, name, tell)
    for table in tables(result):
        console.print(table)
    for sentence in findings(result):
        console.print("- " + sentence, highlight=False)
    from ..theory import compare_figures

    for path in compare_figures(result, name, config.out / name):
        console.print(str(path), highlight=False)


def tables(result: Result) -> list[Table]:
    """Memory, direction and the race, as tables."""
    counts = result["saved"]["counts"]
    memory = _table(
        f"bytes that autograd holds for the argmax of {result['saved']['samples']} samples",
        ("gradient", *(f"{n} it." for n in counts), "per iteration", "R²"),
    )
    for row in result["saved"]["rows"]:
        fit = "flat" if row["flat"] else f"{row['r2']:.5f}"
        figures = [*(f"{b:,}" for b in row["bytes"]), f"{row['slope']:,.0f}", fit]
        memory.add_row(f"{row['gradient']} + {row['kind']}", *figures)
    angles = _table(
        "dJ/dθ against the exact gradient, trained weights", ("gradient", "iterations", "cosine", "relative error")
    )
    for row in result["errors"]["trained weights"]:
        angles.add_row(row["label"], str(row["iterations"]), f"{row['cosine']:.6f}", f"{row['relative_error']:.2e}")
    how = "compiled" if result["about"]["compiled"] else "eager"
    race = _table(
        f"{result['race']['budget_seconds']:.0f} s of training each, {how}",
        ("gradient", "best cost", "iterations", "s each", "skipped", "descends", "cosine"),
    )
    for row in result["race"]["runs"]:
        angle = (f"{row['descent_share']:.0%}", f"{row['cosine_median']:.3f}") if "descent_share" in row else ()
        spent = f"{row['seconds_per_iteration']:.3f}"
        cells = (f"{row['best_cost']:.4f}", str(row["iterations_done"]), spent, str(row["skipped"]))
        race.add_row(row["label"], *cells, *angle)
    return [memory, angles, race]


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column == "gradient" else "right", no_wrap=True)
    return table


def _optimum(race: Result) -> str:
    if "reference_states" not in race:
        return ""
    if race["reference_mean"] is None:
        return f"; of the optima only {race['reference_states']} are known: the others did not converge"
    return f", the optimum {race['reference_mean']:.4f}"


def findings(result: Result) -> list[str]:
    """What the numbers say about the claims of the talk, one sentence each."""
    saved = {(r["kind"], r["gradient"]): r for r in result["saved"]["rows"]}
    flat = all(r["flat"] for (_, g), r in saved.items() if g != "unroll")
    straight = min(r["r2"] for (_, g), r in saved.items() if g == "unroll")
    runs = {r["label"]: r["best_cost"] for r in result["race"]["runs"]}
    jfb = min((v for k, v in runs.items() if k.startswith("jfb") and math.isfinite(v)), default=math.nan)
    rest = min((v for k, v in runs.items() if not k.startswith("jfb") and math.isfinite(v)), default=math.nan)
    newton = [r["cosine"] for r in result["errors"]["trained weights"] if r["label"] == "jfb + newton"]
    ascent = [r["cosine"] for r in result["errors"]["trained weights"] if r["label"] == "jfb + ascent"]
    watched = next(r for r in result["race"]["runs"] if r["label"] == "jfb + ascent")
    needed = {r["kind"]: r for r in result["needed"]["rows"]}
    found = [
        f"Memory: jfb and implicit {'do not depend' if flat else 'DEPEND'} on the iterations; unroll is a line, "
        f"R² {straight:.5f}.",
        f"Direction: jfb + newton has cosine {min(newton):.6f} or more with the exact gradient; jfb + ascent down to "
        f"{min(ascent):.3f} at the trained weights.",
        f"In training, {watched['descent_share']:.0%} of the jfb + ascent directions looked at descend, median cosine "
        f"{watched['cosine_median']:.3f}, worst {watched['cosine_worst']:.3f}.",
        f"Cost at equal wall time: best jfb {jfb:.4f}, best of the others {rest:.4f}{_optimum(result['race'])}.",
    ]
    counts = [f"{k} {needed[k]['median']:.0f} ({needed[k]['converged']:.0%} converge)" for k in needed]
    return [*found, f"Iterations to 1e-6, median: {', '.join(counts)}."]
