"""A problem of any size whose controls are all coupled: H_uu is one dense block."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .problem import Problem


@dataclasses.dataclass(frozen=True)
class CoupledControls(Problem):
    """z' = u with z, u ∈ R^m, L = exp(½ Σ_j w_j u_j²), w from 1 to 4, G = ½|z(T)|²; z(0) ~ N(0, 1).

    -∇_u H = p + L w∘u has no solution in elementary functions, and H_uu = -L (diag w + (w∘u)(w∘u)ᵀ) is full: with
    hundreds of controls, the place to see what the linear solve of implicit differentiation costs.
    """

    size: int = 32
    horizon: float = 1.0
    steps: int = 10
    control_low: float = -3.0
    control_high: float = 3.0

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        """m."""
        return self.size

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        """m."""
        return self.size

    def weights(self, like: Tensor) -> Tensor:
        """w, ``(m,)``."""
        return torch.linspace(1, 4, self.control_dim, dtype=like.dtype, device=like.device)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return u.expand_as(z)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.exp(0.5 * (self.weights(u) * u * u).sum(-1))

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 0.5 * (z * z).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(batch, self.state_dim, generator=generator)
