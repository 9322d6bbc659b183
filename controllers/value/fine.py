"""A share of the value function for states that steer: it sees them at their own size, and says little."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...envs.problem import Problem, vector
from .agents import TIME_SPAN, AgentTerms

FADING = 2.0
"""How fast the scale of the inputs goes from ``start_scale`` to ``state_scale``: e^{-2 τ}, τ in [0, 4]."""


class FineTerms(nn.Module):
    """ε(t) Σ_i F_i(z_i / fine_scale, τ),  ε(t) = fine_scale_j / scale_j(t),  with j the state where that is least.

    ``state_scale`` is large for a state whose costate must stay small, like the heading of a bicycle, 1000 rad: a
    network of s = z / state_scale answers with small costates, but cannot tell one heading from another. F_i, an
    ``AgentTerms``, sees the states at their own size, ``Problem.fine_scale``, and ε(t) makes the costate of state j as
    small as the other networks do. A steering control can then answer to the heading, without which nothing that
    bicycles do is stable.

    Args:
        problem: gives the scales, the agents and the horizon.
        width: units of a layer of each F_i.
        rank: rows of the quadratic term of each F_i.
        generator: of the initial weights.

    Raises:
        ValueError: if the problem has no ``fine_scale``.
    """

    def __init__(self, problem: Problem, width: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        if problem.fine_scale is None:
            raise ValueError(f"fine_width is {width}; expected 0, for {type(problem).__name__} has no fine_scale")
        self.block, self.rate = problem.state_block, TIME_SPAN / problem.horizon
        self.terms = AgentTerms(problem.state_dim // self.block, self.block + 1, width, rank, generator)
        start = problem.state_scale if problem.start_scale is None else problem.start_scale
        sizes = (problem.fine_scale, problem.state_scale, start)
        fine, scale, first = (vector(size, problem.state_dim, torch.empty(0)) for size in sizes)
        least = int((fine / scale).argmin())
        last = fine[least] / scale[least]
        self.register_buffer("scale", fine)
        self.register_buffer("size", torch.stack([last, fine[least] / first[least] - last]))
        self.scale: Tensor
        self.size: Tensor

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """``(B,)``; t is ``()`` or ``(B,)``."""
        tau = self._tau(t, z)
        return (self._size(tau) * self.terms(self._inputs(tau, z)).unsqueeze(-1)).squeeze(-1)

    def gradient(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """``(∂_t, ∇_z)``, ``(B,)`` and ``(B, n)``."""
        tau = self._tau(t, z)
        s = self._inputs(tau, z)
        slope, growing = self.terms.gradient(s)
        states, times = slope.split([self.block, 1], -1)
        size = self._size(tau)
        p = size * states.movedim(0, 1).flatten(-2) / self.scale
        rising = size.squeeze(-1) * (times.sum((0, -1)) + growing)
        rising = rising - (FADING * self.size[1] * torch.exp(-FADING * tau)).squeeze(-1) * self.terms(s)
        return self.rate * rising, p

    def _tau(self, t: Tensor | float, z: Tensor) -> Tensor:
        """4 t / T, ``(1, 1)`` or ``(B, 1)``."""
        return torch.as_tensor(t, dtype=z.dtype, device=z.device).reshape(-1, 1) * self.rate

    def _size(self, tau: Tensor) -> Tensor:
        """ε(t)."""
        return self.size[0] + self.size[1] * torch.exp(-FADING * tau)

    def _inputs(self, tau: Tensor, z: Tensor) -> Tensor:
        """Of each agent, ``(N, B, state_block + 1)``."""
        own = (z / self.scale).unflatten(-1, (-1, self.block)).movedim(1, 0)
        return torch.cat([own, tau.expand(len(own), len(z), 1)], -1)
