"""Figures of results/ as text, and the tables that are made of them. Nothing here needs Sphinx."""

from __future__ import annotations

import functools
import itertools
import json
import math
import statistics
from pathlib import Path
from typing import Any

from generated import FOLDER, table

from pontryagin.training.benchmark.methods import METHODS, method_named
from pontryagin.training.benchmark.table import by_method

RESULTS = Path(__file__).resolve().parents[2] / "results"
LEAST_FOR_COMMAS = 10_000
Record = dict[str, Any]


@functools.cache
def read(file: str) -> Any:
    return json.loads((RESULTS / file).read_text(encoding="utf-8"))


def written(value: float, form: str) -> str:
    """A figure as text: a format of Python's, with a space before %, commas from ten thousand on."""
    share = form.endswith("%")
    if share and abs(100 * value) >= LEAST_FOR_COMMAS or not share and abs(value) >= LEAST_FOR_COMMAS:
        form = "," + form.removeprefix(",")
    text = format(value, form)
    return text[:-1] + " %" if share else text


def figure(text: str) -> str:
    """``file:key:format`` as the figure that it names.

    Raises:
        ValueError: saying what is missing.
    """
    file, _, rest = text.partition(":")
    key, _, form = rest.rpartition(":")
    try:
        found = read(file)
        for part in key.split("/"):
            found = found[int(part)] if isinstance(found, list) else found[part]
        return written(float(found), form)
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{text!r} names no figure of results/: {error!r}") from error


