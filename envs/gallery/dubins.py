"""Dubins's car among obstacles: constant speed, bounded turns, and discs to keep out of."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..penalty import penalty
from ..scene import Scene
from .published import Published
from .scenes import car_scene

DISCS = ((1.2, 0.2, 0.4), (2.2, -0.6, 0.4), (2.3, 0.7, 0.4))
"""x, y and radius of the obstacles."""
GOAL = (3.5, 0.0)


@dataclasses.dataclass(frozen=True)
class Dubins(Published):
    """z = (x, y, θ) ``(B, 3)`` in lengths and rad; u = θ̇ ``(B, 1)``, |u| <= 2 rad per time; the speed is 1.

        ẋ = cosθ     ẏ = sinθ     θ̇ = u
        L = ½ turning u² + obstacles Σ_i penalty(1 - |x - c_i|² / r_i²)     G = ½ terminal_weight |x(T) - (3.5, 0)|²

    Whoever comes early has to go round about: T = 4 for a distance of 3.5. The discs are ours and have a smooth price
    (``penalty``); ``violation(problem.excess, path)`` says how deep a path was in them. Start: x ~ N(0, 0.3²), y ~ N(0,
    0.6²), θ ~ N(0, 0.5²): the paths pass on either side.

    Source: Dubins, "On curves of minimal length with a constraint on average curvature", Amer. J. Math. 79 (1957),
    497-516. Checked where there is nothing in the way: an optimal curve is an elastica, θ̈ = a sin(θ - b), and from
    (-0.5, 0, 0) without discs going straight costs nothing.
    """

    horizon: float = 4.0
    steps: int = 60
    turning: float = 0.2
    obstacles: float = 100.0
    terminal_weight: float = 100.0

    state_dim, control_dim = 3, 1
    control_low, control_high = -2.0, 2.0
    state_scale = (2.0, 1.0, 1.0)
    state_names = ("x (length)", "y (length)", "heading (rad)")
    control_names = ("turn (rad/time)",)

    def excess(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """1 - |x - c_i|² / r_i², ``(B, 3)``: above 0 in a disc."""
        x, y, r = torch.tensor(DISCS, dtype=z.dtype, device=z.device).unbind(-1)
        return 1.0 - ((z[..., :1] - x) ** 2 + (z[..., 1:2] - y) ** 2) / r**2

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        return {"depth": self.excess(z[..., 0], z, z).amax(-1).clamp_min(0.0)}

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        heading = z[..., 2:]
        return torch.cat([torch.cos(heading), torch.sin(heading), u], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        beyond = penalty(self.excess(t, z, u), 0.1).sum(-1)
        return 0.5 * self.turning * (u**2).sum(-1) + self.obstacles * beyond

    def terminal_error(self, z: Tensor) -> Tensor:
        return (z[..., :2] - torch.tensor(GOAL, dtype=z.dtype, device=z.device)).norm(dim=-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        miss = z[..., :2] - torch.tensor(GOAL, dtype=z.dtype, device=z.device)
        return 0.5 * self.terminal_weight * (miss**2).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.tensor([0.3, 0.6, 0.5]) * torch.randn(batch, 3, generator=generator)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return car_scene(z, DISCS, GOAL)
