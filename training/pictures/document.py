"""A page in one HTML file, with its figures and tables inside; it needs no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

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


def document(title: str, parts: Sequence[str]) -> bytes:
    """The page: ``parts`` are its HTML."""
    page = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{STYLE}</style></head>\n'
        f"<body>{''.join(parts)}<script>{SCRIPT}</script></body>\n</html>\n"
    )
    return page.encode()


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


def figure(picture: Path, caption: str) -> str:
    """The picture itself, as data."""
    kind, caption = picture.suffix.removeprefix("."), html.escape(caption)
    source = f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"
    return (
        f'<figure><div class=wide><img alt="{caption}" src="{source}"></div><figcaption>{caption}</figcaption></figure>'
    )
