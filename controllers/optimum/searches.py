"""From guesses, and from neighbours, to optima: which search goes first, and which helps where it fails."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ...envs.integrate import Controller
from ...envs.problem import Problem
from .backward import Backward
from .ddp import descend, feedback_along, together
from .flights import Path, agents, follow
from .guesses import initial_guesses, own_guess
from .interior import interior
from .rescue import ATTEMPTS, feedback_flight, straight_line
from .trajectory import ReferenceTrajectory

PILOTS = 8
"""So many states are solved from guesses; the others begin with flights of the feedback along those optima."""
NEAR_BARRIER = 1e-2
"""The barrier with which the interior-point search goes on from neighbours' flights."""
REPLANNED = 1e-9
"""What the last step of a plan may promise, relative to |J|: it is flown, and leaves the square of that."""
SWEPT, LEAST = 2_000_000, 8
"""Numbers in Q of all steps of the states that are searched together, about, and states at least: where a step is work
and not overhead, time that is up leaves some states finished instead of none."""
NEARBY, POLISH = 12, 15
"""Iterations of a descent from near an optimum before the interior-point search takes over, and of one after it."""


def search(
    problem: Problem,
    z0: Tensor,
    guess: Controller | None = None,
    starts: int = 1,
    seed: int = 0,
    limit: int = 200,
    end: float | None = None,
    known: ReferenceTrajectory | None = None,
) -> Path:
    """``solve_optimum`` before its answer is put together, and without looking at its arguments; z0 is float64."""
    if known is not None:
        pilots = descend(problem, known.z[0].double(), known.u.double(), 0)
        return _from_neighbours(problem, z0, pilots, starts, limit, end)
    few = z0 if guess is not None else z0[:PILOTS]
    first = own_guess(problem, z0) if guess is None else guess
    found = _from_guesses(problem, few, first, starts, seed, limit, end)
    return found if len(few) == len(z0) else _from_neighbours(problem, z0, found, starts, limit, end)


def replan(problem: Problem, z0: Tensor, last: Path, limit: int = 200) -> Path:
    """Optima near those of ``last``, from other states: downhill from the feedback of their last sweep, flown from z0.

    ``z0 (B, n)`` are float64; what cannot be flown so begins at the controls of ``last`` as they are.
    """
    gains = last.gains(agents(problem, last.z, last.u))
    _, u, cost = follow(problem, z0, last, gains, torch.zeros_like(last.u))
    return refined(problem, z0, torch.where(cost.isfinite()[:, None], u, last.u), limit, None, REPLANNED)


def refined(problem: Problem, z0: Tensor, u: Tensor, limit: int, end: float | None, tolerance: float = 1e-12) -> Path:
    """Downhill from flights near an optimum; where that takes long and one agent flies, by Newton on all states."""
    path = descend(problem, z0, u, min(limit, NEARBY), tolerance, end)
    left = (~path.converged).nonzero().ravel()
    if not len(left) or limit <= NEARBY:
        return path
    part = path.rows(left)
    if _alone(problem, z0, u):
        part = _by_newton(problem, part.z, part.u, part, limit, end)
    path.put(left, part)
    left = (~path.converged & ~path.stuck & path.cost.isfinite()).nonzero().ravel()
    if len(left):
        path.put(left, descend(problem, z0[left], path.u[:, left], limit - NEARBY, end=end))
    return path


