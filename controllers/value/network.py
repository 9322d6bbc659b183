"""The value function phi_theta(t, z): a residual network with log-cosh, a low-rank quadratic and a linear term."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...envs.fields import whole
from ...envs.problem import Problem, vector
from .agents import TIME_SPAN, AgentTerms, log_cosh
from .fine import FADING, FineTerms
from .handing_on import hand_on


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
        agent_width: units of the network that each agent (``problem.state_block`` states) has besides, ``AgentTerms``;
            0: none. With it, width and rank may be 0.
        agent_rank: rows of each agent's own quadratic term.
        fine_width: units of a layer of ``FineTerms``, for states that steer; 0: none.
        nominal: add Σ_j p̄_j(t) z_j, p̄ a trained table at the control steps; ``start_at`` fills it.

    With ``problem.start_scale`` the scale of the inputs goes from it to ``state_scale`` as e^{-2 τ}.

    Raises:
        ValueError: on a size that makes no sense.
    """

    def __init__(
        self,
        problem: Problem,
        width: int = 64,
        depth: int = 1,
        rank: int = 10,
        seed: int | None = None,
        *,
        agent_width: int = 0,
        agent_rank: int = 8,
        fine_width: int = 0,
        nominal: bool = False,
    ) -> None:
        super().__init__()
        _check_sizes(width, depth, rank, agent_width, agent_rank, fine_width)
        self.config: dict[str, Any] = {"width": width, "depth": depth, "rank": rank}
        if agent_width:
            self.config |= {"agent_width": agent_width, "agent_rank": agent_rank}
        if fine_width:
            self.config |= {"fine_width": fine_width, "agent_rank": agent_rank}
        if nominal:
            self.config["nominal"] = True
        self.horizon, inputs = problem.horizon, problem.state_dim + 1
        generator = torch.Generator().manual_seed(torch.seed() if seed is None else whole(seed, "seed", 0))

        def weight(rows: int, columns: int) -> nn.Parameter:
            # Glorot: keeps the size of tanh's argument through the layers.
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * math.sqrt(2 / max(1, rows + columns)))

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
        self._scale_inputs(problem)
        self.block = problem.state_block
        count = problem.state_dim // self.block
        self.agents = AgentTerms(count, self.block + 1, agent_width, agent_rank, generator) if agent_width else None
        self.fine = FineTerms(problem, fine_width, agent_rank, generator) if fine_width else None
        if nominal:
            self.nominal = nn.Parameter(torch.zeros(problem.state_dim, problem.steps + 1))
            self.register_buffer("knots", torch.arange(problem.steps + 1.0), persistent=False)
            self.knots: Tensor

    def _scale_inputs(self, problem: Problem) -> None:
        """What the inputs are divided by, and how much finer they are at the start."""
        time = torch.tensor([problem.horizon / TIME_SPAN])
        scale = torch.cat([vector(problem.state_scale, problem.state_dim, time), time])
        self.register_buffer("scale", scale)
        self.scale: Tensor
        self.swift = problem.start_scale is not None
        if problem.start_scale is not None:
            first = vector(problem.start_scale, problem.state_dim, scale)
            self.register_buffer("excess", 1 / torch.cat([first, scale[-1:]]) - 1 / scale, persistent=False)
            self.excess: Tensor

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """phi(t, z), ``(B,)``; t is ``()`` or ``(B,)``."""
        s = self._inputs(t, z)
        a = log_cosh(functional.linear(s, self.opening, self.opening_bias))
        for matrix, bias in zip(self.hidden, self.hidden_bias, strict=True):
            a = a + self._stride * log_cosh(functional.linear(a, matrix, bias))
        apart = functional.linear(s, self.quadratic) - self.center
        curved = 0.5 * (torch.exp(self.growth * (self._time(s) - TIME_SPAN)) * apart.square()).sum(-1)
        total = a @ self.output + curved + s @ self.linear + self.constant
        if "nominal" in self.config:
            total = total + (self._hats(t, z) @ self.nominal.mT * s.narrow(-1, 0, z.shape[-1])).sum(-1)
        if self.fine is not None:
            total = total + self.fine(t, z)
        return total if self.agents is None else total + self.agents(self._by_agent(s))

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
        slope_s = (torch.tanh(before) * back) @ self.opening + pull @ self.quadratic + self.linear
        growing = 0.5 * (self.growth * pull * apart).sum(-1)
        if self.agents is not None:
            alone, growing_alone = self.agents.gradient(self._by_agent(s))
            states, times = alone.split([self.block, 1], -1)
            slope_s = slope_s + torch.cat([states.movedim(0, 1).flatten(-2), times.sum(0)], -1)
            growing = growing + growing_alone
        if "nominal" in self.config:
            slope_s = slope_s + self._nominal_slope(t, z, s)
        p, slope_t = (slope_s * self._per_unit(t, z)).split([z.shape[-1], 1], -1)
        if self.swift:  # the inputs change with time of themselves
            states, _ = (slope_s * self.excess * self._fading(t, z)).split([z.shape[-1], 1], -1)
            growing = growing - FADING * (states * z).sum(-1)
        slope_t = slope_t.squeeze(-1) + growing * (TIME_SPAN / self.horizon)
        if self.fine is not None:
            more_t, more = self.fine.gradient(t, z)
            return slope_t + more_t, p + more
        return slope_t, p

    def speaker(self, t: Tensor | float, z: Tensor) -> None:
        """None: this is one function, and knows no control before the argmax is solved."""

    feedback = speaker

    def adopt(self, other: ValueFunction, seed: int = 0) -> None:
        """Begin with the weights of ``other``: of the same problem, or of one with fewer of the same agents.

        Agent i takes those of agent i mod n, 1 % apart so that those who share a teacher can part. Only terms of the
        agents' own can be handed on to another number of them. Fine terms that ``other`` lacks begin at 0, or nearly:
        the rows of their quadratic terms keep a thousandth of their size, for training to wake.

        Raises:
            ValueError: if the two do not match in their terms or shapes; nothing is changed then.
        """
        given: dict[str, Tensor] = dict(other.named_parameters())
        if self.fine is not None and other.fine is None:
            fine = {k: v for k, v in self.named_parameters() if k.startswith("fine.")}
            shares = {"output": 0.0, "quadratic": 1e-3}
            given |= {k: v * shares.get(k.rpartition(".")[2], 1.0) for k, v in fine.items()}
        hand_on(given, dict(self.named_parameters()), self.block, seed)

    def _by_agent(self, s: Tensor) -> Tensor:
        """Inputs of each agent, its states and the time, ``(N, B, state_block + 1)``."""
        states, time = s.split([s.shape[-1] - 1, 1], -1)
        own = states.unflatten(-1, (-1, self.block)).movedim(1, 0)
        return torch.cat([own, time.expand(len(own), -1, -1)], -1)

    @staticmethod
    def _time(s: Tensor) -> Tensor:
        """4 t / T, the last input, ``(B, 1)``."""
        return s.narrow(-1, s.shape[-1] - 1, 1)

    @property
    def _stride(self) -> float:
        return 1.0 / max(1, len(self.hidden))

    def _inputs(self, t: Tensor | float, z: Tensor) -> Tensor:
        time = torch.as_tensor(t, dtype=z.dtype, device=z.device).expand(len(z)).unsqueeze(-1)
        return torch.cat([z, time], -1) * self._per_unit(t, z)

    def _hats(self, t: Tensor | float, z: Tensor) -> Tensor:
        """Piecewise linear interpolation between the control steps, ``(1, K + 1)`` or ``(B, K + 1)``."""
        return (1 - (self._steps(t, z) - self.knots).abs()).clamp_min(0)

    def _steps(self, t: Tensor | float, z: Tensor) -> Tensor:
        """t in control steps, ``(1, 1)`` or ``(B, 1)``."""
        pace = (len(self.knots) - 1) / self.horizon
        return torch.as_tensor(t, dtype=z.dtype, device=z.device).reshape(-1, 1) * pace

    def _nominal_slope(self, t: Tensor | float, z: Tensor, s: Tensor) -> Tensor:
        """What the nominal costate adds to ∂phi/∂s, ``(B, n + 1)``."""
        along = (self._hats(t, z) @ self.nominal.mT).expand_as(z)
        # At a control step, where the table has a kink, the slope after it; at T, before it. Times are rounded.
        step = (self._steps(t, z) + 1e-4).floor().clamp(0, len(self.knots) - 2)
        rise = ((self.knots == step + 1).to(z.dtype) - (self.knots == step).to(z.dtype)) * (
            (len(self.knots) - 1) / TIME_SPAN
        )
        rising = (rise @ self.nominal.mT * s.narrow(-1, 0, z.shape[-1])).sum(-1, keepdim=True)
        return torch.cat([along, rising], -1)

    @torch.no_grad()
    def start_at(self, p: Tensor) -> None:
        """Make ``p (K + 1, n)`` the costate at the control steps, whatever the state: the networks begin at 0.

        Their output is set to 0 and their quadratic terms to 1 % of what they were, so that training can wake them.
        """
        times = torch.arange(len(p)) * (self.horizon / (len(p) - 1))
        states = torch.zeros_like(p)
        self.nominal.copy_((p / self._per_unit(times.to(p), states).narrow(-1, 0, p.shape[-1])).mT)
        self.silence(0.1)

    @torch.no_grad()
    def silence(self, share: float = 1e-3) -> None:
        """Set the output of the networks to 0, and the rows of their quadratic terms to ``share`` of what they were."""
        for part in (self, self.agents, None if self.fine is None else self.fine.terms):
            if part is not None:
                part.output.zero_()
                part.quadratic.mul_(share)

    def _per_unit(self, t: Tensor | float, z: Tensor) -> Tensor:
        """The factor from (z, t) to s: 1 / state_scale, and at the start 1 / start_scale."""
        return 1 / self.scale + self.excess * self._fading(t, z) if self.swift else 1 / self.scale

    def _fading(self, t: Tensor | float, z: Tensor) -> Tensor:
        """e^{-2 τ}, ``(1, 1)`` or ``(B, 1)``."""
        tau = torch.as_tensor(t, dtype=z.dtype, device=z.device) * (TIME_SPAN / self.horizon)
        return torch.exp(-FADING * tau).reshape(-1, 1)


def _check_sizes(width: int, depth: int, rank: int, agent_width: int, agent_rank: int, fine_width: int) -> None:
    if min(width, rank) < (agent_width == 0) or min(depth, agent_width, fine_width) < 0 or agent_rank < 1:
        raise ValueError(
            f"{width=}, {depth=}, {rank=}, {agent_width=}, {fine_width=}, {agent_rank=}; expected depth, agent_width, "
            "fine_width >= 0, agent_rank >= 1, and width, rank >= 1 unless the agents have networks of their own"
        )
