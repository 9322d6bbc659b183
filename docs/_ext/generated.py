"""Pages that are written before Sphinx reads: only what changed, so that a second build is quick."""

from __future__ import annotations

from pathlib import Path

from pontryagin.envs.files import replace_file

FOLDER = "generated"
"""Below docs/, not in git."""


def write_pages(folder: Path, pages: dict[str, str]) -> None:
    """Write ``pages``, name to text, as ``folder/NAME.md``, and remove those that are no longer asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            replace_file(path, text.encode())


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; a bar in a cell does not end it."""
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
