"""Figures of results/: each is on a page, each film linked from one; what a page shows is there and has words."""

import re
import subprocess

import pytest
from pages import ROOT, all_pages

IMAGE = re.compile(r"!\[(?P<words>[^\]]*)\]\((?P<path>[^)\s]+)\)")
FILM = re.compile(r"\[[^\]]+\]\((?P<path>[^)\s]+\.mp4)\)")


def images():
    """``(page, words, path)`` of every image on a page."""
    for page in all_pages():
        for found in IMAGE.finditer(page.read_text(encoding="utf-8")):
            yield page, found["words"], (page.parent / found["path"]).resolve()


def test_every_figure_is_on_a_page():
    if not (ROOT / ".git").exists():
        pytest.skip("no repository: an installed package, or a folder of its files")
    listed = subprocess.run(["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    drawn = [name for name in listed.splitlines() if name.endswith((".png", ".gif", ".mp4"))]
    shown = {path for _, _, path in images()}
    for page in all_pages():
        shown |= {(page.parent / x["path"]).resolve() for x in FILM.finditer(page.read_text(encoding="utf-8"))}
    assert len(drawn) > 20 and [name for name in drawn if ROOT / name not in shown] == []


def test_every_image_is_there_and_has_words():
    found = list(images())
    assert [(page, path) for page, _, path in found if not path.is_file()] == []
    assert [(page, path) for page, words, path in found if len(words.split()) < 2] == []
