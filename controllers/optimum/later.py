"""The rest of a problem, from a later control step on."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.problem import Problem


class Later(Problem):
    """What is left of ``inner`` after ``first`` of its control steps: t = 0 here is ``first`` dt there.

        min_u  Σ_{j >= first} c(t_j, z_j, u_j) + G(z_K)

    Everything else is that of ``inner``; the steps have the same length.
    """

    def __init__(self, inner: Problem, first: int) -> None:
        self.inner, self.first = inner, first
        self.state_dim, self.control_dim, self.steps = inner.state_dim, inner.control_dim, inner.steps - first
        self.substeps = inner.substeps
        self.control_low, self.control_high = inner.control_low, inner.control_high
        self.state_scale, self.state_bound = inner.state_scale, inner.state_bound
        self.horizon, self.begin = self.steps * inner.time_step, first * inner.time_step

    @property
    def time_step(self) -> float:
        return self.inner.time_step

    @property
    def state_block(self) -> int:
        return self.inner.state_block

    @property
    def control_block(self) -> int:
        return self.inner.control_block

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.inner.dynamics(t + self.begin, z, u)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.inner.running_cost(t + self.begin, z, u)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return self.inner.terminal_cost(z)

    def guess(self, t: Tensor, z: Tensor) -> Tensor | None:
        return self.inner.guess(t + self.begin, z)

    def coupling(self, t: Tensor, z: Tensor) -> Tensor | None:
        return self.inner.coupling(t + self.begin, z)

    def control_bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.control_bounds(like)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample_initial_state(batch, generator)
