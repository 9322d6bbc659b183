"""A price on how fast the control changes: the control becomes a state, and its rate the control."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from .names import control_labels, state_labels
from .penalty import penalty
from .problem import Problem
from .scene import Scene
from .wrapped import Wrapped, entries, texts


@dataclasses.dataclass(frozen=True)
class PricedRate(Wrapped):
    """``inner`` with the states (z, v), where v is the control of ``inner``, and the control r = v':

        z' = f(t, z, v)     v' = r     L(t, z, v) + ½ price Σ_j (r_j / size_j)² + weight Σ penalty(excess)

    with size_j = high_j - low_j of ``inner``. v starts at the admissible control nearest 0; r is at most ``fastest``
    whole ranges in the unit of time. The bounds of v are constraints on a state now, so they are priced (``penalty``,
    in ranges), and ``violation(problem.excess, trajectory)`` says how far they were passed.

    Raises:
        ValueError: if the price, the rate or the weight makes no sense.
    """

    inner: Problem
    price: float = 0.01
    fastest: float = 10.0
    weight: float = 1e5

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("price", "fastest", "weight"):
            if not getattr(self, field) > 0:
                raise ValueError(
                    f"{type(self).__name__}.{field} is {getattr(self, field)!r}; expected a positive number"
                )

    @property
    def horizon(self) -> float:  # type: ignore[override]
        return self.inner.horizon

    @property
    def steps(self) -> int:  # type: ignore[override]
        return self.inner.steps

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        return self.inner.state_dim + self.inner.control_dim

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        return self.inner.control_dim

    @property
    def sizes(self) -> tuple[float, ...]:
        """high - low of each control of ``inner``."""
        bounds = (entries(bound, self.control_dim) for bound in (self.inner.control_low, self.inner.control_high))
        return tuple(high - low for low, high in zip(*bounds, strict=True))

    @property
    def control_high(self) -> tuple[float, ...]:  # type: ignore[override]
        return tuple(self.fastest * size for size in self.sizes)

    @property
    def control_low(self) -> tuple[float, ...]:  # type: ignore[override]
        return tuple(-rate for rate in self.control_high)

    @property
    def state_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        return (*entries(self.inner.state_scale, self.inner.state_dim), *self.sizes)

    @property
    def state_bound(self) -> tuple[float, ...]:  # type: ignore[override]
        return (*entries(self.inner.state_bound, self.inner.state_dim), *(1e3 * size for size in self.sizes))

    @property
    def state_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return texts([*state_labels(self.inner), *control_labels(self.inner)])

    @property
    def control_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return texts([(f"{name}_rate", f"{unit or 1}/time") for name, unit in control_labels(self.inner)])

    def apart(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The state and the control of ``inner``."""
        return z[..., : self.inner.state_dim], z[..., self.inner.state_dim :]

    def excess(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """How far v is beyond [low, high], in ranges, ``(B, 2 m)``; at most 0 inside."""
        low, high = self.inner.control_bounds(z)
        v = self.apart(z)[1]
        return torch.cat([(low - v) / (high - low), (v - high) / (high - low)], -1)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.cat([self.inner.dynamics(t, *self.apart(z)), u], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        rate = u / torch.as_tensor(self.sizes, dtype=u.dtype, device=u.device)
        beyond = penalty(self.excess(t, z, u), 0.01).sum(-1)
        own = self.inner.running_cost(t, *self.apart(z))
        return own + 0.5 * self.price * (rate * rate).sum(-1) + self.weight * beyond

    def terminal_cost(self, z: Tensor) -> Tensor:
        return self.inner.terminal_cost(self.apart(z)[0])

    def terminal_error(self, z: Tensor) -> Tensor:
        return self.inner.terminal_error(self.apart(z)[0])

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        return self.inner.metrics(self.apart(z)[0])

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        z = self.inner.sample_initial_state(batch, generator)
        low, high = self.inner.control_bounds(z)
        return torch.cat([z, torch.zeros_like(low).clamp(low, high).expand(batch, -1)], -1)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene | None:
        return self.inner.scene(t, z[: self.inner.state_dim], z[self.inner.state_dim :])
