"""The pages that people write: README, CONTRIBUTING and all of docs/, and the blocks of Python in them."""

import dataclasses
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
BLOCK = re.compile(
    r"^(?:% (?P<mark>slow|needs a file)[^\n]*\n\n)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
"""A line "% slow: why" above a block keeps it for the slow tests; "% needs a file: which", for the page's own test."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of Python: its line in the page, how it is marked, what it says."""

    line: int
    mark: str
    code: str


def all_pages() -> list[Path]:
    """The pages of the repository, less those that are written when the site is built."""
    site = [
        path for path in (ROOT / "docs").rglob("*.md") if path.relative_to(ROOT).parts[1] not in ("_build", "generated")
    ]
    return [path for path in OWN if path.exists()] + sorted(site)


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, found.start("code")) + 1, found["mark"] or "", found["code"])
        for found in BLOCK.finditer(text)
    ]
