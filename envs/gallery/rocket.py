"""The rocket in the plane: land upright on a mark, with a control cost that has no closed-form maximiser."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..scene import Scene
from .published import Published
from .scenes import rocket_scene


@dataclasses.dataclass(frozen=True)
class Rocket(Published):
    """z = (x, y, tilt θ and their rates) ``(B, 6)``; u = (thrust, torque) ``(B, 2)`` in [0, 2.5] x [-2, 2].

        ẍ = -u₁ sinθ     ÿ = u₁ cosθ - 1     θ̈ = u₂     L = exp(½|u|²)     G = 200 |z(T)|²     T = 5

    Mass, gravity and inertia are 1. Start: N((2, 4, 0, 0, -0.5, 0), initial_scale²); "rocket" starts from 0.3, where
    linear feedback along one optimum is a quarter above the optimum in the mean, or worse.

    Source: ours, a planar vehicle with the control cost of Gelphman et al. (arXiv:2510.00359). Checked: hovering with
    u = (1, 0) is an equilibrium that costs exp(½) in the unit of time; a mirror image flies the mirrored path.
    """

    horizon: float = 5.0
    steps: int = 80
    initial_scale: float = 0.2

    state_dim, control_dim = 6, 2
    control_low, control_high = (0.0, -2.0), (2.5, 2.0)
    state_scale = (2.0, 3.0, 1.0, 1.0, 1.0, 1.0)
    state_names = (
        *("x (length)", "y (length)", "tilt (rad)"),
        *("x_rate (length/time)", "y_rate (length/time)", "tilt_rate (rad/time)"),
    )
    control_names = ("thrust (length/time^2)", "torque (rad/time^2)")

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        tilt, thrust, torque = z[..., 2:3], u[..., :1], u[..., 1:]
        return torch.cat([z[..., 3:], -thrust * torch.sin(tilt), thrust * torch.cos(tilt) - 1.0, torque], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.exp(0.5 * (u**2).sum(-1))

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 200.0 * (z**2).sum(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        return z[..., :2].norm(dim=-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        mean = torch.tensor([2.0, 4.0, 0.0, 0.0, -0.5, 0.0])
        return mean + self.initial_scale * torch.randn(batch, 6, generator=generator)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return rocket_scene(z[:2], z[2], u[0], mark=(0.0, 0.0))
