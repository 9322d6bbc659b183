"""Several controllers on one film, from the same initial state, with the open-loop optimum as a ghost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...envs.environment import frames_per_second
from ...envs.problem import Problem
from ...envs.render import Renderer
from ...envs.scene import Color, Glow, Line, Marks, Scene
from ..pictures import write_film
from .methods import methods_named
from .paths import Array, Ghost
from .table import Record, by_method

GHOST: Color = (186, 192, 202)
"""Colour of the optimum."""


@dataclasses.dataclass(frozen=True, eq=False)
class Flown:
    """One path on the film: ``z (K + 1, n)``, ``u (K, m)``, its cost, what it is called and its colour."""

    name: str
    color: Color
    z: Array
    u: Array
    cost: float


def benchmark_film(problem: Problem, records: list[Record], ghost: Ghost | None, path: Path) -> Path:
    """The first run of jfb, PPO and SAC, as far as there are such; of all methods where there are none of these."""
    found = {method: runs[0] for method, runs in by_method(records).items()}
    chosen = {m: run for m, run in found.items() if m in ("jfb", "ppo", "sac")} or found
    looks = methods_named(found)
    flown = [
        Flown(
            looks[m].label,
            rgb(looks[m].color),
            np.array(run["path"]["z"]),
            np.array(run["path"]["u"]),
            run["cost"][0],
        )
        for m, run in chosen.items()
    ]
    fps = frames_per_second(problem)
    every = max(1, fps // 15)
    return write_film(compare_frames(problem, flown, ghost, every), path, max(1, fps // every), width=640)


def compare_frames(
    problem: Problem, flown: Sequence[Flown], ghost: Ghost | None = None, every: int = 1, hold: int = 20
) -> Iterator[NDArray[np.uint8]]:
    """Frames of all paths at once: in one scene where each has one body, else a panel each.

    Args:
        problem: whose ``scene`` draws them.
        flown: the paths, from the same initial state.
        ghost: the optimum from there, in grey, in the scene or in every panel.
        every: control steps from one frame to the next.
        hold: how often the last frame is repeated.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not flown:
        raise ValueError("no paths to draw; expected at least one")
    first = problem.scene(0.0, flown[0].z[0], flown[0].u[0])
    together = first is not None and len(first.bodies.points) == 1
    count = len(flown[0].z)
    groups = [list(flown)] if together else [[one] for one in flown]
    columns = math.ceil(math.sqrt(len(groups)))
    size = (960, 720) if together else (960 // min(columns, 2), 720 // min(columns, 2))
    renderers = [Renderer("rgb_array", size, frames_per_second(problem)) for _ in groups]
    shots = [k for k in range(count) if k % every == 0 or k == count - 1]
    for k in shots:
        panels = [_panel(problem, renderer, group, ghost, k) for renderer, group in zip(renderers, groups, strict=True)]
        frame = panels[0] if len(panels) == 1 else _grid(panels, columns)
        yield from [frame] * (hold if k == shots[-1] else 1)


def _panel(problem: Problem, renderer: Renderer, group: list[Flown], ghost: Ghost | None, k: int) -> NDArray[np.uint8]:
    t = k * problem.time_step
    scenes = [(_scene(problem, one.z, one.u, k), one.color) for one in group]
    shade = None if ghost is None else _scene(problem, *ghost, k)
    scene = None if scenes[0][0] is None else overlay([s for s in scenes if s[0] is not None], shade)  # type: ignore[misc]
    name = type(problem).__name__ if len(group) > 1 else f"{group[0].name}: {group[0].cost:.4g}"
    frame = renderer.draw(
        scene, time=t, horizon=problem.horizon, cost=None, title=name, state=group[0].z[k], names=problem.state_names
    )
    assert frame is not None
    return _legend(frame, group, ghost is not None) if len(group) > 1 else frame


def _legend(frame: NDArray[np.uint8], group: list[Flown], ghost: bool) -> NDArray[np.uint8]:
    """Names and costs in their colours, at the upper right."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    lines = [(f"{one.name}  {one.cost:.4g}", one.color) for one in group] + [("optimum", GHOST)] * ghost
    for row, (text, color) in enumerate(lines):
        place = (0.97 * picture.width, (0.035 + 0.042 * row) * picture.height)
        draw.text(place, text, color, anchor="ra", font_size=0.034 * picture.height)
    return np.asarray(picture)


def _scene(problem: Problem, z: Array, u: Array, k: int) -> Scene | None:
    return problem.scene(k * problem.time_step, z[k], u[min(k, len(u) - 1)])


def overlay(scenes: Sequence[tuple[Scene, Color]], ghost: Scene | None) -> Scene:
    """One scene of several, each body and its trail in its own colour; of one alone the colours stay.

    The ghost is drawn first, in grey and without its glow.
    """
    parts = [*([(ghost, GHOST)] if ghost is not None else []), *scenes]
    base = scenes[0][0]
    alone = len(scenes) == 1 and len(base.bodies.points) > 1
    lines, circles, marks, hues = [], [], [], []
    for scene, color in parts:
        tint = color if scene is ghost or not alone else None
        lines += [line if tint is None else _tinted(line, tint, scene is ghost) for line in scene.lines]
        circles += [c if tint is None else dataclasses.replace(c, color=tint) for c in scene.circles]
        marks.append(scene.bodies.points)
        own = scene.bodies.colors if tint is None else np.tile(np.array(tint, np.uint8), (len(scene.bodies.points), 1))
        hues.append(own)
    glow: Glow | None = base.glow if alone else None
    low, high = (np.array([getattr(s, side) for s, _ in scenes]) for side in ("low", "high"))
    return dataclasses.replace(
        base, lines=tuple(lines), circles=tuple(circles), bodies=Marks(np.concatenate(marks), np.concatenate(hues)),
        glow=glow, low=low.min(0), high=high.max(0),
    )  # fmt: skip


def _tinted(line: Line, color: Color, thin: bool) -> Line:
    return dataclasses.replace(line, color=color, width=(0.6 if thin else 1.0) * line.width)


def _grid(panels: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Panels in rows, the last one filled up with white."""
    blank = np.full_like(panels[0], 255)
    filled = [*panels, *[blank] * (-len(panels) % columns)]
    rows = [np.concatenate(filled[k : k + columns], 1) for k in range(0, len(filled), columns)]
    return np.concatenate(rows, 0)


def rgb(color: str) -> Color:
    """``#2563eb`` as three numbers."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
