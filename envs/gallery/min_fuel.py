"""The double integrator with the least fuel: |u| as two controls, and bang-off-bang."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .published import Published


@dataclasses.dataclass(frozen=True)
class MinFuel(Published):
    """z = (position, velocity) ``(B, 2)``; u = (u₊, u₋) ``(B, 2)`` in [0, 1]: thrust to either side.

        z̈ = u₊ - u₋     L = u₊ + u₋ + ½ rounding |u|²     G = ½ terminal_weight |z(T)|²     T = 4

    Start: N(0, initial_scale²), within reach. The source has no ``rounding``, which makes the corners round. At the
    optimum one of the two thrusts is 0.

    Source: Athans and Falb, "Optimal Control" (1966), chapter 8. Optimum from rest at distance d to rest at 0
    exactly: full thrust for τ, nothing, full brake for τ, with τ (T - τ) = d, so J = T - √(T² - 4d); here
    ∫L + 2G -> that as the weight grows.
    """

    horizon: float = 4.0
    steps: int = 40
    terminal_weight: float = 100.0
    rounding: float = 0.0
    initial_scale: float = 0.6

    state_dim, control_dim = 2, 2
    control_low, control_high = 0.0, 1.0
    state_names = ("position (length)", "velocity (length/time)")
    control_names = ("forwards (length/time^2)", "backwards (length/time^2)")

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.cat([z[..., 1:], u[..., :1] - u[..., 1:]], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return u.sum(-1) + 0.5 * self.rounding * (u**2).sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 0.5 * self.terminal_weight * (z**2).sum(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        return z.norm(dim=-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.initial_scale * torch.randn(batch, 2, generator=generator)
