"""The share of the value function that belongs to one agent alone: a small network and a quadratic form for each."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TIME_SPAN = 4.0
"""The time runs over [0, 4] at the input, more than the states do: feedback changes fastest in time, near T."""


class AgentTerms(nn.Module):
    """Σ_i [ w_iᵀ N_i(s_i) + ½ Σ_r e^{-g_r (4 - τ)} (A_i s_i - d_i)_r² + b_iᵀ s_i ], s_i = (state of agent i, τ).

    N_i is an opening layer of agent i's own and a residual layer that all agents share, with σ(x) = log cosh x as in
    ``ValueFunction``. The cost grows with the number of agents, not with its square, and the Hessian has full rank in
    every agent, which a dense network reaches at a width of the whole state only.

    Args:
        agents: N.
        inputs: of one agent, its states and the time.
        width: units of each layer.
        rank: rows of each A_i.
        generator: of the initial weights.
    """

    def __init__(self, agents: int, inputs: int, width: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()

        def weight(*shape: int) -> nn.Parameter:
            scale = math.sqrt(2 / (shape[-1] + shape[-2]))
            return nn.Parameter(torch.randn(*shape, generator=generator) * scale)

        self.opening = weight(agents, inputs, width)
        self.opening_bias = nn.Parameter(torch.randn(agents, 1, width, generator=generator) * 0.1)
        self.hidden = weight(width, width)
        self.hidden_bias = nn.Parameter(torch.zeros(agents, 1, width))
        self.output = nn.Parameter(torch.ones(agents, 1, width))
        self.quadratic = weight(agents, inputs, rank)
        self.center = nn.Parameter(torch.zeros(agents, 1, rank))
        self.growth = nn.Parameter(torch.linspace(0, 3, rank))
        self.linear = nn.Parameter(torch.zeros(agents, 1, inputs))

    def forward(self, s: Tensor) -> Tensor:
        """The sum over agents, ``(B,)``, for inputs ``(N, B, inputs)``."""
        _, first, inner, pull, apart = self._layers(s)
        return self._total(s, first, inner, pull, apart)

    def gradient(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """By input, ``(N, B, inputs)``, and what the growth adds to the derivative in τ, ``(B,)``."""
        before, _, inner, pull, apart = self._layers(s)
        return self._slope(before, inner, pull), 0.5 * (self.growth * pull * apart).sum((0, -1))

    def both(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """The sum, ``(B,)``, and its derivative by input."""
        before, first, inner, pull, apart = self._layers(s)
        return self._total(s, first, inner, pull, apart), self._slope(before, inner, pull)

    def _layers(self, s: Tensor) -> tuple[Tensor, ...]:
        """The opening layer before and after σ, the residual one before it, and e^{-g (4 - τ)} (A s - d), A s - d."""
        before = torch.baddbmm(self.opening_bias, s, self.opening)
        first = log_cosh(before)
        apart = torch.baddbmm(-self.center, s, self.quadratic)
        return before, first, first @ self.hidden + self.hidden_bias, self._weight(s) * apart, apart

    def _total(self, s: Tensor, first: Tensor, inner: Tensor, pull: Tensor, apart: Tensor) -> Tensor:
        deep = ((first + log_cosh(inner)) * self.output).sum(-1)
        return (deep + 0.5 * (pull * apart).sum(-1) + (s * self.linear).sum(-1)).sum(0)

    def _slope(self, before: Tensor, inner: Tensor, pull: Tensor) -> Tensor:
        back = self.output + (torch.tanh(inner) * self.output) @ self.hidden.mT
        return (torch.tanh(before) * back) @ self.opening.mT + pull @ self.quadratic.mT + self.linear

    @torch.no_grad()
    def silence(self, share: float = 1e-3) -> None:
        """Set the output to 0, and the rows of the quadratic terms to ``share`` of what they were, to be woken."""
        self.output.zero_()
        self.quadratic.mul_(share)

    def _weight(self, s: Tensor) -> Tensor:
        """e^{-g (4 - τ)}; τ is the last input."""
        return torch.exp(self.growth * (s.narrow(-1, s.shape[-1] - 1, 1) - TIME_SPAN))


def log_cosh(x: Tensor) -> Tensor:
    """log cosh x = |x| + log(1 + e^{-2|x|}) - log 2, which does not overflow; its derivative is tanh x."""
    size = x.abs()
    return size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
