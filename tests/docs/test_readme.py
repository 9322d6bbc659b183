"""README: short, its figures those of results/, its names those of the catalogue, its links to files that exist."""

import re
import statistics
import sys

import pytest
from pages import ROOT, blocks

if not (ROOT / "README.md").exists():
    pytest.skip("an installed package", allow_module_level=True)
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from figures import read, written  # noqa: E402
from names import short_names  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES, WIDEST = 150, 120

SOURCES = {
    "`quadrotor`: 1000 optima, then JFB": ["quadrotor/evaluation.json"],
    "JFB from random weights, ten minutes, three seeds": [
        f"benchmark/quadrotor/jfb-random-{seed}.json:summary" for seed in range(3)
    ],
    "`quadrotor_wide`: 4000 optima, then JFB": ["quadrotor_wide/evaluation.json"],
    "`bicycle5`: expansions, held Hamiltonian": ["bicycle5/evaluation.json"],
    "`bicycle100`: one optimum, roles, then JFB": ["bicycle100/evaluation.json"],
    "feedback along one optimum (LQR)": ["classical/figures.json:LQR along one optimum"],
    "PPO, ten minutes, three seeds": [f"benchmark/quadrotor/ppo-{seed}.json:summary" for seed in range(3)],
}
"""Controller in the table of results -> where its figures come from; of several runs the mean, and the worst of all."""


def table(heading):
    """The rows of the table whose first heading is ``heading``, as cells."""
    lines = README[README.index(f"| {heading} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_it_is_short():
    lines = README.splitlines()
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > WIDEST] == []


def test_its_figures_are_those_of_results():
    rows = table("problem")
    assert [controller for _, controller, *_ in rows] == list(SOURCES) and len(rows) == 7
    for _, controller, *cells in rows:
        runs = []
        for source in SOURCES[controller]:
            file, _, key = source.partition(":")
            found = read(file)
            runs.append(found[key] if key else found)
        mean, median = (statistics.fmean(run[key] for run in runs) for key in ("gap_mean", "gap_median"))
        worst = max(run["gap_worst"] for run in runs)
        told = [written(mean, ".2%"), written(median, ".2%"), written(worst, ".1%")]
        assert cells == [*told, f"{runs[0]['states']:.0f}"], controller


def test_it_has_every_name():
    expected = short_names()
    assert expected in README, f"the table of all names in README is now:\n{expected}"


def test_its_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#\s]+)", README)
    assert len(links) > 12 and [link for link in links if not (ROOT / link).exists()] == []
    assert all(line.strip() for line in re.findall(r"!\[(.*?)\]", README))


def test_the_gap_that_is_printed_is_the_one_that_it_shows(capsys, monkeypatch):
    import types

    own = types.ModuleType("pasted_readme")  # a dataclass looks its module up
    monkeypatch.setitem(sys.modules, "pasted_readme", own)
    exec(blocks(ROOT / "README.md")[-1].code, own.__dict__)
    shown = re.search(r"```\n\n((?:    .*\n)+)", README)[1]
    expected = [line.split() for line in shown.splitlines()]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed[-3:] == expected


def test_the_citation_is_that_of_the_package():
    import pontryagin

    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f'version: "{pontryagin.__version__}"' in cited and f"version = {{{pontryagin.__version__}}}" in README
    assert "2510.00359" in cited and "2510.00359" in README
