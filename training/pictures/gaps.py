"""How far above the optimum: every state of a sample in one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.figure
import numpy as np

from .paths import ACCENT, INK, Array
from .plots import tidy

LEAST = 1e-4
"""Gaps below a hundredth of a per cent are drawn there."""


def draw_gaps(gaps: Mapping[str, Array], title: str) -> matplotlib.figure.Figure:
    """Of each controller the share of states (across) that it flies within a gap (upwards, per cent, logarithmic)."""
    figure = matplotlib.figure.Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for (name, gap), color in zip(gaps.items(), (ACCENT, INK), strict=False):
        seen = np.sort(gap[np.isfinite(gap)]).clip(LEAST)
        if not len(seen):
            continue
        share = 100 * (np.arange(len(seen)) + 0.5) / len(seen)
        axis.plot(share, 100 * seen, color=color, lw=2, marker=".", ms=5)
        axis.annotate(name, (share[-1], 100 * seen[-1]), (-6, 4), textcoords="offset points", ha="right", color=color)
    axis.axhline(1, color="0.8", lw=1, zorder=0)
    axis.set(
        yscale="log", xlim=(0, 101), xlabel="fresh states, from the best flown to the worst (%)",
        ylabel="cost above the optimum (%)", title=title,
    )  # fmt: skip
    tidy(figure)
    return figure


def draw_gallery(rows: list[dict[str, object]]) -> matplotlib.figure.Figure:
    """Mean and worst gap of each problem, beside linear feedback and MPC, on a logarithmic axis; a mark a seed."""
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(str(row["problem"]), []).append(_number(row["mean"]))
    names = sorted(means, key=lambda name: -max(x if x == x else math.inf for x in means[name]))
    figure = matplotlib.figure.Figure(figsize=(8, 0.42 * len(names) + 1.6), layout="constrained")
    axis = figure.subplots()
    kinds = (("linear", "linear feedback along one optimum, mean", "C1", "D"), ("mpc", "MPC, mean", "0.6", "s"),
             ("worst", "solve, worst state", "C0", "|"), ("mean", "solve, mean", "C0", "o"))  # fmt: skip
    for key, label, color, marker in kinds:
        gaps = [100 * max(_number(row.get(key)), 1e-5) for row in rows]
        axis.plot(
            gaps, [names.index(str(row["problem"])) for row in rows], marker, color=color, label=label, markersize=8
        )
    axis.axvline(1.0, color="0.6", linestyle="--", linewidth=1)
    axis.set_xscale("log")
    axis.set_yticks(range(len(names)), names)
    states = max((int(_number(row.get("states", 64))) for row in rows), default=64)
    axis.set_xlabel(
        f"cost above the optimum, % ({states} fresh states, a mark for each draw; 0.001 and less at the left)"
    )
    good = sum(max(x if x == x else math.inf for x in means[name]) <= 0.01 for name in names)
    axis.set_title(f"pontryagin solve: {good} of {len(names)} published problems within 1 %, in every draw")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=4, frameon=False, fontsize=9)
    axis.grid(axis="x", alpha=0.3)
    return figure


def draw_sweeps(told: dict[str, dict[str, dict[str, float]]]) -> matplotlib.figure.Figure:
    """Mean gaps of problem -> way -> figures, as ``demos/sweeps.py`` writes them: a group of bars for each problem."""
    figure = matplotlib.figure.Figure(figsize=(9, 4.2), layout="constrained")
    axis, ways = figure.subplots(), list(next(iter(told.values())))
    colours = ("0.75", "C1", "#9ecae1", "#4292c6", "#084594")
    for k, way in enumerate(ways):
        heights = [max(100 * flown[way]["mean"], 1e-4) for flown in told.values()]
        places = [i + 0.16 * (k - 2) for i in range(len(told))]
        axis.bar(places, heights, 0.16, color=colours[k % len(colours)], label=way)
        for place in (x for x, height in zip(places, heights, strict=True) if height <= 1e-4):
            axis.text(place, 1.3e-4, "0", color=colours[k % len(colours)], ha="center", fontsize=8)
    axis.set_xticks(range(len(told)), list(told))
    axis.set(yscale="log", ylim=(1e-4, None), ylabel="cost above the optimum (%), mean")
    axis.set_title("A plan that is swept and remembered flies next to the optimum")
    axis.legend(ncols=len(ways), loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False)
    tidy(figure)
    return figure


def draw_networks(told: dict[str, dict[str, Any]]) -> matplotlib.figure.Figure:
    """Mean and worst gap of each problem, as ``demos/networks.py`` writes them: linear feedback, network, policy."""
    names = sorted(told, key=lambda name: -told[name]["network"]["mean"])
    figure = matplotlib.figure.Figure(figsize=(8, 0.42 * len(names) + 1.6), layout="constrained")
    axis = figure.subplots()
    kinds = (("linear", "linear feedback along one optimum", "0.6", "D"), ("network", "network", "C1", "o"),
             ("policy", "policy of solve", "C0", "s"))  # fmt: skip
    for way, label, color, marker in kinds:
        mean, worst = ([100 * max(told[name][way][key], 1e-5) for name in names] for key in ("mean", "worst"))
        axis.plot(mean, range(len(names)), marker, color=color, label=f"{label}, mean", markersize=8)
        axis.plot(worst, range(len(names)), "|", color=color, label="worst", markersize=10, markeredgewidth=2)
    axis.axvline(1.0, color="0.6", linestyle="--", linewidth=1)
    axis.set_xscale("log")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("cost above the optimum, % (fresh states; 0.001 and less at the left)")
    axis.set_title("A network that optima have taught, and that can be exported")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axis.grid(axis="x", alpha=0.3)
    return figure


def _number(x: object) -> float:
    """nan where nothing is known."""
    return math.nan if x is None else float(str(x))
