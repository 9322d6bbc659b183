"""Flights that were swept, remembered as what they are: a path, its controls, and the feedback along it."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...envs.problem import Problem
from ..optimum import Later, agents, descend
from .flights import Members, flight


@dataclasses.dataclass(frozen=True)
class Plan:
    """u = ū_k + K_k (z - z̄(t)) within the bounds, for each row of a batch, by control step of the whole horizon; z̄ is
    linear in between. What lies before the step in which the plan was made means nothing.

    Attributes:
        state: z̄, ``(B, K + 1, n)``.
        control: ū, ``(B, K, m)``.
        gain: K of each of G agents, or of all as one, ``(B, K, G, m / G, n / G)``.
    """

    state: Tensor
    control: Tensor
    gain: Tensor

    def rows(self, index: Tensor) -> Plan:
        """Those of these rows."""
        return Plan(*(x.index_select(0, index) for x in vars(self).values()))

    def replaced(self, index: Tensor, other: Plan) -> Plan:
        """``other`` as those of these rows."""
        tables = zip(vars(self).values(), vars(other).values(), strict=True)
        return Plan(*(old.index_copy(0, index, new) for old, new in tables))

    def answer(self, problem: Problem, t: Tensor | float, z: Tensor) -> Tensor:
        """u at t, ``()`` or ``(B,)``, of the states ``z (B, n)``: ``(B, m)``."""
        now = torch.as_tensor(t, dtype=z.dtype, device=z.device).expand(len(z)) / problem.time_step
        step, rows = control_step(problem, t, z), torch.arange(len(z), device=z.device)
        share = (now - step).clamp(0, 1).unsqueeze(-1)
        state = torch.lerp(self.state[rows, step], self.state[rows, step + 1], share)
        control, gain = self.control[rows, step], self.gain[rows, step]
        away = (z - state).unflatten(-1, (gain.shape[1], -1)).unsqueeze(-1)
        return (control + (gain @ away).flatten(1)).clamp(*problem.control_bounds(z))


def control_step(problem: Problem, t: Tensor | float, z: Tensor) -> Tensor:
    """The number of the control step that t, ``()`` or ``(B,)``, lies in, ``(B,)``; the last one at T."""
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    return (t / problem.time_step + 1e-3).long().clamp(0, problem.steps - 1).expand(len(z))


@torch.no_grad()
def planned(
    problem: Problem, members: Members, step: int, z: Tensor, who: Tensor, sweeps: int, last: Plan | None = None
) -> Plan:
    """Flights from ``z (B, n)`` in the control step ``step``, after so many iterations of differential dynamic
    programming: they begin along each of the members ``who (B, C, ..)``, of which the cheapest is kept, or along what
    is left of the ``last`` plan, where that is cheaper."""
    rest, count = Later(problem, step), who.shape[1]
    many, who = z.repeat_interleave(count, 0), who.flatten(0, 1)
    u, cost = flight(problem, lambda k, x: members.feedback_in(k, x, who), step, many)
    if last is not None:
        own, less = flight(problem, lambda k, x: last.answer(problem, k * problem.time_step, x), step, z)
        own, less = own.repeat_interleave(count, 1), less.repeat_interleave(count)
        u = torch.where((less < cost).unsqueeze(-1), own, u)
    path = descend(rest, many.double(), u.double(), sweeps)
    if count > 1:
        path = path.rows(path.cost.unflatten(0, (-1, count)).argmin(-1) + count * torch.arange(len(z), device=z.device))
    tables = path.z, path.u, path.gains(agents(rest, path.z, path.u))
    return Plan(*(torch.cat([x.new_zeros(step, *x.shape[1:]), x]).movedim(0, 1).to(z) for x in tables))
