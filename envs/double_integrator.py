"""The double integrator: a linear-quadratic problem whose value function Riccati's equation gives exactly."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .fields import plain_fields
from .problem import Problem


@dataclasses.dataclass(frozen=True)
class DoubleIntegrator(Problem):
    """z = (position, velocity), z'' = u, L = ½ u², G = 5 |z(T)|², z0 ~ N(0, I). The oracle of the tests."""

    state_dim: int = 2
    control_dim: int = 1
    horizon: float = 2.0
    steps: int = 20

    def __post_init__(self) -> None:
        plain_fields(self)
        super().__post_init__()

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.cat([z.narrow(-1, 1, 1), u], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return 0.5 * (u**2).sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 5.0 * (z**2).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(batch, 2, generator=generator)
