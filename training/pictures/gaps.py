"""How far above the optimum: every state of a sample in one picture."""

from __future__ import annotations

from collections.abc import Mapping

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
