"""The value function phi_theta(t, z): a residual network with log-cosh, a low-rank quadratic and a linear term."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..envs.problem import Problem, vector

TIME_SPAN = 4.0
"""The time runs over [0, 4] at the input, more than the states do: feedback changes fastest in time, near T."""


class ValueFunction(nn.Module):
    """phi(t, z) = wᵀ N(s) + ½ Σ_r e^{-g_r (4 - τ)} (A s - d)_r² + bᵀ s + c,   s = (z / state_scale, τ), τ = 4 t/T.

    The form of Onken et al. (IEEE TCST 2022), to which g = d = 0 returns; with g > 0 a row of A acts near T alone, so
    the feedback gain can rise towards T as it does for every terminal cost. N is a residual network of constant
    width: a_0 = σ(K_0 s + b_0), a_i = a_{i-1} + h σ(K_i a_{i-1} + b_i), with σ(x) = log cosh x, so σ' = tanh and phi
    is smooth. Its gradient is written out, without autograd, so that it compiles, exports, and is differentiated
    once, not twice, in training.

    Args:
        problem: gives the dimension, the horizon and the scales of the inputs.
        width: units of each layer.
        depth: residual layers after the opening one.
        rank: rows of A.
        seed: of the initial weights; drawn on the CPU from a generator of its own.
    """

    def __init__(
        self, problem: Problem, width: int = 64, depth: int = 1, rank: int = 10, seed: int | None = None
    ) -> None:
        super().__init__()
        if min(width, rank) < 1 or depth < 0:
            raise ValueError(f"width={width}, depth={depth}, rank={rank}; expected width, rank >= 1 and depth >= 0")
        self.config: dict[str, Any] = {"width": width, "depth": depth, "rank": rank}
        self.horizon = problem.horizon
        inputs = problem.state_dim + 1
        generator = torch.Generator().manual_seed(torch.seed() if seed is None else seed)

        def weight(rows: int, columns: int) -> nn.Parameter:
            # Glorot: keeps the size of tanh's argument through the layers.
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * math.sqrt(2 / (rows + columns)))

        self.opening = weight(width, inputs)
        self.opening_bias = nn.Parameter(torch.randn(width, generator=generator) * 0.1)
        self.hidden = nn.ParameterList([weight(width, width) for _ in range(depth)])
        self.hidden_bias = nn.ParameterList([nn.Parameter(torch.zeros(width)) for _ in range(depth)])
        self.output = nn.Parameter(torch.ones(width))
        self.quadratic = weight(rank, inputs)
        self.center = nn.Parameter(torch.zeros(len(self.quadratic)))
        self.growth = nn.Parameter(torch.linspace(0, 3, rank))
        self.linear = nn.Parameter(torch.zeros(inputs))
        self.constant = nn.Parameter(torch.zeros(()))
        scale = torch.cat([vector(problem.state_scale, problem.state_dim, torch.empty(())), torch.ones(1)])
        scale[-1] = problem.horizon / TIME_SPAN
        self.register_buffer("scale", scale)
        self.scale: Tensor

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """phi(t, z), ``(B,)``; t is ``()`` or ``(B,)``."""
        s = self._inputs(t, z)
        a = log_cosh(functional.linear(s, self.opening, self.opening_bias))
        for matrix, bias in zip(self.hidden, self.hidden_bias, strict=True):
            a = a + self._stride * log_cosh(functional.linear(a, matrix, bias))
        apart = functional.linear(s, self.quadratic) - self.center
        curved = 0.5 * (torch.exp(self.growth * (self._time(s) - TIME_SPAN)) * apart.square()).sum(-1)
        return a @ self.output + curved + s @ self.linear + self.constant

    def gradient(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """``(∂_t phi, ∇_z phi)``, ``(B,)`` and ``(B, n)``: the chain rule backwards through the layers."""
        s = self._inputs(t, z)
        before = functional.linear(s, self.opening, self.opening_bias)
        a, slopes = log_cosh(before), []
        for matrix, bias in zip(self.hidden, self.hidden_bias, strict=True):
            inner = functional.linear(a, matrix, bias)
            slopes.append(torch.tanh(inner))
            a = a + self._stride * log_cosh(inner)
        back = self.output.expand_as(a)
        for matrix, slope in zip(reversed(list(self.hidden)), reversed(slopes), strict=True):
            back = back + self._stride * ((slope * back) @ matrix)
        apart = functional.linear(s, self.quadratic) - self.center
        pull = torch.exp(self.growth * (self._time(s) - TIME_SPAN)) * apart
        slope_s = ((torch.tanh(before) * back) @ self.opening + pull @ self.quadratic + self.linear) / self.scale
        p, slope_t = slope_s.split([z.shape[-1], 1], -1)
        growing = 0.5 * (self.growth * pull * apart).sum(-1) * (TIME_SPAN / self.horizon)
        return slope_t.squeeze(-1) + growing, p

    @staticmethod
    def _time(s: Tensor) -> Tensor:
        """4 t / T, the last input, ``(B, 1)``."""
        return s.narrow(-1, s.shape[-1] - 1, 1)

    @property
    def _stride(self) -> float:
        return 1.0 / max(1, len(self.hidden))

    def _inputs(self, t: Tensor | float, z: Tensor) -> Tensor:
        t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
        return torch.cat([z, t.expand(len(z)).unsqueeze(-1)], -1) / self.scale


def log_cosh(x: Tensor) -> Tensor:
    """log cosh x = |x| + log(1 + e^{-2|x|}) - log 2, which does not overflow; its derivative is tanh x."""
    size = x.abs()
    return size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
