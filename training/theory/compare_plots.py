"""Figures of ``pontryagin compare-gradients``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.axes
import matplotlib.axis
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from ..pictures import INK, SOFT, plain_ticks, save_figure, tidy

COLOURS = {"jfb": "#2563eb", "implicit": "#d97706", "unroll": "#b91c1c"}
DASHES = {"newton": "-", "ascent": "--", "anderson": ":"}
Axis = matplotlib.axes.Axes


def compare_figures(result: dict[str, Any], name: str, folder: Path) -> list[Path]:
    """``overview.png`` with all panels, and each panel as a file of its own."""
    panels: dict[str, Callable[[Axis], None]] = {
        "memory": lambda axis: draw_memory(axis, result["saved"]),
        "race": lambda axis: draw_race(axis, result["race"]),
        "angles": lambda axis: draw_angles(axis, result["errors"]),
        "time": lambda axis: draw_seconds(axis, result["seconds"]),
        "dimension": lambda axis: draw_sizes(axis, result["sizes"]),
        "iterations": lambda axis: draw_needed(axis, result["needed"]),
    }
    figure = matplotlib.figure.Figure(figsize=(17, 9.5), layout="constrained")
    for axis, draw in zip(figure.subplots(2, 3).ravel(), panels.values(), strict=True):
        draw(axis)
    tidy(figure)
    figure.suptitle(f"{name}: what differentiating the argmax costs, and what it is worth", color=INK, fontsize=15)
    paths = [save_figure(figure, folder / "overview.png", 110)]
    for panel, draw in panels.items():
        alone = matplotlib.figure.Figure(figsize=(7, 4.6), layout="constrained")
        draw(alone.subplots())
        tidy(alone)
        paths.append(save_figure(alone, folder / f"{panel}.png"))
    return paths


def draw_memory(axis: Axis, saved: dict[str, Any]) -> None:
    """Bytes saved for one argmax and sample against the iterations."""
    for row in saved["rows"]:
        label = f"{row['gradient']} + {row['kind']}"
        line = axis.plot(saved["counts"], np.array(row["bytes"]) / saved["samples"] / 1e3, "o", ms=4, label=label)[0]
        line.set(color=COLOURS[row["gradient"]], ls=DASHES[row["kind"]])
    axis.set(xlabel="iterations of T", ylabel="kB saved per sample", title="memory: what autograd holds for one argmax")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)


def draw_race(axis: Axis, race: dict[str, Any]) -> None:
    """Best validation cost so far against the wall time of training."""
    for row in race["runs"]:
        curve = [p for p in row["curve"] if np.isfinite(p["cost"])]
        best = np.minimum.accumulate([p["cost"] for p in curve])
        line = axis.semilogy([p["seconds"] for p in curve], best, label=f"{row['label']}: {row['best_cost']:.4g}")[0]
        line.set(color=COLOURS[row["gradient"]] if row["jfb_steps"] == 1 else "#7c3aed", ls=DASHES[row["kind"]])
    axis.set(xlabel="seconds of training", ylabel="best validation cost", title="cost at equal wall time")
    plain_ticks(axis.yaxis)
    axis.legend(frameon=False)


def draw_angles(axis: Axis, errors: dict[str, Any]) -> None:
    """Angle between each gradient and the exact one."""
    rows = [r for r in errors["trained weights"] if r["iterations"] > 3]
    names = [f"{r['label']}, {r['iterations']} it." for r in rows]
    angles = [float(np.degrees(np.arccos(np.clip(r["cosine"], -1, 1)))) for r in rows]
    axis.barh(range(len(rows)), angles, color=[COLOURS[r["gradient"]] for r in rows], height=0.65, tick_label=names)
    for index, angle in enumerate(angles):
        text = "< 0.01°" if angle < 0.01 else f"{angle:.0f}°" if angle >= 10 else f"{angle:.2g}°"
        axis.text(angle + 1, index, text, va="center", fontsize=9, color=INK)
    axis.axvline(90, color=INK, ls=":", lw=1)
    axis.invert_yaxis()
    axis.set(
        xlim=(0, max(100.0, max(angles) + 12)),
        xlabel="degrees; below 90 descends",
        title="angle to the exact gradient, trained weights",
    )


def draw_seconds(axis: Axis, seconds: dict[str, Any]) -> None:
    """Wall time of a training iteration against the iterations of T."""
    for label in dict.fromkeys(r["label"] for r in seconds["rows"]):
        rows = [r for r in seconds["rows"] if r["label"] == label]
        line = axis.plot([r["iterations"] for r in rows], [r["seconds"] for r in rows], "o", ms=4, label=label)[0]
        line.set(color=COLOURS[rows[0]["gradient"]], ls=DASHES[rows[0]["kind"]])
    title = f"time of a training iteration ({seconds['steps']} control steps, eager)"
    axis.set(xlabel="iterations of T", ylabel="seconds", title=title)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)


def draw_sizes(axis: Axis, sizes: dict[str, Any]) -> None:
    """Wall time of an argmax with its derivative against the number of coupled controls."""
    colours = {"unroll": COLOURS["unroll"], "implicit, dense": COLOURS["implicit"], "implicit, cg": "#92400e"}
    for way in dict.fromkeys(r["way"] for r in sizes["rows"]):
        rows = [r for r in sizes["rows"] if r["way"] == way]
        colour = colours.get(way.removesuffix(" + ascent").removesuffix(" + newton"), COLOURS["jfb"])
        dashes = DASHES["newton" if "newton" in way else "ascent"]
        x, y = [r["size"] for r in rows], [1e3 * r["seconds"] for r in rows]
        axis.loglog(x, y, color=colour, ls=dashes, marker="o", ms=4, label=way)
    rows = [r for r in sizes["rows"] if r["way"] == "jfb + ascent"]
    axis.loglog(
        [r["size"] for r in rows],
        [1e3 * r["search_seconds"] for r in rows],
        color=SOFT,
        lw=4,
        alpha=0.5,
        zorder=0,
        label="search alone, ascent",
    )
    axis.set(
        xlabel="coupled controls",
        ylabel="milliseconds",
        title="time of one argmax with its derivative (CoupledControls)",
    )
    plain_ticks(axis.xaxis)
    plain_ticks(axis.yaxis, (1, 2, 5))
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 20)
    axis.legend(frameon=False, loc="upper left", ncols=2)


def draw_needed(axis: Axis, needed: dict[str, Any]) -> None:
    """Share of the samples whose argmax has converged after so many iterations."""
    colours = {"newton": "#2563eb", "ascent": SOFT, "anderson": "#7c3aed"}
    for row in needed["rows"]:
        counts = np.array(row["counts"], float)
        done = np.cumsum(counts)
        if row["converged"] < 1:
            done[-1] -= (1 - row["converged"]) * counts.sum()
        name = {
            "ascent": f"ascent, α = {needed['step_size']:.2g}",
            "anderson": "the same, Anderson",
            "newton": "Newton",
        }[row["kind"]]
        axis.step(
            np.arange(len(done)) + 1,
            done / counts.sum(),
            where="post",
            color=colours[row["kind"]],
            lw=2,
            label=f"{name}: median {row['median']:.0f}, 99 % {row['quantile_99']:.0f}",
        )
    axis.set_xscale("log")
    plain_ticks(axis.xaxis)
    axis.set(xlabel="iterations + 1", ylabel="share converged to 1e-6", title="iterations of the search", ylim=(0, 1.4))
    axis.legend(frameon=False, loc="upper left")
