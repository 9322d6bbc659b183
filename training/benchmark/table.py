"""The table of a benchmark: methods by row, mean ± standard deviation over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from .methods import method_named

Record = dict[str, Any]
HEADINGS = (
    "method", "seeds", "cost, mean ± std", "gap, mean", "gap, median", "gap, worst", "terminal error", "success",
    "training, s", "env steps", "ms per answer",
)  # fmt: skip

FEW = ("method", "seeds", "cost, mean", "gap, mean", "gap, worst", "terminal error")


def by_method(records: list[Record]) -> dict[str, list[Record]]:
    """The runs that did not fail, by method, in the order in which they came."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if "failed" not in record:
            found.setdefault(record["method"], []).append(record)
    return found


def rows(records: list[Record]) -> list[tuple[str, ...]]:
    """A row of text per method, as ``HEADINGS`` says; methods that failed have a row of dashes.

    Those that flew from fewer states than the others, MPC, are in ``rows_of_few``: one column, the same states.
    """
    found, table = by_method(records), []
    most = max((runs[0]["states"] for runs in found.values()), default=0)
    for method, runs in found.items():
        if runs[0]["states"] < most:
            continue
        gaps = [spread(runs, key, percent) for key in ("gap_mean", "gap_median")]
        columns = (
            [run["seconds"] for run in runs],
            [run["env_steps"] for run in runs],
            [run["summary"]["latency_ms"] for run in runs],
        )
        table.append(
            (
                method_named(method).label, str(len(runs)), spread(runs, "cost_mean", number), *gaps,
                worst(runs, "gap_worst", percent),
                spread(runs, "terminal_error_mean", number), spread(runs, "success_rate", percent),
                *(number(statistics.fmean(values)) for values in columns),
            )
        )  # fmt: skip
    failed = dict.fromkeys(record["method"] for record in records if "failed" in record)
    table += [(method_named(m).label, "0", *["-"] * (len(HEADINGS) - 2)) for m in failed if m not in found]
    return table


def rows_of_few(records: list[Record]) -> tuple[int, list[tuple[str, ...]]]:
    """How few states the method with the fewest flew from, and a row of every method from these, as ``FEW`` says.

    The states of a draw that is cut short are the first of the whole one. No rows where all flew from the same.
    """
    found = by_method(records)
    counts = {runs[0]["states"] for runs in found.values()}
    few = min(counts, default=0)
    if len(counts) < 2:
        return few, []
    return few, [_few(method_named(method).label, runs, few) for method, runs in found.items()]


def _few(label: str, runs: list[Record], count: int) -> tuple[str, ...]:
    def mean(values: list[float]) -> float:
        return statistics.fmean(values[:count])

    # a gap that is not known is left out of its list, which then says no more whose the others are
    gaps = [run["gap"] for run in runs if run["gap"] and len(run["gap"]) == run["states"]]
    cost, missed, gap = ([mean(x) for x in lists] for lists in (
        [run["cost"] for run in runs], [run["terminal_error"] for run in runs], gaps))  # fmt: skip
    pair = [statistics.fmean(gap)] if gap else []
    pair += [statistics.stdev(gap)] if len(gap) > 1 else []
    highest = percent(max(max(x[:count]) for x in gaps)) if gaps else "-"
    return (
        label, str(len(runs)), number(statistics.fmean(cost)), percent(*pair) if pair else "-", highest,
        number(statistics.fmean(missed)),
    )  # fmt: skip


def notes(records: list[Record]) -> list[str]:
    """What has to be said of single runs."""
    return [f"{method_named(r['method']).label}, seed {r['seed']}: {r['note']}" for r in records if r.get("note")]


def markdown(records: list[Record]) -> str:
    """The table, what has to be said of it, that of few states, the commands and the machine."""
    lines = _table(HEADINGS, rows(records))
    few, others = rows_of_few(records)
    lines += ["", f"From the first {few} of these states alone:", "", *_table(FEW, others)] if others else []
    lines += [line for note in notes(records) for line in ("", f"{note}.")]
    asked = ", ".join(f"`{command}`" for command in commands(records))
    return "\n".join([*lines, "", f"{asked}; {circumstances(records)}."]) + "\n"


def _table(headings: tuple[str, ...], cells: list[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return lines + ["| " + " | ".join(row) + " |" for row in cells]


def commands(records: list[Record]) -> list[str]:
    """Those that made the runs, in the order in which they were given."""
    return list(dict.fromkeys(record["command"] for record in records))


def circumstances(records: list[Record]) -> str:
    """When, where and with what the runs were made."""
    about, dates = records[0], sorted({record["date"] for record in records})
    machine = about["machine"]
    return (
        f"{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}, {machine['processor']}, {machine['cores']} cores, "
        f"{about['threads']} thread(s) a run, torch {about['versions']['torch']}"
    )


Writer = Callable[..., str]
"""A figure and, where there is one, its standard deviation, as text."""


def spread(runs: list[Record], key: str, write: Writer) -> str:
    """Mean over the seeds ± their standard deviation, where there is more than one."""
    values = [run["summary"][key] for run in runs if key in run["summary"]]
    if not values:
        return "-"
    return write(statistics.fmean(values), *([statistics.stdev(values)] if len(values) > 1 else []))


def worst(runs: list[Record], key: str, write: Writer) -> str:
    """The largest over the seeds."""
    values = [run["summary"][key] for run in runs if key in run["summary"]]
    return write(max(values)) if values else "-"


def number(value: float, deviation: float | None = None) -> str:
    """Four digits, without an exponent where it can be; two of the deviation."""
    text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:.3g}" if abs(value) >= 1e6 else f"{value:,.0f}"
    return text if deviation is None else f"{text} ± {number(float(f'{deviation:.2g}'))}"


def percent(value: float, deviation: float | None = None) -> str:
    """A share as a percentage."""
    if deviation is not None:
        return f"{number(float(f'{100 * value:.3g}'), 100 * deviation)} %"
    return (
        "0 %"
        if value == 0
        else f"{100 * value:.0e} %"
        if abs(value) < 1e-4
        else f"{number(float(f'{100 * value:.3g}'))} %"
    )
