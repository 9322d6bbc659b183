"""Figures of ``pontryagin benchmark``: every seed is drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np

from ...envs.problem import Problem
from ..disturbances import disturbances
from ..pictures import INK, SOFT, plain_ticks, save_figure, tidy
from .methods import Method, methods_named
from .paths import Ghost, paths_figure
from .table import Record, by_method

Axis = matplotlib.axes.Axes


def benchmark_figures(
    problem: Problem, name: str, records: list[Record], optimum: float | None, ghost: Ghost | None, folder: Path
) -> list[Path]:
    """Draw the figures that the records have data for, and return their paths.

    Args:
        problem, name: what was controlled.
        records: of runs that did not fail.
        optimum: mean cost of the optima, where they are known.
        ghost: the optimum from the first state, as in ``paths_figure``.
        folder: for the figures.
    """
    found = by_method(records)
    paths = []
    if any(run["curve"] for runs in found.values() for run in runs):
        paths.append(save_figure(curves_figure(name, found, optimum), folder / "curves.png", 110))
    paths.append(save_figure(distribution_figure(name, found), folder / "gaps.png", 110))
    paths.append(save_figure(paths_figure(problem, found, ghost), folder / "paths.png", 110))
    paths.append(save_figure(latency_figure(found), folder / "latency.png", 110))
    if any("robustness" in run for runs in found.values() for run in runs):
        paths.append(save_figure(robustness_figure(problem, name, found), folder / "robustness.png", 110))
    return paths


def curves_figure(name: str, found: dict[str, list[Record]], optimum: float | None) -> matplotlib.figure.Figure:
    """Validation cost against wall time, all of it and the end of it, and against environment steps."""
    figure = matplotlib.figure.Figure(figsize=(17, 5.4), layout="constrained")
    axes = figure.subplots(1, 3)
    most = max(runs[0]["states"] for runs in found.values())
    keys = {"seconds": "wall time, everything included (s)", "env_steps": "environment steps"}
    highest, lowest, looks = 0.0, math.inf, methods_named(found)
    for axis, key in zip(axes, ("seconds", "env_steps", "seconds"), strict=True):
        for method, runs in found.items():
            if runs[0]["states"] == most:  # the mean over fewer states is another figure
                best = _curves(axis, looks[method], runs, key)
                best = best[np.isfinite(best)]
                highest, lowest = max([highest, *best]), min([lowest, *best])
        if optimum is not None:
            axis.axhline(optimum, color=INK, ls="--", lw=1.2, label=f"optimum of the test states, {optimum:.4g}")
        axis.set(xscale="log", xlabel=keys[key])
    bottom, until = lowest if optimum is None else min(lowest, optimum), axes[0].get_xlim()[1]
    for axis in axes[:2]:
        if 0 < bottom < math.inf:
            axis.set(yscale="log", ylim=(0.75 * bottom, 1.6 * highest))  # single runs may leave the frame
            plain_ticks(axis.yaxis)
    axes[2].set_xlim(until / 40, until)
    if math.isfinite(lowest):
        axes[2].set_ylim(bottom - 0.05 * abs(lowest), lowest + 0.6 * abs(lowest))
    axes[2].set_title("the end of it", loc="left")
    plain_ticks(axes[0].xaxis)
    plain_ticks(axes[2].xaxis)
    axes[0].set_ylabel("cost J on the validation states")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside right center")
    figure.suptitle(f"{name}: thin lines are the runs as they went, thick ones the best so far, mean of the seeds",
                    color=INK, fontsize=13)  # fmt: skip
    tidy(figure)
    return figure


def _curves(axis: Axis, look: Method, runs: list[Record], key: str) -> np.ndarray:
    """Draw the seeds of a method, and their mean, which is returned; a controller that has learnt nothing is a line."""
    learned = [run for run in runs if any(row[key] > 1e-2 for row in run["curve"])]
    if not learned:
        cost = runs[0]["summary"]["cost_mean"]
        axis.axhline(cost, color=look.color, ls=":", lw=1.6, label=look.label)
        return np.array([cost])
    x = [np.array([max(row[key], 1e-3) for row in run["curve"]]) for run in learned]
    y = [np.array([row["validation_cost"] for row in run["curve"]]) for run in learned]
    for at, cost in zip(x, y, strict=True):
        shown = np.isfinite(cost) & (at > 1e-2)
        axis.plot(at[shown], cost[shown], color=look.color, lw=0.6, alpha=0.45)
    begin, end = max(float(at[at > 1e-2].min()) for at in x), min(float(at.max()) for at in x)
    grid = np.geomspace(begin, max(end, begin * 1.001), 200)
    best = np.mean([np.interp(grid, at, np.minimum.accumulate(cost)) for at, cost in zip(x, y, strict=True)], 0)
    axis.plot(grid, best, color=look.color, lw=2.2, label=look.label)
    return np.asarray(best)


def distribution_figure(name: str, found: dict[str, list[Record]]) -> matplotlib.figure.Figure:
    """Share of the states whose gap to the optimum, or cost where that is not known, is below the abscissa."""
    figure = matplotlib.figure.Figure(figsize=(8, 4.8), layout="constrained")
    axis = figure.subplots()
    known = all(run["gap"] is not None for runs in found.values() for run in runs)
    looks = methods_named(found)
    for method, runs in found.items():
        look = looks[method]
        for index, run in enumerate(runs):
            values = np.sort(run["gap"] if known else run["cost"])
            values = np.maximum(100 * values, 1e-4) if known else values
            share = np.arange(1, len(values) + 1) / len(values)
            label = look.label if index == 0 else None
            axis.plot(values, share, color=look.color, lw=1.4, alpha=0.9, drawstyle="steps-post", label=label)
    axis.set(xscale="log", ylabel="share of the initial states", xlabel="gap to the optimum (%)" if known else "cost J")
    axis.set_title(f"{name}: all initial states, all seeds", loc="left")
    figure.legend(frameon=False, loc="outside right center")
    tidy(figure)
    return figure


def latency_figure(found: dict[str, list[Record]]) -> matplotlib.figure.Figure:
    """Milliseconds of one answer for one observation."""
    figure = matplotlib.figure.Figure(figsize=(8, 0.55 * len(found) + 1.2), layout="constrained")
    axis = figure.subplots()
    values = [float(np.mean([run["summary"]["latency_ms"] for run in runs])) for runs in found.values()]
    looks = list(methods_named(found).values())
    axis.barh([look.label for look in looks], values, color=[look.color for look in looks], height=0.6)
    for index, value in enumerate(values):
        axis.text(1.08 * value, index, f"{value:.3g}", va="center", color=INK, fontsize=9)
    axis.set(xscale="log", xlabel="ms per answer: one observation in, one action out, eager, on the CPU")
    axis.set_xlim(0.5 * min(values), 3 * max(values))
    axis.invert_yaxis()
    tidy(figure)
    return figure


def robustness_figure(problem: Problem, name: str, found: dict[str, list[Record]]) -> matplotlib.figure.Figure:
    """Cost against the strength of each disturbance: mean of the seeds, and their range."""
    met = {kind for runs in found.values() for run in runs for kind in run.get("robustness", ())}
    kinds = {kind: disturbance for kind, disturbance in disturbances(problem).items() if kind in met}
    looks = methods_named(found)
    figure = matplotlib.figure.Figure(figsize=(15, 4.1 * math.ceil(len(kinds) / 3)), layout="constrained")
    axes = figure.subplots(math.ceil(len(kinds) / 3), 3, squeeze=False).ravel()
    for axis, (kind, disturbance) in zip(axes, kinds.items(), strict=False):
        for method, runs in found.items():
            rows: list[list[dict[str, Any]]] = [r["robustness"][kind] for r in runs if kind in r.get("robustness", ())]
            if not rows:
                continue
            level = [row["level"] for row in rows[0]]
            cost = np.array([[_value(row["cost_mean"], problem.lost_cost) for row in run] for run in rows])
            look = looks[method]
            axis.plot(level, cost.mean(0), "o-", color=look.color, lw=1.8, ms=4, label=look.label)
            if len(rows) > 1:
                axis.fill_between(level, cost.min(0), cost.max(0), color=look.color, alpha=0.15, lw=0)
        axis.axvline(disturbance.calm, color=SOFT, lw=0.8, ls=":")
        axis.set(xlabel=disturbance.title, title=kind)
        if any(np.isfinite(line.get_ydata()).any() for line in axis.lines[:-1]):
            axis.set_yscale("log")
            plain_ticks(axis.yaxis)
        else:
            axis.text(0.5, 0.5, "no mean cost: flights are lost", ha="center", va="center", transform=axis.transAxes)
    for unused in axes[len(kinds) :]:
        unused.remove()
    handles = {
        text: line for axis in axes[: len(kinds)] for line, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(handles.values()), list(handles), frameon=False, loc="outside lower center", ncols=8)
    for axis in axes[0 : len(kinds) : 3]:
        axis.set_ylabel("mean cost J")
    figure.suptitle(f"{name}: the cost under what the model does not have", color=INK, fontsize=13)
    tidy(figure)
    return figure


def _value(cost: float | None, most: float) -> float:
    """What is drawn: nothing where flights are lost, or cost more than one that is."""
    return math.nan if cost is None or cost > most else cost
