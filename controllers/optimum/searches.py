"""From guesses, and from neighbours, to optima: which search goes first, and which helps where it fails."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from ...envs.integrate import Controller
from ...envs.problem import Problem
from .backward import Backward
from .crew import shared
from .ddp import descend, feedback_along, together
from .flights import Path, agents, follow
from .guesses import initial_guesses, own_guess
from .interior import interior
from .raced import raced
from .rescue import ATTEMPTS, feedback_flight, straight_line
from .straight import REPLANNED, SHOWN, leads, straight
from .trajectory import ReferenceTrajectory

PILOTS = 8
"""So many states are solved from guesses; the others begin with flights of the feedback along those optima."""
BARRIER, NEAR_BARRIER, NEAR_IPOPT, POLISHED = 0.1, 1e-2, 1e-3, 1e-6
"""The barriers with which an interior-point search begins: at guesses; at neighbours' flights, ours and IPOPT, which at
1e-2 leaves their families; at an optimum."""
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
    first, few = (own_guess(problem, z0), PILOTS) if guess is None else (guess, len(z0))
    table = torch.from_numpy(initial_guesses(problem, z0, first, starts, seed, problem.steps)).to(z0)
    if end is not None and _alone(problem, z0, table[:1, 0, :, : problem.control_dim].movedim(1, 0)):
        path = _from_guesses(_sprinted, problem, z0, table, guess is None, limit, end)
        left = (~path.converged).nonzero().ravel()
        if len(left) < len(z0):
            pilots = path.rows(path.converged.nonzero().ravel())
            if len(left):
                _take(path, left, _from_neighbours(problem, z0[left], pilots, starts, limit, end))
            return path
    found = _from_guesses(_begun, problem, z0[:few], table[:few], guess is None, limit, end)
    if few >= len(z0):
        return found
    path = _from_neighbours(problem, z0, found, starts, limit, end)
    _take(path, torch.arange(few, device=z0.device), found)
    return path


def _take(best: Path, rows: Tensor, found: Path) -> None:
    """Into those rows what is better: cheaper, or converged where what is there has not."""
    before = best.rows(rows)
    better = torch.where(found.converged == before.converged, found.cost < before.cost, found.converged)
    index = better.nonzero().ravel()
    best.put(rows[index], found.rows(index))


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
    problem: Problem, z: Tensor, u: Tensor, begin: Path, limit: int, end: float | None, barrier: float = BARRIER
) -> Path:
    """Optima by ``interior`` from those states and controls, polished by descent; ``begin`` where that is no better."""
    z, best = torch.where(z.isfinite(), z, z[:1]), begin
    size = problem.steps * (problem.state_dim + problem.control_dim) ** 2
    few = max(1, min(together(problem), max(LEAST, SWEPT // size)))
    for rows in torch.arange(z.shape[1], device=z.device).split(few):
        found = interior(problem, z[:, rows], u[:, rows], limit, barrier, end)
        sure, found = found.converged, descend(problem, z[0, rows], found.u, min(limit, POLISH), end=end)
        found.converged = found.converged | sure
        _take(best, rows, found)
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
    way: Callable[..., Path], problem: Problem, z0: Tensor, table: Tensor, free: bool, limit: int, end: float | None
) -> Path:
    """The cheapest optimum from each state of those to which the guesses in a table ``(B, starts, K, m + n)`` lead.

    Where we are ``free`` to choose, the second and third are flights of a linear feedback and straight lines.
    """
    return Path.joined(shared(way, len(z0), lambda rows: (problem, z0[rows], table[rows], free, limit, end)))


def _begun(problem: Problem, z0: Tensor, table: Tensor, free: bool, limit: int, end: float | None) -> Path:
    """By our own search."""
    starts = table.shape[1]
    z, u = _guessed(problem, z0, table, free, limit, end)
    if not _alone(problem, z[0], u):
        return _cheapest(descend(problem, z[0], u, limit, end=end), starts)
    path = _by_newton(problem, z, u, descend(problem, z[0], u, 0), limit, end)
    return _cheapest(_rescued(problem, z[0], path, limit, end), starts)


def _sprinted(problem: Problem, z0: Tensor, table: Tensor, free: bool, limit: int, end: float) -> Path:
    """By IPOPT alone, which is faster where it works."""
    z, u = _guessed(problem, z0, table, free, limit, end)
    return _cheapest(_ahead(problem, descend(problem, z[0], u, 0), z, u, limit, end, BARRIER), table.shape[1])


def _ahead(problem: Problem, path: Path, z: Tensor, u: Tensor, limit: int, end: float | None, barrier: float) -> Path:
    """``path``, and where time is short what IPOPT comes to; polished, where its controls alone do not fly there."""
    found = None if end is None else raced(problem, z, u, limit, end, barrier)
    if found is not None:
        rows, flights, states = found
        apart = (~flights.converged).nonzero().ravel()
        if len(apart):
            part = flights.rows(apart)
            flights.put(apart, _by_newton(problem, states[:, apart], part.u, part, limit, end, POLISHED))
        path.put(rows, flights)
    return path


def _guessed(
    problem: Problem, z0: Tensor, table: Tensor, free: bool, limit: int, end: float | None
) -> tuple[Tensor, Tensor]:
    """The states and controls of a table of guesses, those of a state side by side."""
    u, after = table.flatten(0, 1).movedim(1, 0).split([problem.control_dim, problem.state_dim], -1)
    starts, begin = table.shape[1], z0.repeat_interleave(table.shape[1], 0)
    z, u = torch.cat([begin[None], after]), u.clone()
    for start, attempt in zip(range(1, starts), (feedback_flight, straight_line), strict=False):
        other = attempt(problem, z0, limit, end) if free and _alone(problem, begin, u) else None
        if other is not None:
            z[:, start::starts], u[:, start::starts] = other
    return z, u


def _from_neighbours(problem: Problem, z0: Tensor, pilots: Path, starts: int, limit: int, end: float | None) -> Path:
    """``_near``, the states shared out. The last ones show whether to descend straight: the first may be pilots."""
    plain = len(z0) <= SHOWN
    if not plain and _alone(problem, z0[:1], pilots.u[:, :1]):
        plain = leads(problem, *_along(problem, z0[-SHOWN:], pilots, 1)[:2], end)
    return Path.joined(shared(_near, len(z0), lambda rows: (problem, z0[rows], pilots, starts, limit, end, plain)))


def _along(problem: Problem, z0: Tensor, pilots: Path, starts: int) -> tuple[Tensor, Tensor, int]:
    """From each state the cheapest ``starts`` flights of the feedback along the pilots' optima: z0, u, and how many."""
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
    return z0.repeat_interleave(order.shape[1], 0), chosen, order.shape[1]


def _near(problem: Problem, z0: Tensor, pilots: Path, starts: int, limit: int, end: float | None, plain: bool) -> Path:
    """From each state the feedback along every pilot's optimum; downhill from the cheapest ``starts`` flights."""
    begin, chosen, each = _along(problem, z0, pilots, starts)
    if not _alone(problem, begin, chosen):
        return _cheapest(descend(problem, begin, chosen, limit, end=end), each)
    path = straight(problem, begin, chosen, limit, end) if plain else descend(problem, begin, chosen, 0)
    ways: tuple[Callable[[Path], Path], ...] = (
        lambda part: _ahead(problem, part, part.z.clone(), part.u.clone(), limit, end, NEAR_IPOPT),
        lambda part: _by_newton(problem, part.z, part.u, part, limit, end, NEAR_BARRIER),
    )
    for way in ways:
        left = (~path.converged).nonzero().ravel()
        if len(left):
            path.put(left, way(path.rows(left)))
    return _cheapest(_rescued(problem, begin, path, limit, end), each)


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
