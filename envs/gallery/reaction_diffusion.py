"""The Allen-Cahn equation on a square of 8 x 8 cells: keep a field between two phases with four actuators."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..scene import Scene
from .published import Published
from .scenes import field_scene

SIDE = 8
WIDTH = 2.0 / SIDE
"""Of a cell; the square is [-1, 1]²."""


@dataclasses.dataclass(frozen=True)
class ReactionDiffusion(Published):
    """z the field y in 64 cells, row by row ``(B, 64)``; u = four forces ``(B, 4)``, each on a quarter, |u| <= 4.

        ∂_t y = diffusion Δy + y - reaction y³ + Σ_j 1_j u_j,  no flux through the border
        L = ∫ y² dx + effort |u|²     G = ∫ y(T)² dx     T = 2

    0 is a repelling equilibrium, 1 and -1 attract. Δ by differences of neighbouring cells (finite volumes, O(h²)).
    Start: a sum of cos(kπ(x + 1)/2) cos(lπ(y + 1)/2), k, l <= 2, with N(0, (initial_scale / (1 + k + l))²) for each.

    Source: Dolgov, Kalise and Kunisch, "Tensor decomposition methods for high-dimensional Hamilton-Jacobi-Bellman
    equations", SIAM J. Sci. Comput. 43 (2021), arXiv:1908.01533, and the one-dimensional problem of Kalise and Kunisch
    (2018), with their diffusion 0.2; square, actuators and horizon are ours. Checked: the decay of the modes of Δ, the
    equilibria, and Riccati's equation where the reaction is off.
    """

    horizon: float = 2.0
    steps: int = 60
    diffusion: float = 0.2
    reaction: float = 1.0
    effort: float = 0.1
    initial_scale: float = 0.8

    state_dim, control_dim = SIDE * SIDE, 4
    control_low, control_high = -4.0, 4.0

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        y = z.unflatten(-1, (SIDE, SIDE))
        forces = u.unflatten(-1, (2, 2)).repeat_interleave(SIDE // 2, -1).repeat_interleave(SIDE // 2, -2)
        around = y - self.reaction * y**3 + forces + self.diffusion / WIDTH**2 * laplacian(y)
        return around.flatten(-2)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.terminal_cost(z) + self.effort * (u**2).sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return WIDTH**2 * (z**2).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        place = (torch.arange(SIDE) + 0.5) / SIDE
        waves = torch.cos(torch.pi * torch.arange(3)[:, None] * place)
        falling = 1.0 + torch.arange(3) + torch.arange(3)[:, None]
        sizes = self.initial_scale * torch.randn(batch, 3, 3, generator=generator) / falling
        return torch.einsum("bkl,ki,lj->bij", sizes, waves, waves).flatten(-2)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return field_scene(z.reshape(SIDE, SIDE), u.reshape(2, 2))


def laplacian(y: Tensor) -> Tensor:
    """The sum of what each cell of ``(.., S, S)`` lacks of its four neighbours; nothing passes the border."""
    flows = (torch.diff(y, dim=-1), torch.diff(y, dim=-2))
    row, column = torch.zeros_like(y[..., :1]), torch.zeros_like(y[..., :1, :])
    across = torch.cat([flows[0], row], -1) - torch.cat([row, flows[0]], -1)
    return across + torch.cat([flows[1], column], -2) - torch.cat([column, flows[1]], -2)
