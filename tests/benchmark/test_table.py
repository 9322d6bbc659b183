"""The table of a benchmark: numbers, means and spreads, what made it."""

import io
import math

import pytest

from pontryagin.training.benchmark.plots import curves_figure
from pontryagin.training.benchmark.table import HEADINGS, markdown, number, percent, rows, rows_of_few


def test_numbers_in_tables():
    assert [number(x) for x in (15.5994, 1234.5, 98765.4, 12_345_678)] == ["15.6", "1234", "98,765", "1.23e+07"]
    assert [percent(x) for x in (0.0123, 0.0, 2e-7, 1.5, 41.0)] == ["1.23 %", "0 %", "2e-05 %", "150 %", "4100 %"]
    assert [number(15.8, 0.00168), number(1005.2, 239.8)] == ["15.8 ± 0.0017", "1005 ± 240"]
    assert [percent(0.0149, 9e-5), percent(62.4, 13.6)] == ["1.49 ± 0.009 %", "6240 ± 1400 %"]


def test_the_table_has_means_and_spreads():
    def record(seed, cost):
        summary = {"cost_mean": cost, "gap_mean": cost / 10 - 1, "gap_worst": 0.1 * seed, "latency_ms": 0.5}
        summary |= {"terminal_error_mean": 0.1, "success_rate": 1.0}
        about = {"machine": {"processor": "P", "cores": 2}, "versions": {"torch": "2"}, "threads": 1, "date": "D"}
        run = {"method": "ppo", "seed": seed, "summary": summary, "seconds": 600.0, "env_steps": 1e7, "states": 128}
        return run | about | {"command": "pontryagin benchmark x"}

    table = rows([record(0, 11.0), record(1, 13.0)])
    named = dict(zip(HEADINGS, table[0], strict=True))
    assert named["cost, mean ± std"] == "12 ± 1.4" and named["gap, mean"] == "20 ± 14 %"
    assert named["gap, median"] == "-" and named["gap, worst"] == "10 %" and named["success"] == "100 ± 0 %"
    assert markdown([record(0, 11.0)]).splitlines()[2].startswith("| PPO | 1 | 11 |")
    later = record(1, 13.0) | {"date": "E", "command": "pontryagin benchmark x --seeds 2"}
    assert markdown([record(0, 11.0), later]).splitlines()[-1] == (
        "`pontryagin benchmark x`, `pontryagin benchmark x --seeds 2`; D to E, P, 2 cores, 1 thread(s) a run, torch 2."
    )


def test_what_flew_from_fewer_states_stands_beside_the_others_on_those():
    def record(method, seed, cost, states=4):
        run = {"method": method, "seed": seed, "states": states, "seconds": 1.0, "env_steps": 0.0, "threads": 1}
        run |= {"cost": cost, "gap": [c / 10 - 1 for c in cost], "terminal_error": [0.1] * len(cost), "date": "D"}
        run |= {"machine": {"processor": "P", "cores": 2}, "versions": {"torch": "2"}, "command": "c"}
        return run | {"summary": {"cost_mean": sum(cost) / len(cost), "latency_ms": 1.0}}

    runs = [record("jfb", 0, [11.0, 12.0, 90.0, 90.0]), record("jfb", 1, [11.0, 14.0, 90.0, 90.0])]
    assert rows_of_few(runs) == (4, [])
    runs.append(record("mpc", 0, [10.0, 10.5], states=2) | {"note": "slow"})
    assert [row[0] for row in rows(runs)] == ["JFB"]
    few, table = rows_of_few(runs)
    assert few == 2 and table == [
        ("JFB", "2", "12", "20 ± 7.1 %", "40 %", "0.1"), ("MPC", "1", "10.25", "2.5 %", "5 %", "0.1")
    ]  # fmt: skip
    text = markdown(runs)
    assert "From the first 2 of these states alone:" in text and "\n\nMPC, seed 0: slow.\n\n`c`" in text


@pytest.mark.parametrize("costs", [(math.inf, 5.0), (math.inf, math.inf), (-1.0, -2.0)])
def test_curves_are_drawn_whatever_the_costs(costs):
    rows = [{"seconds": k + 1.0, "env_steps": 10.0 * k + 10, "validation_cost": c} for k, c in enumerate(costs)]
    figure = curves_figure("one's own", {"ppo": [{"states": 2, "curve": rows}]}, None)
    figure.savefig(io.BytesIO())
    low, high = figure.axes[2].get_ylim()
    assert low < high and all(low < c < high for c in costs[1:] if math.isfinite(c))
