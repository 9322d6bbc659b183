"""Between a bicycle of the problem and a car of a simulator: units, the reference point, and whether cars touch."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from ...envs.bicycle import MultiBicycle
from ...envs.problem import Problem

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Scale:
    """The problem has no units; a car has metres and seconds.

        metres = length · unit of position      seconds = time · unit of time      v, a: length / time, length / time²

    ``length`` makes the wheelbase of the problem that of the car; ``time`` is a choice of how fast that is to be.
    Angles stay as they are, and so do ẋ = v cosθ and θ̇ = (v / ℓ) tanδ.
    """

    length: float
    time: float

    @property
    def speed(self) -> float:
        """Metres per second in a unit of speed."""
        return self.length / self.time

    @property
    def acceleration(self) -> float:
        """Metres per second² in a unit of acceleration."""
        return self.length / self.time**2


def car_scale(problem: Problem, plant: str, wheelbase: float, time_scale: float) -> tuple[MultiBicycle, Scale]:
    """The scale at which the problem's bicycles are cars of this ``wheelbase`` (m), ``time_scale`` s a unit of time.

    Raises:
        ValueError: for a problem that is not a ``MultiBicycle``, or a time that is not positive.
    """
    if not isinstance(problem, MultiBicycle):
        raise ValueError(f"{plant} is a plant for MultiBicycle; got {type(problem).__name__}")
    if not (math.isfinite(time_scale) and time_scale > 0):
        raise ValueError(f"time_scale is {time_scale!r}; expected a positive number of seconds in a unit of time")
    return problem, Scale(wheelbase / problem.wheelbase, time_scale)


def slip(steering: Array) -> Array:
    """β with tanβ = ½ tanδ: between the heading and the velocity of the centre, which is ℓ/2 before the rear wheel."""
    return np.arctan(0.5 * np.tan(steering))


def to_center(rear: Array, steering: Array, wheelbase: float) -> Array:
    """Rear wheel to centre: x + (ℓ/2)(cosθ, sinθ), θ, v / cosβ; rows (x, y, θ, v), ``(N, 4)``.

    The centre moves with ẋ + (ℓ/2) θ̇ (-sinθ, cosθ), θ̇ = (v/ℓ) tanδ: v along the heading and ½ v tanδ across it. So its
    direction is θ + β with tanβ = ½ tanδ, its speed v / cosβ, and θ̇ = (v / cosβ) sinβ / (ℓ/2), which is highway-env's.
    """
    x, y, heading, speed = rear.T
    half = 0.5 * wheelbase
    return np.stack(
        [x + half * np.cos(heading), y + half * np.sin(heading), heading, speed / np.cos(slip(steering))], -1
    )


def to_rear(center: Array, steering: Array, wheelbase: float) -> Array:
    """The inverse of ``to_center``."""
    x, y, heading, speed = center.T
    half = 0.5 * wheelbase
    return np.stack(
        [x - half * np.cos(heading), y - half * np.sin(heading), heading, speed * np.cos(slip(steering))], -1
    )


def touching(centers: Array, headings: Array, length: float, width: float) -> bool:
    """Whether any two of N rectangles, ``(N, 2)`` and ``(N,)``, overlap: no axis of theirs separates them."""
    along = np.stack([np.cos(headings), np.sin(headings)], -1)
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    corners = [
        c + s * 0.5 * length * a + r * 0.5 * width * b
        for s, r in itertools.product((-1, 1), repeat=2)
        for c, a, b in [(centers, along, across)]
    ]
    boxes = np.stack(corners, 1)  # (N, 4, 2)
    for i, j in itertools.combinations(range(len(centers)), 2):
        axes = np.stack([along[i], across[i], along[j], across[j]])
        one, two = boxes[i] @ axes.T, boxes[j] @ axes.T
        apart = (one.max(0) < two.min(0)) | (two.max(0) < one.min(0))
        if not apart.any():
            return True
    return False
