"""The cart-pole of Kelly: swing the pole up and stop the cart a metre away, with the least force."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..scene import Scene
from .published import Published
from .scenes import pole_scene

GOAL = (1.0, torch.pi, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class CartPole(Published):
    """z = (x, θ, ẋ, θ̇) ``(B, 4)`` in m, rad and per s, θ = 0 hanging; u a force on the cart ``(B, 1)``, |u| <= 20 N.

        ẍ = (l m₂ sinθ θ̇² + u + m₂ g cosθ sinθ) / d          d = m₁ + m₂ sin²θ
        θ̈ = -(l m₂ cosθ sinθ θ̇² + u cosθ + (m₁ + m₂) g sinθ) / (l d)
        L = u²     G = ½ terminal_weight |z(T) - (1, π, 0, 0)|²

    m₁ = 1 kg, m₂ = 0.3 kg, l = 0.5 m, g = 9.81 m/s², T = 2 s. The source starts at rest at 0 and ends at the goal
    exactly; here z(0) ~ N(0, initial_scale²) and the goal has a price.

    Source: Kelly, "An introduction to trajectory optimization", SIAM Review 59 (2017), 849-904, section 6. Optimum
    from rest with the goal met exactly: 58.88 N² s in Dymos's test of the same example, where u(T) = 0, too; here
    ∫L + 2G -> 58.0 as weight and steps grow.
    """

    horizon: float = 2.0
    steps: int = 60
    terminal_weight: float = 4000.0
    initial_scale: float = 0.3

    state_dim, control_dim = 4, 1
    control_low, control_high = -20.0, 20.0
    state_scale = (1.0, 3.0, 3.0, 8.0)
    state_names = ("cart (m)", "angle (rad)", "cart_rate (m/s)", "angle_rate (rad/s)")
    control_names = ("force (N)",)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        _, angle, _, rate = z.split(1, -1)
        sine, cosine = torch.sin(angle), torch.cos(angle)
        mass = 1.0 + 0.3 * sine**2
        pull = 0.15 * sine * rate**2 + u
        cart = (pull + 0.3 * 9.81 * cosine * sine) / mass
        pole = -(pull * cosine + 1.3 * 9.81 * sine) / (0.5 * mass)
        return torch.cat([z[..., 2:], cart, pole], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return (u**2).sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        miss = z - torch.tensor(GOAL, dtype=z.dtype, device=z.device)
        return 0.5 * self.terminal_weight * (miss**2).sum(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        return (z - torch.tensor(GOAL, dtype=z.dtype, device=z.device)).norm(dim=-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.initial_scale * torch.randn(batch, 4, generator=generator)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return pole_scene(z[0], np.pi - z[1], 0.5, low=(-0.9, -0.7), high=(1.9, 0.8), target=(1.0, 0.5), push=u[0] / 40)
