"""The page of a benchmark, in a browser, without a network."""

import imageio
import numpy as np
import pytest

from pontryagin.training.benchmark.methods import METHODS, methods_named
from pontryagin.training.benchmark.page import write_report
from pontryagin.training.benchmark.plots import curves_figure
from pontryagin.training.pictures import sort_key, table


def record(method, cost, seed=0, **more):
    summary = {"cost_mean": cost, "gap_mean": cost / 15 - 1, "gap_median": cost / 16 - 1, "gap_worst": cost / 14 - 1}
    summary |= {"terminal_error_mean": 0.1, "success_rate": 1.0, "latency_ms": 0.5}
    level = {"cost_median": cost, "terminal_error_mean": 0.1, "success_rate": 0.5}
    rows = [{"level": 0.0, "cost_mean": cost, **level}, {"level": 1.0, "cost_mean": None, **level}]
    return {
        "method": method, "seed": seed, "summary": summary, "seconds": 600.0, "env_steps": 1e7, "states": 128,
        "threads": 1, "budget_seconds": 600.0, "date": "2026-11-25", "command": "pontryagin benchmark quadrotor",
        "machine": {"processor": "a <processor> & more", "cores": 2}, "versions": {"torch": "2.13.0"},
        "settings": {"learning_rate": 0.001}, "robustness": {"wind": rows}, **more,
    }  # fmt: skip


@pytest.fixture
def page(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    imageio.imwrite(tmp_path / "curves.png", np.tile(colours, (10, 20, 1)))  # wider than a phone
    imageio.mimwrite(tmp_path / "film.gif", [colours, colours[::-1]])
    records = [record("jfb", 15.7), record("ppo", 104.0), record("sac", 21.5), record("ppo", 96.0, 1)]
    records.append({**record("mpc", 1.0), "failed": "no <optimum> here"})
    pictures = [tmp_path / "curves.png", tmp_path / "film.gif", tmp_path / "table.md"]
    return write_report("quadrotor", records, pictures, tmp_path / "report.html")


def test_pictures_and_sorting_without_a_network_and_on_a_phone(page, browser, tmp_path):
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    tab = context.new_page()
    asked, failures = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: failures.append(str(error)))
    moved = page.rename(tmp_path / "elsewhere.html")
    for picture in tmp_path.glob("*.*g*f"):
        picture.unlink()
    tab.goto(moved.as_uri())
    assert not failures and [url for url in asked if not url.startswith(("file:", "data:"))] == []
    widths = tab.eval_on_selector_all("img", "images => images.map(i => [i.naturalWidth, i.clientWidth])")
    assert [natural for natural, _ in widths] == [1200, 60] and widths[0][
        1
    ] == 640  # to be scrolled, not too small to read
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390

    def methods():
        return tab.eval_on_selector_all(
            "table.sortable >> nth=0 >> tbody tr", "rows => rows.map(r => r.cells[0].innerText)"
        )

    button = tab.locator("table.sortable").first.locator("th button")
    assert methods() == ["JFB", "PPO", "SAC", "MPC"]
    button.nth(2).click()
    assert methods() == ["JFB", "SAC", "PPO", "MPC"]  # 15.7, 21.5, 100: by value; what has none comes last
    button.nth(2).click()
    assert methods() == ["PPO", "SAC", "JFB", "MPC"]
    button.nth(0).click()
    assert methods() == ["JFB", "MPC", "PPO", "SAC"]
    assert tab.locator("th").first.get_attribute("aria-sort") == "ascending"
    text = tab.locator("body").inner_text()
    assert "a <processor> & more" in text and "no <optimum> here" in text and "inf (50 %)" in text
    context.close()


def test_the_page_is_self_contained(page):
    text = page.read_text()
    assert text.count("<img ") == 2 and 'src="data:image/png;base64,' in text and "http" not in text
    assert "&lt;processor&gt;" in text and "no &lt;optimum&gt; here" in text and "<optimum>" not in text


def test_cells_sort_by_their_numbers():
    cells = ("15.7 ± 0.1", "2.5 %", "×42", "98,765", "1.23e+07", "-", "JFB")
    assert [sort_key(cell) for cell in cells] == ["15.7", "2.5", "4100", "98765", "1.23e+07", "", "JFB"]
    assert 'data-key="15.7"' in table(("cost",), [("15.7 ± 0.1",)])


def test_a_run_that_died_at_its_first_step_is_a_line():
    dead = {"seconds": 2.0, "env_steps": 0.0, "validation_cost": 25_682.0}
    alive = [{"seconds": 1.0 + k, "env_steps": 10.0 + k, "validation_cost": 20.0 - k} for k in range(3)]
    found = {"ppo": [record("ppo", 25_682.0, curve=[dead])], "jfb": [record("jfb", 18.0, curve=alive)]}
    figure = curves_figure("crazyflie", found, 15.0)
    drawn = [[line.get_label() for line in axis.lines if line.get_label()[0] != "_"] for axis in figure.axes]
    assert all({"PPO", "JFB"} <= set(labels) for labels in drawn)


def test_agents_of_ones_own_have_a_colour_each():
    looks = methods_named(["before", "jfb", "after", "observed", "robust"])
    assert len({look.color for look in looks.values()}) == 5
    assert looks["jfb"] == METHODS["jfb"]
