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
    """Up to the first section of Google's style, blocks that are indented or a Markdown table become literal blocks,
    and Markdown headings bold lines; after it only the characters are escaped."""
    found: list[str] = []
    literal = section = False
    for line in lines:
        section = section or line.strip() in SECTIONS and not line.startswith(" ")
        verbatim = not section and bool(line) and (line.startswith("    ") or line.startswith("| "))
        if verbatim and not literal:
            found += ["", "::", ""]
        elif literal and line and not verbatim:
            found.append("")
        literal = verbatim or (literal and not line)
        if verbatim:
            found.append("    " + line.removeprefix("    "))
        elif not section and line.startswith("## "):
            found += [f"**{line[3:]}**", ""]
        else:
            found.append(escaped(line))
    return found


def process(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = converted(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=BEFORE_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
