"""Van der Pol's oscillator, brought to rest with a bounded force."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .published import Published


@dataclasses.dataclass(frozen=True)
class VanDerPol(Published):
    """z = (x₁, x₂) ``(B, 2)``, u ``(B, 1)`` in [-0.3, 1]; all without units.

        ẋ₁ = (1 - x₂²) x₁ - x₂ + u     ẋ₂ = x₁     L = x₁² + x₂² + u²     G = 0     T = 5

    Start: (0, 1) in the source, here with N(0, initial_scale²) added.

    Source: Balsa-Canto, Banga, Alonso and Vassiliadis, "Restricted second order information for the solution of optimal
    control problems using control vector parameterization", J. Process Control 12 (2002), case 6.1; PROPT example 124.
    Optimum from (0, 1): 2.867259538 there, 2.8681 with u held over 80 steps.
    """

    horizon: float = 5.0
    steps: int = 80
    initial_scale: float = 1.2

    state_dim, control_dim = 2, 1
    control_low, control_high = -0.3, 1.0
    state_names = ("rate (-)", "position (-)")
    control_names = ("force (-)",)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        rate, place = z.split(1, -1)
        return torch.cat([(1.0 - place**2) * rate - place + u, rate], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return (z**2).sum(-1) + (u**2).sum(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        return z.norm(dim=-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.tensor([0.0, 1.0]) + self.initial_scale * torch.randn(batch, 2, generator=generator)
