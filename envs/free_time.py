"""A free final time in a fixed horizon: time is scaled, and the pace is one more control."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import torch
from torch import Tensor

from .fields import plain_fields
from .integrate import Trajectory
from .names import control_labels
from .problem import Problem
from .scene import Scene
from .wrapped import Wrapped, entries, texts


@dataclasses.dataclass(frozen=True)
class FreeTime(Wrapped):
    """``inner`` with its final time chosen by the control, in [shortest, longest].

    With s in [0, 1] for the time and the pace w = dt/ds for one more control, the last one,

        dz/ds = w f(z, u)     dJ/ds = w L(z, u) + ½ price ((w - middle) / (longest - shortest))²

    the final time is ∫ w ds (``duration``). Without a price every pace with the same integral would do about as well;
    with it an even one is best, and J rises by at most price / 8: the more, the further the best time is from the
    middle of [shortest, longest]. Feedback at s chooses how fast to go on: no state is added.

    Args:
        inner: a problem whose f and L do not depend on t: what t is depends on how fast one went.
        steps: control steps over [0, 1]; each lasts w / steps.

    Raises:
        ValueError: if f or L of ``inner`` depend on t, or the times make no sense.
    """

    inner: Problem
    shortest: float = 0.1
    longest: float = 10.0
    price: float = 0.01
    steps: int = 100

    horizon = 1.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        plain_fields(self)
        if not 0 < self.shortest < self.longest:
            raise ValueError(f"{name}.shortest is {self.shortest!r}; expected a time in (0, longest {self.longest!r})")
        if not self.price >= 0:
            raise ValueError(f"{name}.price is {self.price!r}; expected a number >= 0")
        super().__post_init__()
        _check_autonomous(self.inner, name)

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        return self.inner.control_dim + 1

    @property
    def control_low(self) -> tuple[float, ...]:  # type: ignore[override]
        return (*entries(self.inner.control_low, self.inner.control_dim), self.shortest)

    @property
    def control_high(self) -> tuple[float, ...]:  # type: ignore[override]
        return (*entries(self.inner.control_high, self.inner.control_dim), self.longest)

    @property
    def control_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*texts(control_labels(self.inner)), "pace (time)")

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return u[..., -1:] * self.inner.dynamics(t, z, u[..., :-1])

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        pace = u[..., -1]
        away = (pace - 0.5 * (self.shortest + self.longest)) / (self.longest - self.shortest)
        return pace * self.inner.running_cost(t, z, u[..., :-1]) + 0.5 * self.price * away**2

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene | None:
        return self.inner.scene(t, z, u[:-1])

    def duration(self, trajectory: Trajectory) -> Tensor:
        """The final time of each flight, ``(B,)``, in the unit of ``inner``."""
        return trajectory.u[..., -1].mean(0)


def _check_autonomous(inner: Problem, name: str) -> None:
    z = inner.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    low, high = inner.control_bounds(z)
    u = (0.7 * low + 0.3 * high).expand(2, -1)
    early, *later = ((k + 0.5) * inner.time_step for k in range(inner.steps))
    for method, late in itertools.product((inner.dynamics, inner.running_cost), later):
        if not torch.equal(method(z.new_full((), early), z, u), method(z.new_full((), late), z, u)):
            raise ValueError(
                f"{name}.inner is a {type(inner).__name__} whose {method.__name__} depends on t; expected one without: "
                "how late it is depends on the pace. Make time a state of it, z' = 1"
            )
