"""The search for the argmax as the head, the body and the tail of a loop, functions of tensors alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...envs.problem import ControlHamiltonian
from ..held import HeldHamiltonian
from ..operators import STEP_LENGTHS, ProjectedNewton, look, projected_residual, raised
from ..policy import ImplicitPolicy


class State(NamedTuple):
    """What a turn of the loop begins with, by sample.

    Attributes:
        u: ``(B, m)``.
        residual: ``(B,)``.
        applied: ``(B,)`` applications of T so far.
        slope: ``(B, m)`` ∇_u H at u.
        bend: H_uu there, where it comes with the slope.
        value: ``(B, 1)`` H there, where that comes, too.
        refused: ``(B,)`` steps along T's direction that did not raise H enough; there where ``value`` is.
    """

    u: Tensor
    residual: Tensor
    applied: Tensor
    slope: Tensor
    bend: Tensor | None = None
    value: Tensor | None = None
    refused: Tensor | None = None


class Loop:
    """u <- T(u) for one batch of observations (z, t), until each sample has converged.

    Where H and H_uu come with the slope, a turn is one step of the search that T consists of, so that all that the next
    turn needs is seen in one sweep. What does not depend on u is found before the loop, and handed on as ``known``.

    Args:
        policy: on the CPU.
        observation: an example, ``(B, n + 1)``.
    """

    def __init__(self, policy: ImplicitPolicy, observation: Tensor) -> None:
        self.policy = policy
        self.example = self._hamiltonian(observation)
        operator = policy.operator
        self.lengths = STEP_LENGTHS[: operator.backtracks] if isinstance(operator, ProjectedNewton) else ()
        self.known = len(self.example.tables) if isinstance(self.example, HeldHamiltonian) else 1

    def head(self, observation: Tensor) -> tuple[Tensor, ...]:
        """What residuals are relative to, the state at the start, and what is known of H."""
        h = self._hamiltonian(observation)
        scale, state = self._begin(h)
        known = h.tables if isinstance(h, HeldHamiltonian) else (self._costate(observation),)
        return scale.contiguous(), *_plain(state), *(x.contiguous() for x in known)

    def body(self, observation: Tensor, scale: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """The state after one turn."""
        state, known = self.parted(given)
        return _plain(self._turn(self._again(observation, known), scale, State(*state)))

    def parted(self, given: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The state, and what is known of H."""
        return given[: -self.known], given[-self.known :]

    def tail(self, u: Tensor) -> Tensor:
        """The action of u."""
        low, high = self.policy.problem.control_bounds(u)
        return (2 * (u - low) / (high - low) - 1).clamp(-1.0, 1.0)

    def moving(self, state: State) -> Tensor:
        """Whose search goes on, ``(B,)``."""
        on = (state.residual > self.policy.tolerance) & (state.applied < self.policy.max_iterations)
        return on if state.refused is None else on & (state.refused < len(self.lengths))

    def _at(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        n, fine = self.policy.problem.state_dim, self.policy.value.scale.dtype
        return observation.select(-1, n).to(fine), observation.narrow(-1, 0, n).to(fine)

    def _costate(self, observation: Tensor) -> Tensor:
        return self.policy.value.gradient(*self._at(observation))[1]

    def _hamiltonian(self, observation: Tensor) -> ControlHamiltonian:
        return self.policy.hamiltonian_at(*self._at(observation))

    def _again(self, observation: Tensor, known: Sequence[Tensor]) -> ControlHamiltonian:
        """H at the observation, of what is known."""
        t, z = self._at(observation)
        if isinstance(self.example, HeldHamiltonian):
            return dataclasses.replace(
                self.example, t=t, z=z, member=None, section=self.example.ahead.over(tuple(known))
            )
        return self.policy.hamiltonian_at(t, z, known[0])

    def _begin(self, h: ControlHamiltonian) -> tuple[Tensor, State]:
        u = h.start()
        box = self.policy.problem.control_bounds(u)
        u = u.clamp(*box)
        slope, scale, bend, value = look(h, u)
        none = torch.zeros(len(u), dtype=torch.int64)
        searched = None if value is None or not self.lengths else none.clone()
        state = State(u, projected_residual(u, slope, box, scale), none, slope, bend)
        return scale, state if searched is None else state._replace(value=value, refused=searched)

    def _turn(self, h: ControlHamiltonian, scale: Tensor, state: State) -> State:
        """T(u) where the search goes on; or, where H comes with its slope, one step of it."""
        u, slope, operator, moving = state.u, state.slope, self.policy.operator, self.moving(state)
        box = self.policy.problem.control_bounds(u)
        if state.value is None or state.refused is None or not isinstance(operator, ProjectedNewton):
            u = torch.where(moving.unsqueeze(-1), operator.iterate(h, u, slope, box, state.bend), u)
            slope, _, bend, _ = look(h, u, scale)
            return State(u, projected_residual(u, slope, box, scale), state.applied + moving, slope, bend)
        lengths = torch.tensor(self.lengths, dtype=u.dtype)
        length = lengths.index_select(0, state.refused.clamp_max(len(lengths) - 1)).unsqueeze(-1)
        after = (u + length * operator.direction(h, u, slope, box, state.bend)).clamp(*box)
        seen = look(h, after, scale)
        assert seen.value is not None
        rose = moving & raised(state.value, seen.value, (after - u) * slope).squeeze(-1)
        residual, fresh = projected_residual(after, seen.slope, box, scale), torch.zeros_like(state.refused)
        there = State(after, residual, state.applied + 1, seen.slope, seen.bend, seen.value, fresh)
        here = state._replace(refused=state.refused + moving)
        pairs = zip(_plain(there), _plain(here), strict=True)
        return State(*(torch.where(rose.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


def _plain(state: State) -> tuple[Tensor, ...]:
    return tuple(x.contiguous() for x in state if x is not None)
