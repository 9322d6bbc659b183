"""What writes the generated pages: figures as text, tables, docstrings of the house as reStructuredText."""

import sys

import pytest
from pages import ROOT

if not (ROOT / "docs").is_dir():
    pytest.skip("an installed package", allow_module_level=True)
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import figures
import generated
import names

from pontryagin.envs.catalog import PROBLEMS


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.01039, ".2%", "1.04 %"),
        (66.301, ".0%", "6630 %"),
        (266.383, ".0%", "26,638 %"),
        (15.7453, ".3f", "15.745"),
        (6768564.2, ".0f", "6,768,564"),
        (-0.5, "+.1%", "-50.0 %"),
        (9.8e-07, ".1e", "9.8e-07"),
    ],
)
def test_a_figure_as_text(value, form, text):
    assert figures.written(value, form) == text


def test_a_figure_is_found_by_its_key_and_a_missing_one_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "kept.json").write_text('{"a b": {"rows": [{"mean": 0.25}]}}')
    assert figures.figure("kept.json:a b/rows/0/mean:.0%") == "25 %"
    for wrong in ("kept.json:a b/none:.0%", "other.json:mean:.0%", "kept.json:a b:.0%", "kept.json"):
        with pytest.raises(ValueError, match="names no figure of results"):
            figures.figure(wrong)


def test_tables_keep_bars_in_a_cell_and_pages_that_are_not_asked_for_go(tmp_path):
    assert generated.table(("a",), [("|u|",)]) == "| a |\n| --- |\n| \\|u\\| |\n"
    generated.write_pages(tmp_path, {"one": "1", "two": "2"})
    before = (tmp_path / "one.md").stat().st_mtime_ns
    generated.write_pages(tmp_path, {"one": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["one.md"]
    assert (tmp_path / "one.md").stat().st_mtime_ns == before, "written again, though nothing changed"


def test_both_tables_of_names_have_every_name():
    for text in (names.names_table(), names.short_names()):
        assert [name for name in PROBLEMS if f"`{name}`" not in text] == []


def test_what_a_gallery_without_a_known_optimum_says(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "gallery").mkdir()
    row = '{"problem": "p%d", "seed": 0, "mean": %s, "median": %s, "worst": null, "linear": 2.0, "known": 3, '
    row += '"mpc": 0.5, "seconds": 1.6, "stage": "9 expansions, s"}'
    for i, seed, mean in ((0, 0, "null"), (1, 0, "0.002"), (1, 1, "0.004")):
        (tmp_path / "gallery" / f"p{i}-{seed}.json").write_text(row % (i, mean, mean))
    said, _, _, _, first, second = figures.gallery().splitlines()
    assert said == "1 of 2 come within 1 % in the mean, whatever the draw."
    gaps = "| 0.20 %, 0.40 % | 0.20 %, 0.40 % | -, - | 200.00 %, 200.00 % | 50.00 %, 50.00 % |"
    assert "p1" in first and f"{gaps} 9, 9 expansions, s | 3, 3 | 2, 2 |" in first
    assert "p0" in second and "| - | - | - |" in second


def test_a_disturbance_that_one_method_has_not_met_is_a_dash(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    (tmp_path / "benchmark" / "p").mkdir(parents=True)
    row = '[{"level": 1, "success_rate": 0.5, "cost_mean": 2.0}]'
    for method, met in (("jfb", f'"wind": {row}, "delay": {row}'), ("ppo", f'"wind": {row}'), ("mine", "")):
        record = f'{{"method": "{method}", "seed": 0, "robustness": {{{met}}}}}'
        (tmp_path / "benchmark" / "p" / f"{method}-0.json").write_text(record)
    lines = figures.robustness("p").splitlines()
    assert "| wind | 1 | 50 %, 2 | 50 %, 2 | - |" in lines and "| delay | 1 | 50 %, 2 | - | - |" in lines


def test_docstrings_become_restructured_text():
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    from docstrings import converted

    lines = ["Fly |u| to z* in `T`.", "", "    L = |u|²", "", "| a | b |", "|---|---|", "| 1 | x_ |", "", "## Head", ""]
    text = converted([*lines, "Args:", "    u: the control u_", "        and more."])
    assert text[0] == r"Fly \|u\| to z\* in ``T``."
    assert text[text.index("::") : text.index("::") + 3] == ["::", "", "    L = |u|²"]
    start = text.index(".. list-table::")
    assert text[start + 3 : start + 7] == ["   * - a", "     - b", "   * - 1", r"     - x\_"]
    assert "**Head**" in text and text[-2:] == [r"    u: the control u\_", "        and more."]


def test_formulae_become_mathml_or_are_refused_with_their_text():
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    from mathml import convert

    assert "<mfrac>" in convert(r"\frac{1}{2}", block=True) and "display" in convert("x", block=True)
    with pytest.raises(ValueError, match="nosuchcommand"):
        convert(r"\nosuchcommand", block=False)
    with pytest.raises(ValueError, match="has no braces"):
        convert(r"\tfrac12 |u|^2", block=False)
