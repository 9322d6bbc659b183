"""Optima sought from the flights of the feedback along others: of agents that are alike, and until all agree."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ...controllers.optimum import AgentExpansion, ReferenceTrajectory, cheaper, expand_agents, shared, solve_optimum
from ...controllers.value import ExpandedValue, flight, flown, interchangeable
from ...envs.integrate import Controller
from ...envs.problem import Problem

SAME = 1e-6
"""Optima whose costs agree to this share are one and the same."""
ROUNDS = 3
"""Searches of each optimum from the others."""
LATER = (0.0, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8)
"""Shares of the horizon by which a flight may begin later."""
CAST = 80
"""Agents whose optima are sought from rest, where all are alike: the more, the better some role suits each."""


def searched(
    problem: Problem,
    z0: Tensor,
    guess: Controller | None = None,
    starts: int = 1,
    seconds: float | None = None,
    max_iterations: int = 200,
) -> ReferenceTrajectory:
    """``solve_optimum``; without a guess, of agents that are alike, of the first states: from there others are flown.

    With the feedback along those optima, every agent in the role that suits it; and the first states themselves, where
    there are others, are sought again, for their agents may have better roles to play.
    """
    z0 = z0.detach().double()
    few = z0[: fewer(problem, len(z0))] if guess is None else z0
    found = solve_optimum(problem, few, guess, starts=starts, seconds=seconds, max_iterations=max_iterations)
    if len(few) == len(z0):
        return found
    if not found.cost.isfinite().all():
        return solve_optimum(problem, z0, starts=starts, seconds=seconds, max_iterations=max_iterations)
    _, u = _flown(problem, expand_agents(problem, found), z0)
    return solve_optimum(problem, z0, played(u), seconds=seconds, max_iterations=max_iterations)


def fewer(problem: Problem, count: int, times: int = 1) -> int:
    """How many of ``count`` states it takes where agents are alike: each has N of them, ``times`` CAST will do."""
    if not interchangeable(problem):
        return count
    return max(1, min(count, times * CAST * problem.state_block // problem.state_dim))


def agreed(
    problem: Problem,
    known: ReferenceTrajectory,
    seconds: float | None = None,
    others: ReferenceTrajectory | None = None,
) -> ReferenceTrajectory:
    """The optima of the same states; where the feedback along another flies more cheaply, sought again from there.

    Also from where that one comes later: what begins with a swing back may lie on somebody's way forward.

    Args:
        seconds: after so long they stay as they are.
        others: optima from other states, whose feedback is flown, too.
    """
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        left = None if seconds is None else seconds - (time.perf_counter() - begin)
        pilots = known if others is None else known.joined(others)
        if (left is not None and left <= 0) or not pilots.converged.any():
            break
        cost, u = _flown(problem, expand_agents(problem, pilots.rows(pilots.converged.nonzero().ravel())), known.z[0])
        todo = (~known.converged | (cost < known.cost - SAME * known.cost.abs())).nonzero().ravel()
        if not len(todo):
            break
        found = solve_optimum(problem, known.z[0, todo], played(u[:, todo]), seconds=left)
        known = known.replaced(todo, cheaper(known.rows(todo), found))
    return known


def played(u: Tensor) -> Controller:
    """The controls ``(K, B, m)``, one step after the other."""
    steps = iter(u)
    return lambda t, z: next(steps)


def _flown(problem: Problem, expansion: AgentExpansion, z0: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest flights along any member, at once or from where it comes later: ``(B,)`` and u ``(K, B, m)``."""
    parts = shared(_cheapest, len(z0), lambda rows: (problem, expansion, z0[rows]))
    return torch.cat([cost for cost, _ in parts]), torch.cat([u for _, u in parts], 1)


@torch.no_grad()
def _cheapest(problem: Problem, expansion: AgentExpansion, z0: Tensor) -> tuple[Tensor, Tensor]:
    least = torch.full_like(z0[:, 0], torch.inf)
    u = z0.new_zeros(problem.steps, len(z0), problem.control_dim)
    for share in LATER:
        value = ExpandedValue(problem, expansion.later(int(share * problem.steps))).double()
        every = value.everyone(0.0, z0)
        cost, best = flown(problem, value, 0.0, z0, every).min(-1)
        better = (cost < least).nonzero().ravel()
        if len(better):
            u[:, better] = _flight_along(problem, value, z0[better], every[better, best[better]])
        least = least.minimum(cost)
    return least, u


def _flight_along(problem: Problem, value: ExpandedValue, z0: Tensor, who: Tensor) -> Tensor:
    """u ``(K, B, m)`` of the flights along those members, every agent in its role to the end."""
    return flight(problem, lambda k, z: value.feedback_in(k, z, who), 0, z0)[0]
