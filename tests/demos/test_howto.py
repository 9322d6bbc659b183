"""The pages of docs/howto: every Python block runs, in order, in a folder of its own."""

import re
from pathlib import Path

import pytest

import pontryagin

FOLDER = Path(pontryagin.__file__).resolve().parent / "docs" / "howto"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
FOUND = {path.name: BLOCK.findall(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.md"))}
"""An installed package has no pages; some have commands alone."""


@pytest.mark.parametrize("page", [page for page, blocks in FOUND.items() if blocks])
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(FOUND[page]), page, "exec"), {"__name__": "page"})
