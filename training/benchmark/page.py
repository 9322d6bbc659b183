"""The page of a benchmark: one HTML file with its figures, tables, film and settings inside; it needs no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from ...envs.files import replace_file
from .methods import method_named
from .table import HEADINGS, Record, by_method, circumstances, commands, number, rows

CAPTIONS = {
    "curves.png": "Cost on the validation states against wall time and against environment steps. For JFB and direct, "
    "which differentiate the model, a step is one of the model. The optimum is that of the states of the evaluation.",
    "gaps.png": "Distribution over the initial states.",
    "paths.png": "The same initial state, flown by each method; the optimum in grey.",
    "latency.png": "Time of one answer.",
    "robustness.png": "Mean cost against the strength of each disturbance. Nobody was trained for any of them.",
    "film.gif": "The same initial state on film; the optimum in grey.",
}
STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #1f2937; background: #fbfbf9 }
body { max-width: 70rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
figure { margin: 1.5rem 0 } img { max-width: max(100%, 40rem); height: auto; border-radius: 4px; background: #fff }
figcaption, .note { color: #6b7280; font-size: .9rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem; white-space: nowrap }
th, td { padding: .35rem .7rem; border-bottom: 1px solid #e5e7eb; text-align: right }
td { font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } th button { all: unset; cursor: pointer; font-weight: 600 }
th button:focus-visible { outline: 2px solid #2563eb } th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
pre { overflow-x: auto; background: #f3f4f6; padding: .8rem; font-size: .8rem; border-radius: 4px }
details { margin: .5rem 0 } summary { cursor: pointer }
"""
SCRIPT = """
document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.key, far = up ? Infinity : -Infinity;
    const order = (a, b) => {
      const x = key(a), y = key(b), p = x === "" ? far : +x, q = y === "" ? far : +y;
      const by = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p === q ? 0 : p - q;
      return up ? by : -by;
    };
    [...body.rows].sort(order).forEach(row => body.append(row));
  }));
});
"""


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
    parts = [
        f"<h1>{html.escape(name)}: the same environment, cost, starts and wall time</h1>",
        f"<p class=note>{html.escape(note)}</p>",
        table(HEADINGS, rows(list(records))),
        "".join(f"<p class=note>{html.escape(line)}</p>" for line in failed),
        *(figure(picture) for picture in pictures if picture.suffix in (".png", ".gif")),
        _robustness(list(records)),
        "<h2>How it was run</h2>",
        f"<pre>{html.escape(chr(10).join(commands(list(records))))}</pre>",
        *(_settings(runs[0]) for runs in by_method(list(records)).values()),
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(name)}: benchmark</title><style>{STYLE}</style></head>\n'
        f"<body>{''.join(parts)}<script>{SCRIPT}</script></body>\n</html>\n"
    )
    replace_file(path, page.encode())
    return path


def table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table that sorts by any column; numbers by value, also with units, signs and spreads."""
    head = "".join(f"<th><button>{html.escape(heading)}</button></th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_data, row))}</tr>" for row in cells)
    return f'<div class=wide><table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _data(cell: str) -> str:
    return f'<td data-key="{html.escape(sort_key(cell))}">{html.escape(cell)}</td>'


def sort_key(cell: str) -> str:
    """What a cell is sorted by: its number, without unit and spread; nothing for a dash; else the text."""
    word = cell.partition(" ")[0].replace(",", "")
    if word == "-":
        return ""
    try:
        return f"{100 * (float(word[1:]) - 1):g}" if word.startswith("×") else f"{float(word):g}"
    except ValueError:
        return cell


def figure(picture: Path) -> str:
    """The picture itself, as data."""
    kind = picture.suffix.removeprefix(".")
    caption = html.escape(CAPTIONS.get(picture.name, picture.stem))
    source = f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"
    return (
        f'<figure><div class=wide><img alt="{caption}" src="{source}"></div><figcaption>{caption}</figcaption></figure>'
    )


def _robustness(records: list[Record]) -> str:
    """A table per disturbance: mean cost, and success, by method and level."""
    found = {method: runs[0] for method, runs in by_method(records).items() if "robustness" in runs[0]}
    if not found:
        return ""
    parts = ["<h2>Robustness, seed 0: mean cost (success)</h2>"]
    for kind, levels in next(iter(found.values()))["robustness"].items():
        headings = ["method", *(f"{row['level']:g}" for row in levels)]
        cells = [
            [method_named(method).label, *(_cell(row) for row in run["robustness"][kind])]
            for method, run in found.items()
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