def records(problem: str, room: str = "benchmark") -> list[Record]:
    """The runs of a benchmark, or of another room of results/, in the order of its methods; one's own agents last."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS / room / problem).glob("*.json")]
    order = {method: place for place, method in enumerate(METHODS)}
    return sorted(found, key=lambda record: (order.get(record["method"], len(order)), record["method"], record["seed"]))


def mean_rows(runs: list[Record], disturbance: str) -> list[tuple[float, float, float | None]]:
    """Level, share that lands and mean cost over the seeds, ``None`` where a flight had none; [] if not all met it."""
    found = []
    if any(disturbance not in run["robustness"] for run in runs):
        return found
    for rows in zip(*(run["robustness"][disturbance] for run in runs), strict=True):
        costs = [row["cost_mean"] for row in rows]
        cost = None if None in costs else statistics.fmean(costs)
        found.append((rows[0]["level"], statistics.fmean(row["success_rate"] for row in rows), cost))
    return found


def robustness(problem: str, room: str = "benchmark") -> str:
    """A row for each disturbance and strength: flights that land, mean cost."""
    runs = {name: made for name, made in by_method(records(problem, room)).items() if "robustness" in made[0]}
    lines: list[tuple[str, ...]] = []
    for disturbance in dict.fromkeys(kind for made in runs.values() for kind in made[0]["robustness"]):
        columns = [mean_rows(made, disturbance) for made in runs.values()]
        for cells in itertools.zip_longest(*columns):
            told = ("-" if x is None else f"{written(x[1], '.0%')}, {cost_text(x[2])}" for x in cells)
            lines.append((disturbance, f"{next(x for x in cells if x)[0]:g}", *told))
    return table(("disturbance", "strength", *(method_named(name).label for name in runs)), lines)


def cost_text(cost: float | None) -> str:
    """Three figures; inf where a flight had no finite cost."""
    return "inf" if cost is None else format(cost, ".3g" if cost < 1000 else ",.0f")


def gallery(room: str = "gallery") -> str:
    """The problems of other people, best first: a figure for each seed. Those of the gallery have pages."""
    problems: dict[str, list[dict]] = {}
    for path in sorted((RESULTS / room).glob("*-*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        problems.setdefault(row["problem"], []).append(row)
    worst = {
        name: max(math.inf if row["mean"] is None else row["mean"] for row in rows) for name, rows in problems.items()
    }
    headings = (
        "problem", "gap, mean", "median", "worst", "linear feedback along one optimum, mean", "MPC, mean",
        "it ended with", "fresh states whose optimum is known", "seconds",
    )  # fmt: skip
    lines = []
    for name in sorted(problems, key=worst.__getitem__):
        rows = problems[name]
        gaps = [
            ", ".join("-" if row.get(key) is None else written(row[key], ".2%") for row in rows)
            for key in ("mean", "median", "worst", "linear", "mpc")
        ]
        stages = "; ".join(dict.fromkeys(row["stage"].split(", ")[-1] for row in rows))
        sizes = ", ".join(row["stage"].split(" ")[0] for row in rows)
        known, seconds = (", ".join(f"{row[key]:.0f}" for row in rows) for key in ("known", "seconds"))
        title = f"[`{name}`](/{FOLDER}/environments/{name}.md)" if room == "gallery" else f"`{name}`"
        lines.append((title, *gaps, f"{sizes} expansions, {stages}", known, seconds))
    near = sum(x <= 0.01 for x in worst.values())
    return f"{near} of {len(problems)} come within 1 % in the mean, whatever the draw.\n\n" + table(headings, lines)


def sweeps() -> str:
    """What demos/sweeps.py measured, a row for each problem."""
    rows = json.loads((RESULTS / "sweeps" / "sweeps.json").read_text(encoding="utf-8"))
    ways = next(iter(rows.values()))
    lines = []
    for name, row in rows.items():
        gaps = (
            f"{written(x['mean'], '.3%')}, {written(x['worst'], '.2%')}, {x['seconds']:.0f} s" for x in row.values()
        )
        lines.append((f"`{name}`, {next(iter(row.values()))['optima']:.0f}", *gaps))
    return table(("problem, optima", *ways), lines)


def cures() -> str:
    """What demos/cures.py measured, a row for each cure that was left out, a column for each seed."""
    rows = {key: run for key, run in read("cures/figures.json").items() if key != "options"}
    seeds = sorted({key.rpartition(", ")[2] for key in rows})
    names = dict.fromkeys(key.rpartition(", ")[0] for key in rows)
    lines = []
    for name in names:
        runs = [rows.get(f"{name}, {seed}") for seed in seeds]
        lines.append((name, *("" if run is None else written(run["gap_mean"], ".2%") for run in runs)))
    return table(("gap, mean", *seeds), lines)


def networks() -> str:
    """What demos/networks.py measured, the best network first."""
    rows = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS / "networks").glob("*.json")}
    lines = []
    for name in sorted(rows, key=lambda name: rows[name]["network"]["mean"]):
        row, ways = rows[name], ("network", "policy", "linear")
        gaps = (", ".join(written(row[way][key], ".2%") for key in ("mean", "worst")) for way in ways)
        lines.append((f"`{name}`", *gaps, f"{row['known']} of {row['states']}", f"{row['seconds']:.0f}"))
    headings = (
        "problem",
        "network: mean, worst",
        "policy of `solve`",
        "linear feedback along one optimum",
        "known optima",
        "seconds",
    )
    return table(headings, lines)


TIMES = ("eager", "first", "compiled")
"""Of a row of demos/compiling.py."""


def speed() -> str:
    """What demos/speed.py measured, a column for each problem."""
    paths = sorted((RESULTS / "speed").glob("*.json"))
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    keys = list(dict.fromkeys(key for found in files.values() for key in found))
    lines = [(key, *(speed_text(found.get(key, "-")) for found in files.values())) for key in keys]
    return table(("", *(f"`{name}`" for name in files)), lines)


def compiling() -> str:
    """What demos/compiling.py measured, a row for each problem."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((RESULTS / "compiling").glob("*.json"))]
    lines = [
        (f"`{row['problem']}`", f"{row['states']}, {row['controls']}", *(written(row[k], ".3g") for k in TIMES))
        for row in rows
    ]
    return table(("problem", "states, controls", "eager iteration, s", "compiling, s", "compiled iteration, s"), lines)


def optima() -> str:
    """What demos/optima.py measured, a row for each problem."""
    rows = json.loads((RESULTS / "optima" / "figures.json").read_text(encoding="utf-8"))
    headings = (
        "problem",
        "states",
        "failed",
        "ms each",
        "IPOPT failed",
        "IPOPT, ms each",
        "agree",
        "cheaper",
        "dearer",
    )
    lines = []
    for name, row in rows.items():
        ours, ipopt, both = row["torch"], row["ipopt"], row["both"]
        times = [written(x["cpu_ms_each"], ".0f") for x in (ours, ipopt)]
        failed = f"{ipopt['failures']} of {ipopt['states']}"
        agree = (f"{both['agree']} of {both['converged']}", str(both["cheaper"]), str(both["dearer"]))
        lines.append((f"`{name}`", str(ours["states"]), str(ours["failures"]), times[0], failed, times[1], *agree))
    return table(headings, lines)


def speed_text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return written(value, ".3g" if abs(value) < LEAST_FOR_COMMAS else ".0f")
