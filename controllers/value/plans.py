"""Flights that were swept, remembered as what they are: a path, its controls, and the feedback along it."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...envs.problem import Problem
from ..optimum import Later, Path, agents, descend
from .flights import Members, flight

SETTLED = 1e-7
"""Share of its cost that another sweep must promise."""
NEAR = 1e-3
"""How far from a plan a state may be that is on it, of the largest that the plan has of each of its entries."""
ALIKE, HOPE = 0.1, 2.0
"""The share of their range by which the controls of flights differ that lead to the same optimum; and how many times
what is promised a flight may gain. Of eight flights each, that spares between a third of the sweeps (pendulum) and
three quarters (crazyflie)."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """u = ū_k + K_k (z - z̄(t)) within the bounds, for each row of a batch, by control step of the whole horizon; z̄ is
    linear in between. What lies before the step in which the plan was made means nothing.

    Attributes:
        state: z̄, ``(B, K + 1, n)``.
        control: ū, ``(B, K, m)``.
        gain: K of each of G agents, or of all as one, ``(B, K, G, m / G, n / G)``.
        settled: whether there is nothing left to sweep, ``(B,)``.
    """

    state: Tensor
    control: Tensor
    gain: Tensor
    settled: Tensor

    def rows(self, index: Tensor) -> Plan:
        """Those of these rows."""
        return Plan(*(x.index_select(0, index) for x in vars(self).values()))

    def replaced(self, index: Tensor, other: Plan) -> Plan:
        """``other`` as those of these rows."""
        tables = zip(vars(self).values(), vars(other).values(), strict=True)
        return Plan(*(old.index_copy(0, index, new) for old, new in tables))

    def holds(self, step: Tensor, z: Tensor) -> Tensor:
        """Whether there is nothing better than to follow it on, in the control steps ``step (B,)``: it is settled, and
        z ``(B, n)`` is on it."""
        away = (z - self.state[torch.arange(len(z), device=z.device), step]).abs()
        return self.settled & (away <= NEAR * self.state.abs().amax(1)).all(-1)

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
def planned(problem: Problem, members: Members, step: int, z: Tensor, who: Tensor, sweeps: int) -> Plan:
    """Flights from ``z (B, n)`` in the control step ``step``, after so many iterations of differential dynamic
    programming: they begin along each of the members ``who (B, C, ..)``, and the cheapest is kept."""
    count = who.shape[1]
    many, who = z.repeat_interleave(count, 0), who.flatten(0, 1)
    u, _ = flight(problem, lambda k, x: members.feedback_in(k, x, who), step, many)
    return _swept(problem, step, many, u, sweeps, count)


@torch.no_grad()
def replanned(problem: Problem, members: Members, step: int, z: Tensor, who: Tensor, sweeps: int, last: Plan) -> Plan:
    """``planned`` along ``who (B, ..)``, or along what is left of the ``last`` plan, where that is cheaper."""
    old, cost = flight(problem, lambda k, x: last.answer(problem, k * problem.time_step, x), step, z)
    new, other = flight(problem, lambda k, x: members.feedback_in(k, x, who), step, z)
    return _swept(problem, step, z, torch.where((cost < other).unsqueeze(-1), old, new), sweeps, 1)


def worth(problem: Problem, path: Path, count: int) -> Tensor:
    """Which of ``count`` flights each from the same states are worth another sweep, ``(B count,)``: not those that
    follow a cheaper one, nor those whose promise does not reach the cheapest."""
    low, high = problem.control_bounds(path.u)
    cost, promise = (x.unflatten(0, (-1, count)) for x in (path.cost, HOPE * path.left * (path.cost.abs() + 1e-9)))
    share = (path.u / (high - low)).unflatten(1, (-1, count))
    apart = (share.unsqueeze(3) - share.unsqueeze(2)).abs().amax((0, -1))
    order = cost.argsort(-1).argsort(-1)
    follows = ((apart < ALIKE) & (order.unsqueeze(1) < order.unsqueeze(2))).any(-1)
    return ((cost - promise <= cost.amin(-1, keepdim=True)) & ~follows).flatten()


def _swept(problem: Problem, step: int, z: Tensor, u: Tensor, sweeps: int, count: int) -> Plan:
    """The flights of ``u (K - step, B count, m)`` after so many sweeps: of each ``count`` the cheapest."""
    rest = Later(problem, step)
    path = descend(rest, z.double(), u.double(), sweeps, SETTLED, going=lambda x: worth(rest, x, count))
    best = path.cost.unflatten(0, (-1, count)).argmin(-1)
    path = path.rows(best + count * torch.arange(len(best), device=z.device))
    tables = path.z, path.u, path.gains(agents(rest, path.z, path.u))
    state, control, gain = (torch.cat([x.new_zeros(step, *x.shape[1:]), x]).movedim(0, 1).to(z) for x in tables)
    return Plan(state, control, gain, path.converged)
