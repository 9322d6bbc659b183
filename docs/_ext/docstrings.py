"""The docstrings of the house as reStructuredText: indented formulae stay as they are, | and * mean themselves."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

SECTIONS = {"Args:", "Returns:", "Raises:", "Yields:", "Attributes:", "Example:", "Examples:", "Note:"}
BEFORE_NAPOLEON = 400


def escaped(line: str) -> str:
    """Outside of ``literals``: |, * and a trailing _ are no markup; a single `word` is a literal."""
    parts = re.split(r"(``.+?``)", line)
    for i in range(0, len(parts), 2):
        part = re.sub(r"`([^`]+)`", r"``\1``", parts[i])
        parts[i] = "".join(
            piece if piece.startswith("``") else re.sub(r"([|*])|(?<=\w)(_)(?!\w)", r"\\\1\2", piece)
            for piece in re.split(r"(``.+?``)", part)
        )
    return "".join(parts)


def converted(lines: list[str]) -> list[str]:
    """Up to the first section of Google's style, blocks that are indented become literal blocks, Markdown's tables and
    headings tables and bold lines; after it only the characters are escaped."""
    found: list[str] = []
    table: list[str] = []
    literal = section = False
    for line in [*lines, ""]:
        section = section or (line.strip() in SECTIONS and not line.startswith(" "))
        if line.startswith("|") and not section:
            table.append(line)
            continue
        found += list_table(table)
        table = []
        verbatim = not section and line.startswith("    ") and bool(line.strip())
        if verbatim and not literal:
            found += ["", "::", ""]
        elif literal and line and not verbatim:
            found.append("")
        literal = verbatim or (literal and not line)
        if not verbatim and not section and line.startswith("## "):
            found += [f"**{line[3:]}**", ""]
        else:
            found.append(line if verbatim else escaped(line))
    return found[:-1]


def list_table(lines: list[str]) -> list[str]:
    """A Markdown table, its headings first, as the directive ``list-table``."""
    if not lines:
        return []
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    rows = [row for row in rows if not all(set(cell) <= {"-", ":"} and cell for cell in row)]
    found = ["", ".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        found += [f"   {'* -' if i == 0 else '  -'} {escaped(cell)}".rstrip() for i, cell in enumerate(row)]
    return [*found, ""]


def process(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """An empty comment comes before the text of an attribute: Napoleon takes "type: text" from the first line alone."""
    lines[:] = ["..", ""] * (what in ("attribute", "data", "property")) + converted(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=BEFORE_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