def _by_newton(
    problem: Problem, z: Tensor, u: Tensor, begin: Path, limit: int, end: float | None, barrier: float = 0.1
) -> Path:
    """Optima by ``interior`` from those states and controls, polished by descent; ``begin`` where that is no better."""
    z, best = torch.where(z.isfinite(), z, z[:1]), begin
    size = problem.steps * (problem.state_dim + problem.control_dim) ** 2
    few = max(1, min(together(problem), max(LEAST, SWEPT // size)))
    for rows in torch.arange(z.shape[1], device=z.device).split(few):
        found = interior(problem, z[:, rows], u[:, rows], limit, barrier, end)
        sure, found = found.converged, descend(problem, z[0, rows], found.u, min(limit, POLISH), end=end)
        found.converged = found.converged | sure
        before = begin.rows(rows)
        better = torch.where(found.converged == before.converged, found.cost < before.cost, found.converged)
        index = better.nonzero().ravel()
        best.put(rows[index], found.rows(index))
    return best


def _rescued(problem: Problem, z0: Tensor, path: Path, limit: int, end: float | None) -> Path:
    """``path``, and where it has not converged what other guesses lead to, or else the descent from the best so far."""
    for attempt, barrier in ATTEMPTS:
        left = (~path.converged).nonzero().ravel()
        if not len(left) or (end is not None and time.perf_counter() > end):
            return path
        guess = attempt(problem, z0[left], limit, end)
        if guess is not None:
            path.put(left, _by_newton(problem, *guess, path.rows(left), limit, end, barrier))
    left = (~path.converged).nonzero().ravel()
    if len(left):
        path.put(left, descend(problem, z0[left], path.u[:, left], limit, end=end))
    return path


def _alone(problem: Problem, z0: Tensor, u: Tensor) -> bool:
    """Whether one agent flies: the steps of many are sparse, which ``interior`` does not know."""
    return agents(problem, z0[None], u) == 1


def _from_guesses(
    problem: Problem, z0: Tensor, guess: Controller | None, starts: int, seed: int, limit: int, end: float | None
) -> Path:
    """The cheapest optimum from each state, of those to which ``starts`` guesses lead."""
    table = torch.from_numpy(initial_guesses(problem, z0, guess, starts, seed, problem.steps)).to(z0)
    u, after = table.flatten(0, 1).movedim(1, 0).split([problem.control_dim, problem.state_dim], -1)
    begin = z0.repeat_interleave(starts, 0)
    if not _alone(problem, begin, u):
        return _cheapest(descend(problem, begin, u, limit, end=end), starts)
    z, u = torch.cat([begin[None], after]), u.clone()
    for start, attempt in zip(range(1, starts), (feedback_flight, straight_line), strict=False):
        other = attempt(problem, z0, limit, end) if guess is None else None
        if other is not None:
            z[:, start::starts], u[:, start::starts] = other
    path = _by_newton(problem, z, u, descend(problem, begin, u, 0), limit, end)
    return _cheapest(_rescued(problem, begin, path, limit, end), starts)


def _from_neighbours(problem: Problem, z0: Tensor, pilots: Path, starts: int, limit: int, end: float | None) -> Path:
    """From each state the feedback along every pilot's optimum; downhill from the cheapest ``starts`` flights."""
    known = pilots.rows((pilots.cost.isfinite()).nonzero().ravel())
    if not len(known.cost):
        known = pilots
    back = feedback_along(problem, known)
    count = len(known.cost)
    flown = [_flights(problem, z0, known, back, j) for j in range(count)]
    cost = torch.stack([c for _, c in flown], -1)
    order = cost.argsort(-1)[:, : min(starts, count)]
    u = torch.stack([x for x, _ in flown], 2)  # (K, B, pilots, m)
    chosen = u.gather(2, order[None, :, :, None].expand(len(u), -1, -1, u.shape[-1])).flatten(1, 2)
    begin = z0.repeat_interleave(order.shape[1], 0)
    if not _alone(problem, begin, chosen):
        return _cheapest(descend(problem, begin, chosen, limit, end=end), order.shape[1])
    near = descend(problem, begin, chosen, 0)
    path = _by_newton(problem, near.z, near.u, near, limit, end, NEAR_BARRIER)
    return _cheapest(_rescued(problem, begin, path, limit, end), order.shape[1])


def _flights(problem: Problem, z0: Tensor, known: Path, back: Backward, pilot: int) -> tuple[Tensor, Tensor]:
    """Controls and costs of the feedback along one pilot's optimum from every state."""
    index = torch.full((len(z0),), pilot, device=z0.device)
    path = known.rows(index)
    _, u, cost = follow(problem, z0, path, back.feedback[:, index], torch.zeros_like(path.u))
    return u, cost


def _cheapest(path: Path, starts: int) -> Path:
    """Of the ``starts`` paths from each state the cheapest that converged; of those that did not where none did."""
    cost = torch.nan_to_num(path.cost, nan=torch.inf).unflatten(0, (-1, starts))
    sure = torch.where(path.converged.unflatten(0, (-1, starts)), cost, torch.inf)
    best = torch.where(sure.isfinite().any(-1), sure.argmin(-1), cost.argmin(-1))
    return path.rows(best + torch.arange(len(best), device=best.device) * starts)
