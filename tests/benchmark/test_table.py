"""The table of a benchmark: numbers, means and spreads, what made it."""

import io
import math

import pytest

from pontryagin.training.benchmark.plots import curves_figure
from pontryagin.training.benchmark.table import HEADINGS, markdown, number, percent, rows


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


@pytest.mark.parametrize("costs", [(math.inf, 5.0), (math.inf, math.inf), (-1.0, -2.0)])
def test_curves_are_drawn_whatever_the_costs(costs):
    rows = [{"seconds": k + 1.0, "env_steps": 10.0 * k + 10, "validation_cost": c} for k, c in enumerate(costs)]
    figure = curves_figure("one's own", {"ppo": [{"states": 2, "curve": rows}]}, None)
    figure.savefig(io.BytesIO())
    low, high = figure.axes[2].get_ylim()
    assert low < high and all(low < c < high for c in costs[1:] if math.isfinite(c))
