"""Figures of results/: each is on a page, and each page shows only what is there and says what it is."""

import re

import pytest
from pages import ROOT, all_pages

IMAGE = re.compile(r"!\[(?P<words>[^\]]*)\]\((?P<path>[^)\s]+)\)")
NOT_IN_GIT = {"results/benchmark/bicycle100/film.gif"}
"""Heavy, and drawn again from what is beside it; where somebody drew it, it is no stranger."""


def images():
    """``(page, words, path)`` of every image on a page."""
    for page in all_pages():
        for found in IMAGE.finditer(page.read_text(encoding="utf-8")):
            yield page, found["words"], (page.parent / found["path"]).resolve()


def test_every_figure_is_on_a_page():
    if not (ROOT / "results").is_dir():
        pytest.skip("an installed package")
    shown = {path for _, _, path in images()}
    drawn = [path for ending in ("*.png", "*.gif") for path in (ROOT / "results").rglob(ending)]
    drawn = [path for path in drawn if "demo" not in path.parts and path.relative_to(ROOT).as_posix() not in NOT_IN_GIT]
    assert len(drawn) > 20 and [path for path in drawn if path not in shown] == []


def test_every_image_is_there_and_has_words():
    found = list(images())
    assert [(page, path) for page, _, path in found if not path.is_file()] == []
    assert [(page, path) for page, words, path in found if len(words.split()) < 2] == []
