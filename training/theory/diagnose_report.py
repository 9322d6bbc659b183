"""A diagnosis on the terminal, as JSON and as a figure in a folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from torch import Tensor

from ...envs.files import replace_file
from ..console import PlainConsole
from ..evaluate import relative_gap
from .assumptions import Cell, Row, common_rows, name, operator_rows
from .diagnose_plots import diagnosis_figure
from .diagnosis import Diagnosis
from .plain_words import sentences

COLORS = {"holds": "green", "fails": "red", "not applicable": "dim", "measured": "dim"}
REMARK = (
    "'holds': measured to hold at the sampled points and with these weights, not proven. "
    "n/a: λ_- <= γ λ_+, or μ_2 is not given."
)
WIDTH = 150
"""Of the tables where there is no terminal that says."""
TEXT = 112
"""Of the sentences, at most."""


def print_diagnosis(found: Diagnosis, title: str, optimum: Tensor | None = None) -> None:
    """The two tables and the sentences; ``optimum`` as in ``diagnosis_record``."""
    console = PlainConsole()
    if not console.is_terminal:
        console.width = WIDTH
    points = f"{len(found.times)} times, {found.draws} admissible controls each"
    heads = [name(part.operator) for part in found.operators]
    console.print(_table(f"{title}, {points}", operator_rows(found), heads))
    console.print(_table("whatever the operator", common_rows(found), [""]))
    console.print(f"{REMARK}\n", style="dim")
    for line in sentences(found):
        console.print(f"• {line}", highlight=False, width=min(console.width, TEXT))
    if "gap_mean" in (gap := gap_figures(found, optimum)):
        known = f"{gap['reference_states']} of {len(found.cost)} states, whose optima are known"
        text = f"• Above the optimum: {gap['gap_mean']:.2%} in the mean, {gap['gap_worst']:.2%} at worst, from {known}."
        console.print(text, highlight=False, width=min(console.width, TEXT))


def gap_figures(found: Diagnosis, optimum: Tensor | None) -> dict[str, Any]:
    """Of how many states the optimum is known, and how far above it the paths cost."""
    if optimum is None:
        return {}
    gap = relative_gap(found.cost, optimum.to(found.cost))
    known = gap[gap.isfinite()]
    figures = {"gap_mean": float(known.mean()), "gap_worst": float(known.max())} if len(known) else {}
    return {"reference_states": len(known), **figures}


def diagnosis_record(found: Diagnosis, command: str, optimum: Tensor | None = None) -> dict[str, Any]:
    """Plain data: the command, the sampled points, every row with a cell for each operator, the sentences; no NaN.

    ``optimum``: ``(B,)`` optimal costs from the same states, nan where they are not known.
    """
    operators = [{"name": type(part.operator).__name__, **vars(part.operator)} for part in found.operators]
    return {
        "command": command,
        "problem": found.problem,
        "hamiltonian": found.kind,
        "states": len(found.cost),
        "times": found.times.tolist(),
        "draws": found.draws,
        "weights": found.weights,
        "cost_mean": float(found.cost.mean()),
        **gap_figures(found, optimum),
        "box_curvature": [_plain(x) for x in found.box_range],
        "operators": operators,
        "assumptions": {
            row.key: _described(row) | {"cells": [_cell(cell) for cell in row.cells]} for row in operator_rows(found)
        },
        "common": {row.key: _described(row) | _cell(row.cells[0]) for row in common_rows(found)},
        "sentences": sentences(found),
    }


def record_text(found: Diagnosis, command: str, optimum: Tensor | None = None) -> str:
    """``diagnosis_record`` as JSON."""
    return json.dumps(diagnosis_record(found, command, optimum), indent=2, ensure_ascii=False, allow_nan=False)


def write_diagnosis(found: Diagnosis, command: str, out: Path, optimum: Tensor | None = None) -> list[Path]:
    """``diagnosis.json`` and ``diagnosis.png`` in the folder ``out``."""
    record = out / "diagnosis.json"
    replace_file(record, f"{record_text(found, command, optimum)}\n".encode())
    return [record, diagnosis_figure(found, out / "diagnosis.png")]


def _table(title: str, rows: list[Row], heads: list[str]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in ("assumption", "symbol", "slides"):
        table.add_column(column)
    for head in heads:
        table.add_column(f"{head}\nmedian, worst".strip(), justify="right", no_wrap=True)
        table.add_column("")
    for row in rows:
        cells = [part for cell in row.cells for part in (_numbers(cell), _colored(cell))]
        table.add_row(row.words, row.symbol, row.source, *cells)
    return table


def _numbers(cell: Cell) -> str:
    if math.isnan(cell.median):
        return "-"
    numbers = ["<1e-12" if 0 < abs(x) < 1e-12 else f"{x:.3g}" for x in (cell.median, cell.worst)]
    return ", ".join(dict.fromkeys(numbers))


def _colored(cell: Cell) -> Text:
    return Text(cell.text(), COLORS[cell.verdict])


def _described(row: Row) -> dict[str, Any]:
    return {"words": row.words, "symbol": row.symbol, "slides": row.source}


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "median": _plain(cell.median),
        "worst": _plain(cell.worst),
        "verdict": cell.verdict,
        "share": cell.share,
        "applies": cell.applies,
    }


def _plain(x: float) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    if math.isnan(x):
        return None
    return x if math.isfinite(x) else str(x)
