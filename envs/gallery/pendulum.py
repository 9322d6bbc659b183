"""The pendulum of Gymnasium: swing it up with a torque that is too weak to lift it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..scene import Scene
from .published import Published
from .scenes import pole_scene


@dataclasses.dataclass(frozen=True)
class Pendulum(Published):
    """z = (θ, θ̇) ``(B, 2)`` in rad and rad/s, θ = 0 upright; u a torque ``(B, 1)`` in N m, |u| <= 2 < m g l / 2 = 5.

        θ̈ = 3g/(2l) sinθ + 3/(m l²) u     L = 2 (1 - cosθ) + 0.1 θ̇² + 0.001 u²     G = 0

    g = 10 m/s², m = 1 kg, l = 1 m; θ uniform in ±π, θ̇ in ±1, as in the source, where L has θ² instead of 2 (1 - cosθ),
    which is smooth all round, and where |θ̇| is cut off at 8.

    Source: Gymnasium, ``Pendulum-v1`` (Towers et al. 2024, arXiv:2407.17032), whose own step is compared; from rest at
    the bottom the optimum swings to both sides at the same cost.
    """

    horizon: float = 5.0
    steps: int = 100
    torque: float = 2.0

    state_dim, control_dim = 2, 1
    state_scale = (3.0, 8.0)
    state_names = ("angle (rad)", "rate (rad/s)")
    control_names = ("torque (N m)",)

    @property
    def control_low(self) -> float:  # type: ignore[override]
        return -self.torque

    @property
    def control_high(self) -> float:  # type: ignore[override]
        return self.torque

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.cat([z[..., 1:], 15.0 * torch.sin(z[..., :1]) + 3.0 * u], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        angle, rate = z.unbind(-1)
        return 2.0 * (1.0 - torch.cos(angle)) + 0.1 * rate**2 + 0.001 * (u**2).sum(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        return torch.sqrt(2.0 * (1.0 - torch.cos(z[..., 0])) + z[..., 1] ** 2)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return (2.0 * torch.rand(batch, 2, generator=generator) - 1.0) * torch.tensor([torch.pi, 1.0])

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return pole_scene(0.0, z[0], 1.0, low=(-1.6, -1.2), high=(1.6, 1.2), target=(0.0, 1.0))
