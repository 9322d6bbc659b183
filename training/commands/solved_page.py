"""What ``pontryagin solve`` leaves for people to look at: figures, a film, and one page with all of it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...envs.files import replace_file
from ..evaluate import Evaluation, evaluate, gap_figures
from ..pictures import document, draw_gaps, figure, path_frames, save_figure, table, trajectory_figure, write_film
from ..rounds import PAGE
from ..solved import Recording, Solved, flights

FLOWN, FILMED, FRAMES, HELD = 16, 2, 40, 12
"""Fresh states in the figure of the flights; on film; frames of each of these; for how many the last one stands."""


def write_page(found: Solved, name: str, command: str, folder: Path) -> Path:
    """gaps.png, trajectory.png, flight.gif and report.html in ``folder``; returns the page."""
    problem = found.policy.problem
    gaps = {{"policy": "this policy"}.get(k, k): v for k, v in found.gaps.items()}
    mean = gap_figures(found.gap)["mean"]
    above = "an unknown share" if math.isnan(mean) else f"{mean:.2%}"
    pictures = {
        save_figure(
            draw_gaps({k: v.numpy() for k, v in gaps.items()}, f"{name}: {above} above the optimum in the mean"),
            folder / "gaps.png",
        ): "How far above the optimum each of the fresh states is flown, none of which was used to find the policy.",
        trajectory_figure(problem, measured(found, min(len(found.cost), FLOWN)), folder / "trajectory.png"): (
            "Flights from fresh states."
        ),
        write_film(
            _frames(found, min(len(found.cost), FILMED)), folder / "flight.gif", width=480,
        ): "The first of them on film.",
    }  # fmt: skip
    rows = [[k, *_figures(v)] for k, v in gaps.items()]
    stages = [
        [str(row["stage"]), f"{row['seconds']:.0f} s", _percent(row["gap_mean"]), _percent(row["gap_worst"])]
        for row in found.history
    ]
    parts = [
        f"<h1>{html.escape(name)}: a controller {html.escape(above)} above the optimum in the mean</h1>",
        f"<p class=note>{int((~found.gap.isnan()).sum())} of {len(found.cost)} fresh states have a known optimum.</p>",
        table(["controller", "mean", "median", "worst"], rows),
        *(figure(picture, caption) for picture, caption in pictures.items()),
        "<h2>How it was found</h2>",
        table(["stage", "after", "gap, mean", "gap, worst"], stages),
        f"<pre>{html.escape(command)}</pre>",
    ]
    replace_file(folder / PAGE, document(f"{name}: solved", parts))
    return folder / PAGE


def _figures(gap: Tensor) -> list[str]:
    return [_percent(x) for x in gap_figures(gap).values()]


def _percent(share: float | str) -> str:
    return f"{float(share):.2%}" if np.isfinite(float(share)) else "-"


@torch.no_grad()
def measured(found: Solved, states: int) -> Evaluation:
    """The first of the fresh flights, as they were flown, with their optima."""
    problem, path = found.policy.problem, flights(found.path, slice(states))
    return evaluate(problem, Recording(problem, path), path.z[0], found.optima.optimum[:states], path)


def _frames(found: Solved, states: int) -> Iterator[np.ndarray]:
    """The first of them, one after the other, as they were flown; the last frame of each is held."""
    problem = found.policy.problem
    for row in range(states):
        path = flights(found.path, slice(row, row + 1))
        frames = list(path_frames(problem, path, max(1, problem.steps // FRAMES), title=""))
        yield from frames + frames[-1:] * HELD
