"""Every block of Python on every page is run, in the order of the page, as a reader would paste it."""

import os
import sys
import types

import matplotlib
import pytest
import torch
from pages import ROOT, all_pages, blocks

WITH_BLOCKS = [path for path in all_pages() if blocks(path)]


def run(path, wanted, tmp_path, monkeypatch):
    """Run the blocks of a page up to the last one that is wanted; those that are slow only if it is one of them."""
    pytest.importorskip("gymnasium")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "SDL_VIDEODRIVER", "dummy")
    matplotlib.use("Agg")
    torch.manual_seed(0)
    page = types.ModuleType("pasted")
    monkeypatch.setitem(sys.modules, "pasted", page)  # a dataclass looks its module up
    for block in blocks(path):
        if block.mark in wanted:
            code = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
            exec(code, page.__dict__)
    return page


def test_there_are_blocks_in_readme_and_in_every_tutorial():
    tutorials = [path for path in all_pages() if path.parent.name == "tutorials" and path.stem != "index"]
    assert {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *tutorials} <= set(WITH_BLOCKS) and len(tutorials) >= 4


def test_every_fence_of_python_is_found():
    for path in all_pages():
        text = path.read_text(encoding="utf-8")
        assert text.count("```python") == len(blocks(path)), path


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(path, tmp_path, monkeypatch, capsys):
    run(path, {""}, tmp_path, monkeypatch)


SLOW = [path for path in WITH_BLOCKS if any(block.mark == "slow" for block in blocks(path))]


@pytest.mark.slow
@pytest.mark.parametrize("path", SLOW, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_slow_blocks_of_a_page_run(path, tmp_path, monkeypatch):
    run(path, {"", "slow"}, tmp_path, monkeypatch)
