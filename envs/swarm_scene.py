"""What a swarm of quadrotors looks like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scene import GREY, INK, Array, Circle, Color, Line, Marks, Scene, hue_circle


def swarm_scene(z: Array, starts: Array, targets: Array, cells: NDArray[np.integer], spacing: float) -> Scene:
    """Quadrotors as crosses, tilted as they are, in the colour of the cell to which they fly.

    So a swarm starts as confetti and ends in order.

    Args:
        z: ``(12 N,)``; rows x, y, z, yaw ψ, pitch θ, roll φ and their rates.
        starts: ``(N, 3)``.
        targets: ``(N, 3)``.
        cells: ``(N,)`` the number of each one's target in reading order.
        spacing: of the grid.
    """
    rows = np.asarray(z, float).reshape(-1, 12)
    position, (forward, left) = rows[:, :3], _axes(rows[:, 3:6])
    stage = np.vstack([starts, targets])
    margin = 0.5 * spacing
    low, high = stage.min(0) - margin, stage.max(0) + margin
    low[2], high[2] = min(float(stage[:, 2].min()), float(position[:, 2].min())), high[2] + margin
    hues = hue_circle(len(rows))[cells]
    colors: list[Color] = [(r, g, b) for r, g, b in hues.tolist()]
    arm = 0.22 * spacing
    lines, circles = [], []
    for x, f, s, color in zip(position, arm * forward, arm * left, colors, strict=True):
        lines += [Line(np.stack([x + d, x - d]), INK, 2.0) for d in (f + s, f - s)]
        circles.append(Circle(x, 0.55 * arm, color))
        circles.append(Circle(np.array([x[0], x[1], low[2]]), 0.5 * arm, GREY, 0.25, 0.0, np.eye(3)[:2]))
    low, high = np.minimum(low, position.min(0)), np.maximum(high, position.max(0))
    return Scene(
        "perspective", low, high, tuple(lines), tuple(circles),
        bodies=Marks(position, hues), targets=Marks(targets, hues), target_radius=0.12 * spacing,
    )  # fmt: skip


def _axes(angles: Array) -> tuple[Array, Array]:
    """The body's forward and left axes, ``(N, 3)`` each: the first columns of Rz(ψ) Ry(θ) Rx(φ)."""
    (sy, sp, sr), (cy, cp, cr) = np.sin(angles).T, np.cos(angles).T
    forward = np.stack([cy * cp, sy * cp, -sp], -1)
    return forward, np.stack([cy * sp * sr - sy * cr, cy * cr + sy * sp * sr, cp * sr], -1)
