"""The pages of docs/howto: every Python block runs, in order, in a folder of its own."""

import re
from pathlib import Path

import pytest

import pontryagin

FOLDER = Path(pontryagin.__file__).resolve().parent / "docs" / "howto"
PAGES = sorted(path.name for path in FOLDER.glob("*.md")) if FOLDER.exists() else []  # an installed package has none


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (FOLDER / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    exec(compile("\n".join(blocks), page, "exec"), {"__name__": "page"})
