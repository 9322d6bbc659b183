"""The page of a benchmark: one HTML file with its figures, tables, film and settings inside; it needs no network."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path

from ...envs.files import replace_file
from ..pictures import document, figure, table
from .methods import method_named
from .table import FEW, HEADINGS, Record, by_method, circumstances, commands, notes, number, rows, rows_of_few

CAPTIONS = {
    "curves.png": "Cost on the validation states against wall time and against environment steps. For JFB and the "
    "analytic policy gradient, which differentiate the model, a step is one of the model. The optimum is that of the "
    "states of the evaluation.",
    "gaps.png": "Distribution over the initial states.",
    "paths.png": "The same initial state, flown by each method; the optimum in grey.",
    "latency.png": "Time of one answer.",
    "robustness.png": "Mean cost against the strength of each disturbance. Nobody was trained for any of them.",
    "film.gif": "The same initial state on film; the optimum in grey.",
}


def write_report(name: str, records: Sequence[Record], pictures: Sequence[Path], path: Path) -> Path:
    """Write the page.

    Args:
        name: of the problem.
        records: of all runs; those that failed are named with their reason.
        pictures: .png and .gif files to embed; others are left out.
        path: of the page.
    """
    about = records[0]
    note = (
        f"{about['budget_seconds']:g} s of training per run, everything included; {circumstances(list(records))}. "
        "Tap a heading to sort."
    )
    lost = [record for record in records if "failed" in record]
    failed = [f"{method_named(r['method']).label}, seed {r['seed']}: {r['failed']}" for r in lost]
    few, others = rows_of_few(list(records))
    parts = [
        f"<h1>{html.escape(name)}: the same environment, cost, starts and wall time</h1>",
        f"<p class=note>{html.escape(note)}</p>",
        table(HEADINGS, rows(list(records))),
        "".join(f"<p class=note>{html.escape(line)}</p>" for line in [*failed, *notes(list(records))]),
        f"<h2>From the first {few} of these states alone</h2>{table(FEW, others)}" if others else "",
        *(figure(p, CAPTIONS.get(p.name, p.stem)) for p in pictures if p.suffix in (".png", ".gif")),
        _robustness(list(records)),
        "<h2>How it was run</h2>",
        f"<pre>{html.escape(chr(10).join(commands(list(records))))}</pre>",
        *(_settings(runs[0]) for runs in by_method(list(records)).values()),
    ]
    replace_file(path, document(f"{name}: benchmark", parts))
    return path


def _robustness(records: list[Record]) -> str:
    """A table per disturbance: mean cost, and success, by method and level."""
    found = {method: runs[0] for method, runs in by_method(records).items() if "robustness" in runs[0]}
    if not found:
        return ""
    parts = ["<h2>Robustness, seed 0: mean cost (success)</h2>"]
    kinds = {kind: levels for run in found.values() for kind, levels in run["robustness"].items()}
    for kind, levels in kinds.items():
        headings = ["method", *(f"{row['level']:g}" for row in levels)]
        cells = [
            [method_named(method).label, *(_cell(row) for row in run["robustness"][kind])]
            for method, run in found.items()
            if kind in run["robustness"]  # an older run knows fewer
        ]
        parts.append(f"<h3>{html.escape(kind)}</h3>{table(headings, cells)}")
    return "".join(parts)


def _cell(row: Record) -> str:
    cost = "inf" if row["cost_mean"] is None else number(row["cost_mean"])
    return f"{cost} ({100 * row['success_rate']:.0f} %)"


def _settings(run: Record) -> str:
    shown = json.dumps({"settings": run["settings"], "versions": run["versions"]}, indent=1)
    label = html.escape(method_named(run["method"]).label)
    return f"<details><summary>{label}: settings</summary><pre>{html.escape(shown)}</pre></details>"
