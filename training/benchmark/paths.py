"""What the methods did from the same initial state, side by side, with the open-loop optimum as a ghost."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import matplotlib.figure
import numpy as np
from numpy.typing import NDArray

from ...envs.problem import Problem
from ...envs.scene import Scene
from ..pictures import FEW, INK, SOFT
from .methods import methods_named
from .table import Record

Array: TypeAlias = NDArray[np.floating]
Ghost: TypeAlias = tuple[Array, Array]
"""``z (K + 1, n)`` and ``u (K, m)`` of an optimum."""


def paths_figure(
    problem: Problem, found: dict[str, list[Record]], ghost: Ghost | None = None
) -> matplotlib.figure.Figure:
    """A panel per method: the paths of its bodies from the first initial state, and those of the optimum in grey.

    Args:
        problem: whose ``scene`` says where the bodies are; without one the first two states are drawn.
        found: runs by method; the first of each is drawn.
        ghost: the optimum from the same state.
    """
    columns = min(4, len(found))
    lines = math.ceil(len(found) / columns)
    figure = matplotlib.figure.Figure(figsize=(4.1 * columns, 4.4 * lines), layout="constrained")
    shade = None if ghost is None else body_paths(problem, *ghost)
    panels: list[Any] = []
    looks = methods_named(found)
    flown: list[Array] = []
    for index, (method, runs) in enumerate(found.items()):
        bodies = body_paths(problem, np.array(runs[0]["path"]["z"]), np.array(runs[0]["path"]["u"]))
        solid = bodies.shape[-1] == 3
        axis: Any = figure.add_subplot(lines, columns, index + 1, projection="3d" if solid else None)
        for points, color, width, name in (
            (shade, SOFT, 3.0, "optimum"),
            (bodies, looks[method].color, 1.6, "flown"),
        ):
            if points is not None:
                many = points.shape[1] > FEW
                for body in range(points.shape[1]):
                    label = name if body == 0 else None
                    axis.plot(*points[:, body].T, color=color, lw=0.5 * width if many else width, label=label)
        axis.plot(*bodies[-1].T, "o", color=looks[method].color, ms=4)
        if (goals := target_points(problem, runs[0])) is not None:
            axis.plot(*goals.T, "x", color=INK, ms=7, label="target")
        axis.set_title(
            f"{looks[method].label}: J = {runs[0]['cost'][0]:.4g}",
            color=INK,
            fontsize=11,
            y=0.97 if solid else None,
        )
        if not solid:
            axis.set_aspect("equal", adjustable="datalim" if shade is None else "box")
            axis.grid(alpha=0.25)
        panels.append(axis)
        flown.append(bodies)
    panels[0].legend(frameon=False, fontsize=8)
    if shade is not None:
        _share_limits(panels, shade, flown)
    return figure


def body_paths(problem: Problem, z: Array, u: Array) -> Array:
    """``(K + 1, M, d)`` positions of the bodies, as the scene tells them; of the first two states without a scene."""
    first = problem.scene(0.0, z[0], u[0])
    if first is None or not len(first.bodies.points):
        return z[:, None, : min(2, z.shape[1])]
    dt = problem.time_step
    scenes = [problem.scene(k * dt, z[k], u[min(k, len(u) - 1)]) for k in range(len(z))]
    return np.array([scene.bodies.points for scene in scenes if isinstance(scene, Scene)], float)


def target_points(problem: Problem, run: Record) -> Array | None:
    """``(P, d)`` where the bodies should end."""
    scene = problem.scene(problem.horizon, np.array(run["path"]["z"][-1]), np.array(run["path"]["u"][-1]))
    return None if scene is None or not len(scene.targets.points) else np.asarray(scene.targets.points, float)


def _share_limits(panels: list[Any], shade: Array, flown: list[Array]) -> None:
    """The same axes in every panel, so that they compare: about the optimum, farther where a path goes farther."""
    points = shade.reshape(-1, shade.shape[-1])
    low, high = points.min(0), points.max(0)
    size = float((high - low).max()) + 1e-9
    for path in flown:
        seen = path.reshape(-1, path.shape[-1]).clip(points.min(0) - 0.5 * size, points.max(0) + 0.5 * size)
        low, high = np.fmin(low, seen.min(0)), np.fmax(high, seen.max(0))
    for axis in panels:
        for name, a, b in zip("xyz", low - 0.05 * size, high + 0.05 * size, strict=False):
            getattr(axis, f"set_{name}lim")(a, b)
