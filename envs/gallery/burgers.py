"""Burgers' equation: calm a flow with shocks by four forces."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..scene import Scene
from .published import Published
from .scenes import profile_scene


@dataclasses.dataclass(frozen=True)
class Burgers(Published):
    """z the velocity y at ``points`` places inside (0, 1), ``(B, points)``; u = four forces ``(B, 4)``, |u| <= 5.

        ∂_t y + y ∂_x y = viscosity ∂_xx y + Σ_j hat_j(x) u_j,  y(t, 0) = y(t, 1) = 0
        L = ½ ∫ y² dx + ½ effort |u|²     G = ½ ∫ y(T)² dx     T = 1

    hat_j is 1 at j/5 and falls to 0 at its neighbours. y ∂_x y as ⅓ (y δy + δ(y²)), δ central, O(h²): without
    viscosity and forces Σ y² is conserved. Start: a sum of sin(kπx), k <= 4, with N(0, (initial_scale / √k)²) for each.

    Source: Kunisch and Volkwein, "Control of the Burgers equation by a reduced-order approach using proper orthogonal
    decomposition", J. Optim. Theory Appl. 102 (1999), 345-371; forces and initial flows are ours. Checked against the
    exact solution 2πν e sin(πx) / (2 + e cos(πx)), e = exp(-π²νt), of Cole and Hopf.
    """

    horizon: float = 1.0
    steps: int = 80
    points: int = 32
    viscosity: float = 0.02
    effort: float = 0.1
    initial_scale: float = 1.5

    control_dim = 4
    control_low, control_high = -5.0, 5.0
    control_names = tuple(f"force at {j}/5 (-)" for j in range(1, 5))

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        return self.points

    def places(self, like: Tensor) -> Tensor:
        """x, ``(points,)``."""
        return torch.arange(1, self.points + 1, dtype=like.dtype, device=like.device) / (self.points + 1)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        h = 1.0 / (self.points + 1)
        y = torch.nn.functional.pad(z, (1, 1))
        left, right = y[..., :-2], y[..., 2:]
        carried = (z * (right - left) + right**2 - left**2) / (6.0 * h)
        spread = self.viscosity / h**2 * (left - 2.0 * z + right)
        centers = torch.arange(1, 5, dtype=z.dtype, device=z.device) / 5.0
        hats = (1.0 - 5.0 * (self.places(z) - centers[:, None]).abs()).clamp_min(0.0)
        return spread - carried + u @ hats

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.terminal_cost(z) + 0.5 * self.effort * (u**2).sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 0.5 / (self.points + 1) * (z**2).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        k = torch.arange(1, 5)[:, None]
        sizes = self.initial_scale * torch.randn(batch, 4, generator=generator)
        return sizes @ (torch.sin(torch.pi * k * self.places(sizes)) / k.sqrt())

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return profile_scene(z, u)
