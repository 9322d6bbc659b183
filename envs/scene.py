"""What to draw, as plain data: a ``Scene`` holds lines, circles and marks in world coordinates and knows no pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
Color: TypeAlias = tuple[int, int, int]

INK: Color = (43, 48, 59)
GREY: Color = (142, 149, 162)
BLUE: Color = (38, 104, 196)
RED: Color = (219, 78, 54)
GREEN: Color = (16, 145, 105)


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A polyline through ``points (K, d)``; ``width`` is in pixels of a frame 720 pixels high."""

    points: Array
    color: Color = INK
    width: float = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class Circle:
    """A circle, filled with opacity ``fill`` and rimmed ``width`` pixels wide.

    ``axes (2, 3)`` are orthonormal vectors that span its plane in 3-D; ``None`` turns it to the viewer.
    """

    center: Array
    radius: float
    color: Color = INK
    fill: float = 1.0
    width: float = 0.0
    axes: Array | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Marks:
    """Points ``(M, d)``, each with its colour ``(M, 3)``."""

    points: Array
    colors: NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, eq=False)
class Glow:
    """Halos around ``centers (M, 2)``, soft over ``radius``, cool to warm by ``strength (M,)`` in [0, 1]. Top view."""

    centers: Array
    radius: float
    strength: Array


def _nothing() -> Marks:
    return Marks(np.empty((0, 0)), np.empty((0, 3), np.uint8))


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """One moment of an episode. All coordinates are those of the problem: d = 3 in perspective, 2 from the top.

    Attributes:
        view: ``perspective``, z up, or ``top``, y up.
        low: ``(d,)`` corner of the box that should be in view; in perspective the ground lies at ``low[2]``.
        high: ``(d,)`` opposite corner. The camera never leaves what it has shown since the episode began.
        lines: drawn with round ends.
        circles: drawn with the lines, the far ones first; lines before circles from the top.
        bodies: where the moving things are; the renderer remembers them and draws their trails. M may not change.
        targets: where they should go.
        target_radius: size of the mark at a target.
        glow: optional halos on the ground.
    """

    view: Literal["perspective", "top"]
    low: Array
    high: Array
    lines: tuple[Line, ...] = ()
    circles: tuple[Circle, ...] = ()
    bodies: Marks = dataclasses.field(default_factory=_nothing)
    targets: Marks = dataclasses.field(default_factory=_nothing)
    target_radius: float = 0.1
    glow: Glow | None = None


def quadrotor_scene(z: Array, u: Array, target: Sequence[float], arm: float = 0.25) -> Scene:
    """A quadrotor, its thrust as an arrow along the body axis, its shadow, and the point it should reach.

    Args:
        z: ``(12,)``; x, y, z, yaw ψ, pitch θ, roll φ and their rates.
        u: ``(4,)``; the arrow is as long as the thrust ``u[0]`` says.
        target: three coordinates.
        arm: length of an arm.
    """
    goal, position = np.asarray(target, float), np.asarray(z[:3], float)
    low, high = np.minimum(goal, 0.0) - 0.5, np.maximum(goal, 0.0) + (0.6, 0.6, 0.8)
    shadow = np.array([*position[:2], low[2]])
    body = _rotation(*z[3:6]).T
    forward, left, up = body
    hubs = position + arm * np.sqrt(0.5) * np.array([forward + left, forward - left, -forward - left, left - forward])
    tip = position + (0.1 + 0.6 * max(float(u[0]), 0.0)) * up
    barbs = tip - 0.1 * up + 0.05 * np.array([[1.0], [-1.0]]) * left

    lines = [Line(np.stack([position, hub]), INK, 5.0) for hub in hubs]
    lines += [Line(np.stack([start, tip]), RED, 3.0) for start in (position, *barbs)]
    lines.append(Line(np.stack([position, shadow]), GREY, 1.0))
    # Front and rear differ in colour: that is how the yaw is seen.
    rotors = zip(hubs + 0.06 * arm * up, (BLUE, BLUE, GREY, GREY), strict=True)
    circles = [Circle(hub, 0.6 * arm, color, 0.35, 1.6, body[:2]) for hub, color in rotors]
    circles += [Circle(hub, 0.08 * arm, INK) for hub in hubs]
    circles += [Circle(position, 0.2 * arm, INK), Circle(shadow, 0.9 * arm, INK, 0.12, 0.0, np.eye(3)[:2])]
    return Scene(
        "perspective", low, high, tuple(lines), tuple(circles),
        bodies=Marks(position[None], np.array([BLUE], np.uint8)),
        targets=Marks(goal[None], np.array([GREEN], np.uint8)),
    )  # fmt: skip


