"""phi as second-order expansions about a few optima, agent by agent, plus a network in natural coordinates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...envs.fields import whole
from ...envs.problem import Problem
from ..optimum import AgentExpansion
from .agents import TIME_SPAN, AgentTerms
from .flights import ON
from .roles import assigned, interchangeable, reordered, restored
from .section import ExpandedSection, Section


class ExpandedValue(nn.Module):
    """phi(t, z) = E_j(t, z) + Σ_i N_i(s_i, τ),   E = V + p·d + ½ Σ_i |s_i|²,   d = z - z̄(t),   s_i = L_i(t)ᵀ d_i.

    Each E_j is the second-order expansion about one optimum (``expand_agents``), P_i = L_i L_iᵀ agent by agent. Optima
    come in families (who passes whom on which side) and from different places. Which of them speaks (``speaker``) is
    the one with the least bound E_j + |s_j|², for an expansion is worth less the further away it is. ``FlownValue``
    believes none of them, and flies.

    The tables at the control steps, linear in between, are kept with the weights and not trained. In the natural
    coordinates s one unit costs one half, whatever the problem, its units and the time; that is what the networks N_i
    (``AgentTerms``) see. They begin at 0, so the first policy is that of the expansions.

    Where the problem stays the same when agents change places (``interchangeable``), an optimum is one for every order
    of them: z is taken in that order in which the agents, each in the role of one, promise the least Σ_i E_i + |s_i|².

    Args:
        problem: gives the agents, the horizon and the number of steps.
        expansion: about which optima.
        width: units of a layer of each N_i; 0: none.
        rank: rows of the quadratic term of each N_i.
        seed: of the weights.

    Raises:
        ValueError: if the expansion is not of this problem.
    """

    def __init__(
        self,
        problem: Problem,
        expansion: AgentExpansion,
        width: int = 0,
        rank: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        rows, members, n = expansion.state.shape
        if (rows, n) != (problem.steps + 1, problem.state_dim):
            raise ValueError(
                f"the expansion has {rows - 1} steps of {n} states; expected {problem.steps} of {problem.state_dim}"
            )
        self.config: dict[str, Any] = {"expanded": members, "agent_width": width, "agent_rank": rank}
        self.problem = problem
        self.horizon, self.block, self.rows = problem.horizon, problem.state_block, rows
        self.low, self.high = problem.control_low, problem.control_high
        self.alike = interchangeable(problem)
        self.tables = tuple(expansion.tables())
        for name, table in expansion.tables().items():
            self.register_buffer(name, table.to(torch.get_default_dtype()))
        self.value: Tensor
        self.state: Tensor
        self.costate: Tensor
        self.root: Tensor
        self.control: Tensor
        self.gain: Tensor
        generator = torch.Generator().manual_seed(whole(seed, "seed", 0))
        count = n // self.block
        self.network = AgentTerms(count, self.block + 1, width, rank, generator) if width else None
        if self.network is not None:
            self.network.silence()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Who says what phi is, and not what its sections are, is asked for phi each time."""
        super().__init_subclass__(**kwargs)
        if "section" not in vars(cls) and {"forward", "gradient"} & set(vars(cls)):
            cls.section = None  # type: ignore[assignment, method-assign]

    @property
    def scale(self) -> Tensor:
        """Any buffer: its device and dtype are those of the whole."""
        return self.state

    def forward(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> Tensor:
        """phi(t, z), ``(B,)``; t is ``()`` or ``(B,)``. ``member``, as ``speaker`` has it: who speaks, if known."""
        return ExpandedValue.section(self, t, z, member).value(z)

    def section(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> Section:
        """phi(t, ·) of the member that speaks, at ``z (B, n)`` unless given."""
        row, share = self._row(t, z)
        best, _, order = self._spoken(row, share, z, member)
        return self._section(row, share, best, order)[0]

    def gradient(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(∂_t phi, ∇_z phi)``, ``(B,)`` and ``(B, n)``; ``member`` as in ``forward``."""
        row, share = self._row(t, z)
        best, z, order = self._spoken(row, share, z, member)
        here, (level_t, state_t, costate_t, root_t) = self._section(row, share, best, None)
        d, s = here.natural(z)
        slope, rising = s, level_t + (costate_t * d).sum(-1)
        if self.network is not None:
            own, growing = self.network.gradient(here.inputs(s))
            own = own.movedim(0, 1)
            slope = slope + own.narrow(-1, 0, self.block)
            rising = rising + (TIME_SPAN / self.horizon) * (own.select(-1, self.block).sum(-1) + growing)
        turned = (root_t.mT @ d.unflatten(-1, (-1, self.block)).unsqueeze(-1)).squeeze(-1)
        p = here.costate + (here.root @ slope.unsqueeze(-1)).squeeze(-1).flatten(-2)
        rising = rising + (slope * turned).sum((-2, -1)) - (p * state_t).sum(-1)
        return rising, p if order is None else restored(p, order, self.block)

    def speaker(self, t: Tensor | float, z: Tensor) -> Tensor | None:
        """Which member speaks at (t, z), ``(B,)``; ``None`` where there is but one.

        Where agents are alike ``(B, 1 + N)``: the member, and the agent that plays each of its N roles.
        """
        if self.state.shape[1] == 1 and not self.alike:
            return None
        return self._speaker(*self._row(t, z), z.detach())

    def everyone(self, t: Tensor | float, z: Tensor) -> Tensor:
        """All members at (t, z), ``(B, M)``; where agents are alike ``(B, M, 1 + N)``, with who plays which role."""
        return self._cast(*self._row(t, z), z.detach())

    def feedback(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> Tensor:
        """ū + K (z - z̄) of the best optimum's step that t is in, within the bounds, ``(B, m)``: Riccati's feedback."""
        row, share = self._row(t, z)
        best, z, order = self._spoken(row, share, z, member)
        step = self._step(row, share)  # the control is held: no interpolation
        return self._answer(z, order, *(_pick(x.index_select(0, step), best) for x in self._law))

    def feedback_in(self, row: int, z: Tensor, member: Tensor) -> Tensor:
        """``feedback`` in the control step number ``row``, of those that speak: what flights are made of."""
        if self.alike and member.ndim == 1:
            return self.feedback(row / self._pace, z, member)
        order = member.narrow(-1, 1, member.shape[-1] - 1) if self.alike else None
        best, z = (member, z) if order is None else (member.select(-1, 0), reordered(z, order, self.block))
        return self._answer(z, order, *(x[row].index_select(0, best) for x in self._law))

    @property
    def _law(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.state, self.control, self.gain

    def _answer(self, z: Tensor, order: Tensor | None, state: Tensor, control: Tensor, gain: Tensor) -> Tensor:
        away = (z - state).unflatten(-1, (-1, self.block)).unsqueeze(-1)
        u = control + (gain @ away).squeeze(-1).flatten(-2)
        u = u if order is None else restored(u, order, gain.shape[-2])
        low, high = (torch.as_tensor(x, dtype=z.dtype, device=z.device) for x in (self.low, self.high))
        return u.clamp(low, high)

    def _spoken(
        self, row: Tensor, share: Tensor, z: Tensor, member: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The member that speaks, ``(B,)``, z in the order of its roles, and that order ``(B, N)``, if there is one."""
        if member is None:
            member = self._speaker(row, share, z.detach())
        if not self.alike:
            return member, z, None
        if member.ndim == 1:
            member = torch.cat([member.unsqueeze(-1), self._order(row, share, z.detach(), member)], -1)
        order = member.narrow(-1, 1, member.shape[-1] - 1)
        return member.select(-1, 0), reordered(z, order, self.block), order

    def _speaker(self, row: Tensor, share: Tensor, z: Tensor) -> Tensor:
        """``speaker``: of all that might, the one with the least bound."""
        every = self._cast(row, share, z)
        if self.alike:
            seen = (
                self._bounds(row, share, reordered(z, o.narrow(-1, 1, o.shape[-1] - 1), self.block))
                for o in every.unbind(1)
            )
            bounds = torch.stack([x.select(-1, j) for j, x in enumerate(seen)], -1)
        else:
            bounds = self._bounds(row, share, z)
        return _pick(every, bounds.argmin(-1))

    def _cast(self, row: Tensor, share: Tensor, z: Tensor) -> Tensor:
        """All that may speak at each state: ``(B, M)``, or ``(B, M, 1 + N)`` with who plays which role."""
        count = self.state.shape[1]
        if not self.alike:
            return torch.arange(count, device=z.device).expand(len(z), -1)
        members = [torch.full_like(row, j).expand(len(z)) for j in range(count)]
        return torch.stack([torch.cat([j.unsqueeze(-1), self._order(row, share, z, j)], -1) for j in members], 1)

    def _order(self, row: Tensor, share: Tensor, z: Tensor, member: Tensor) -> Tensor:
        """Which agent plays each role of ``member``, ``(B, N)``."""
        state, costate, root = (
            _pick(self._at(x, row, share)[0], member) for x in (self.state, self.costate, self.root)
        )  # fmt: skip
        d = z.unflatten(-1, (-1, 1, self.block)) - state.unflatten(-1, (-1, self.block)).unsqueeze(1)
        s = torch.einsum("rjab,rija->rijb", root, d)
        return assigned((costate.unflatten(-1, (-1, self.block)).unsqueeze(1) * d + 1.5 * s * s).sum(-1))

    def _natural(self, row: Tensor, share: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """d ``(B, M, n)`` and s ``(B, M, N, b)``."""
        d = z.unsqueeze(-2) - self._at(self.state, row, share)[0]
        root = self._at(self.root, row, share)[0]
        return d, (root.mT @ d.unflatten(-1, (-1, self.block)).unsqueeze(-1)).squeeze(-1)

    def _bounds(self, row: Tensor, share: Tensor, z: Tensor) -> Tensor:
        """E_j + |s_j|², ``(B, M)``."""
        d, s = self._natural(row, share, z)
        linear = (self._at(self.costate, row, share)[0] * d).sum(-1)
        return self._at(self.value, row, share)[0] + linear + 1.5 * (s * s).sum((-2, -1))

    def _section(
        self, row: Tensor, share: Tensor, best: Tensor, order: Tensor | None
    ) -> tuple[ExpandedSection, tuple[Tensor, ...]]:
        """The tables of one member, and their derivatives in t."""
        tables = (self.value, self.state, self.costate, self.root)
        pairs = [[_pick(x, best) for x in self._at(table, row, share)] for table in tables]
        level, state, costate, root = (here for here, _ in pairs)
        tau = ((row + share) * (TIME_SPAN / (self.rows - 1))).reshape(-1, 1, 1)
        roles = None if order is None else order.unsqueeze(-1)
        here = ExpandedSection(level, state, costate, root, tau, roles, self.network)
        return here, tuple(rate for _, rate in pairs)

    def _row(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """The control step that t is in, and the share of it that is over, ``(1,)`` or ``(B,)``."""
        steps = torch.as_tensor(t, dtype=z.dtype, device=z.device).reshape(-1) * self._pace
        begin = steps.detach().floor().clamp(0, self.rows - 2)
        return begin.long(), steps - begin

    def _step(self, row: Tensor, share: Tensor) -> Tensor:
        """The control step: a time that rounding put before its step belongs to it."""
        return (row + (share > 1 - ON).long()).clamp_max(len(self.gain) - 1)

    def _at(self, table: Tensor, row: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The entries of a table and their derivative in t, each with a first axis of 1 or B."""
        low = table.index_select(0, row)
        rise = table.index_select(0, row + 1) - low
        return low + share.reshape(-1, *[1] * (table.ndim - 1)) * rise, rise * self._pace

    @property
    def _pace(self) -> float:
        """Control steps in a unit of time."""
        return (self.rows - 1) / self.horizon


def _pick(x: Tensor, best: Tensor) -> Tensor:
    """Of ``(1 or B, M, ..)`` the member ``best``, ``(B,)``, of each sample: ``(B, ..)``."""
    if x.shape[1] == 1:
        return x.squeeze(1)
    at = best.reshape(-1, 1, *[1] * (x.ndim - 2)).expand(-1, 1, *x.shape[2:])
    return x.expand(len(best), *x.shape[1:]).gather(1, at).squeeze(1)
