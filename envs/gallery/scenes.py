"""What the problems of the gallery look like from the side or from above; those without a picture are charts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..scene import BLUE, GREY, INK, RED, Array, Circle, Color, Line, Marks, Scene

Point = tuple[float, float]


def _marks(*points: Sequence[float] | Array, color: Color = BLUE) -> Marks:
    return Marks(np.array(points, float).reshape(-1, 2), np.array([color] * len(points), np.uint8).reshape(-1, 3))


def _line(*points: Sequence[float] | Array, color: Color = INK, width: float = 2.0) -> Line:
    return Line(np.array(points, float), color, width)


def pole_scene(
    pivot: float, angle: float, length: float, *, low: Point, high: Point, target: Point, push: float | None = None
) -> Scene:
    """A pole with a bob, ``angle`` from upright, on a pivot at (``pivot``, 0); on a cart, where there is a push."""
    foot, up = np.array([pivot, 0.0]), np.array([np.sin(angle), np.cos(angle)])
    bob = foot + length * up
    size = 0.12 * length
    lines = [_line((low[0], 0.0), (high[0], 0.0), color=GREY, width=1.5), _line(foot, bob, width=6.0)]
    if push is not None:
        half = np.array([0.3 * length, 0.0])
        lines += [_line(foot - half, foot + half, width=22.0), _line(foot, foot + (push, 0.0), color=RED, width=6.0)]
    circles = (Circle(foot, size, INK), Circle(bob, 1.3 * size, BLUE))
    lower, upper = np.minimum(low, foot - length - size), np.maximum(high, foot + length + size)
    lower[1], upper[1] = low[1], high[1]
    return Scene(
        "top", lower, upper, tuple(lines), circles, _marks(bob), _marks(target, color=RED), target_radius=0.08 * length
    )


def car_scene(z: Array, discs: Sequence[tuple[float, float, float]], goal: Point) -> Scene:
    """A car as an arrow in its heading, among discs."""
    place, ahead = np.asarray(z[:2], float), 0.25 * np.array([np.cos(z[2]), np.sin(z[2])])
    side = 0.4 * np.array([-ahead[1], ahead[0]])
    nose, tail = place + 0.5 * ahead, place - 0.5 * ahead
    car = (_line(tail - side, nose, tail + side, tail - side, color=BLUE, width=4.0),)
    circles = tuple(Circle(np.array([x, y]), r, GREY, 0.35, 1.5) for x, y, r in discs)
    low, high = np.minimum((-0.7, -1.6), place - 0.3), np.maximum((4.0, 1.6), place + 0.3)
    return Scene("top", low, high, car, circles, _marks(place), _marks(goal, color=RED), target_radius=0.08)


def rocket_scene(foot: Array, tilt: float, thrust: float, mark: Point | None) -> Scene:
    """A rocket with its flame above the ground."""
    foot, up = np.asarray(foot, float), np.array([-np.sin(tilt), np.cos(tilt)])
    body = _line(foot, foot + 0.6 * up, width=9.0)
    flame = _line(foot, foot - 0.3 * thrust * up, color=RED, width=5.0)
    ground = _line((-2.0, -0.02), (4.0, -0.02), width=1.5)
    low, high = np.minimum((-2.0, -0.5), foot - 0.5), np.maximum((4.0, 5.0), foot + 0.8)
    targets = _marks(color=RED) if mark is None else _marks(mark, color=RED)
    return Scene("top", low, high, (ground, body, flame), (), _marks(foot, color=INK), targets, target_radius=0.12)


def field_scene(y: Array, forces: Array) -> Scene:
    """A field as discs, blue below 0 and red above, larger the further from it; bars say which way a part is pushed.

    Args:
        y: ``(S, S)`` by row from below and column.
        forces: ``(2, 2)``, each on a quarter.
    """
    side = len(y)
    circles = [
        Circle(np.array([j + 0.5, i + 0.5]), 0.06 + 0.42 * min(abs(y[i, j]), 1.0), RED if y[i, j] > 0 else BLUE, 0.8)
        for i in range(side)
        for j in range(side)
    ]
    half = side / 2
    walls = [_line((0, 0), (side, 0), (side, side), (0, side), (0, 0), color=GREY), _line((half, 0), (half, side))]
    walls.append(_line((0, half), (side, half)))
    bars = []
    for i, row in enumerate(forces):
        for j, force in enumerate(row):
            x, base = (-0.7, side + 0.7)[j], half * (i + 0.5)
            bars.append(_line((x, base), (x, base + 0.4 * force), color=RED if force > 0 else BLUE, width=8.0))
    return Scene("top", np.array([-1.2, 0.0]), np.array([side + 1.2, side]), (*walls, *bars), tuple(circles))


def profile_scene(y: Array, forces: Array) -> Scene:
    """A function on (0, 1) with zeros at the ends, drawn 4 wide, and the forces on it as bars from the axis."""
    places = 4.0 * np.linspace(0.0, 1.0, len(y) + 2)
    curve = _line(*np.stack([places, [0.0, *y, 0.0]], -1), color=BLUE, width=4.0)
    count = len(forces)
    bars = [
        _line((x, 0.0), (x, 0.25 * force), color=RED, width=7.0)
        for x, force in zip(4.0 * np.arange(1, count + 1) / (count + 1), forces, strict=True)
    ]
    low, high = min(-1.5, float(y.min()) - 0.1), max(1.5, float(y.max()) + 0.1)
    return Scene("top", np.array([0.0, low]), np.array([4.0, high]), (_line((0, 0), (4, 0), color=GREY), *bars, curve))