def bicycle_scene(z: Array, u: Array, targets: Array, radius: float, heat: Array, starts: Array | None = None) -> Scene:
    """Bicycles from the top, their targets, and the warmth of their interaction.

    The stage holds starts and targets, half a radius clear of the edge, because that is where bicycles that keep out of
    each other's way go: the camera rarely has to follow them. Bicycles are drawn in proportion to it.

    Args:
        z: ``(4N,)``; rows x, y, heading θ, speed v, the position being that of the rear wheel.
        u: ``(2N,)``; rows steering angle δ, acceleration.
        targets: ``(N, 2)``.
        radius: of the interaction, and about that of the halos.
        heat: ``(N,)`` in [0, 1], the share of each bicycle in the interaction cost.
        starts: ``(K, 2)`` where they set out; the origin unless given.
    """
    rows = np.asarray(z, float).reshape(-1, 4)
    goals = np.asarray(targets, float).reshape(-1, 2)
    rear, hues = rows[:, :2], hue_circle(len(rows))
    stage = np.vstack([goals, np.zeros(2) if starts is None else np.asarray(starts, float)])
    low, high = stage.min(0) - 0.5 * radius, stage.max(0) + 0.5 * radius
    extent = float((high - low).max())
    size = (0.05 if len(rows) <= 10 else 0.032) * extent
    lines, riders = _bicycles(rows, np.asarray(u, float)[::2], size, hues)
    together = bool((goals == goals[0]).all())
    return Scene(
        view="top",
        low=np.minimum(rear.min(0) - size, low),
        high=np.maximum(rear.max(0) + size, high),
        lines=tuple(lines),
        circles=tuple(riders),
        bodies=Marks(rear, hues),
        targets=Marks(goals[:1], np.array([INK], np.uint8)) if together else Marks(goals, hues),
        target_radius=0.02 * extent if together else 0.5 * size,
        glow=Glow(np.array([rider.center for rider in riders]), 0.4 * radius, np.asarray(heat, float)),
    )


def _bicycles(rows: Array, steering: Array, size: float, hues: NDArray[np.uint8]) -> tuple[list[Line], list[Circle]]:
    """Wheels, frames and, of few, handlebars; and the riders. The front wheel is turned by ``steering (N,)``."""
    few = len(rows) <= 10
    pen = 5.0 if few else 3.0
    angles = rows[:, 2] + np.stack([np.zeros(len(rows)), steering])
    heading, steered = size * np.stack([np.cos(angles), np.sin(angles)], -1)
    rear, front = rows[:, :2], rows[:, :2] + heading
    frames = np.stack([rear, front], 1)
    wheels = np.stack([rear, front])[:, :, None] + [[-0.28], [0.28]] * np.stack([heading, steered])[:, :, None]
    bars = front[:, None] + [[-0.26], [0.26]] * (steered[:, None] @ np.array([[0.0, 1.0], [-1.0, 0.0]]))
    colors: list[Color] = [(r, g, b) for r, g, b in hues.tolist()]
    lines = [Line(ends, INK, pen) for ends in wheels.reshape(-1, 2, 2)]
    lines += [Line(ends, color, 0.8 * pen) for ends, color in zip(frames, colors, strict=True)]
    if few:  # of a hundred bicycles the handlebars would be dots
        lines += [Line(ends, color, 0.6 * pen) for ends, color in zip(bars, colors, strict=True)]
    return lines, [Circle(mid, 0.26 * size, color) for mid, color in zip(frames.mean(1), colors, strict=True)]


def hue_circle(count: int) -> NDArray[np.uint8]:
    """``(count, 3)`` colours around the hue circle, equally light and equally vivid to the eye (OKLCH)."""
    hue = 2 * np.pi * np.arange(count) / max(count, 1) + 0.5
    a, b = 0.125 * np.cos(hue), 0.125 * np.sin(hue)
    # Björn Ottosson, "A perceptual color space for image processing", 2020: OKLab to linear sRGB.
    cones = 0.62 + np.stack([a, b], -1) @ np.array(
        [[0.3963377774, -0.1055613458, -0.0894841775], [0.2158037573, -0.0638541728, -1.2914855480]]
    )
    linear = cones**3 @ np.array(
        [
            [4.0767416621, -1.2684380046, -0.0041960863],
            [-3.3077115913, 2.6097574011, -0.7034186147],
            [0.2309699292, -0.3413193965, 1.7076147010],
        ]
    )
    return np.rint(255 * linear.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)


def _rotation(yaw: float, pitch: float, roll: float) -> Array:
    """Rz(ψ) Ry(θ) Rx(φ); its columns are the body axes in the world frame."""
    (sy, sp, sr), (cy, cp, cr) = np.sin([yaw, pitch, roll]), np.cos([yaw, pitch, roll])
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, sy * sr + cy * sp * cr],
            [sy * cp, cy * cr + sy * sp * sr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
