"""Other guesses, for states from which the first leads nowhere: linear feedback, IPOPT, a line, a softer end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ...envs.problem import Problem
from .ddp import feedback_along
from .equilibrium import find_equilibrium
from .flights import Path, fly, follow
from .interior import interior
from .ipopt import solve_reference
from .later import Later
from .told import heard

SOFTER = (1e-3, 1e-2, 1e-1)
"""Weights of G, in turn, where it is too hard a goal to begin with."""

Guess: TypeAlias = "tuple[Tensor, Tensor] | None"
"""States ``(K + 1, B, n)`` and controls ``(K, B, m)``; ``None`` where there is no such guess."""


def feedback_flight(problem: Problem, z0: Tensor, limit: int, end: float | None) -> Guess:
    """The flights of u = ū + K_k (z - z̄) within the bounds, (z̄, ū) an equilibrium at the minimum of G."""
    rest = resting(problem, z0)
    if rest is None:
        return None
    z, u, _ = follow(problem, z0, *rest, torch.zeros_like(rest[0].u))
    return (z, u) if bool(z.isfinite().all()) else None


def straight_line(problem: Problem, z0: Tensor, limit: int, end: float | None) -> Guess:
    """From each state straight to the equilibrium, and the control that holds it there; no control flies that."""
    rest = resting(problem, z0)
    if rest is None:
        return None
    share = torch.linspace(0, 1, problem.steps + 1, dtype=z0.dtype, device=z0.device)[:, None, None]
    return torch.lerp(z0, rest[0].z, share), rest[0].u


def softer_end(problem: Problem, z0: Tensor, limit: int, end: float | None) -> Guess:
    """The optimum where G weighs less, from that where it weighs less still, and so on down to a thousandth."""
    u = z0.new_zeros(problem.steps, len(z0), problem.control_dim).clamp(*problem.control_bounds(z0))
    z = z0.expand(problem.steps + 1, -1, -1)
    for weight in SOFTER:
        path = interior(Softer(problem, weight), z, u, limit, end=end)
        sane = path.z.isfinite().all(-1).all(0)[:, None]
        z, u = torch.where(sane, path.z, z), torch.where(sane, path.u, u)
    return z, u


def by_ipopt(problem: Problem, z0: Tensor, limit: int, end: float | None) -> Guess:
    """What IPOPT finds from rest; ``None`` without CasADi, or a trace, and where time is short: then it went ahead.

    Both are interior-point methods, but what stops one need not stop the other.
    """
    if end is not None:
        return None
    try:
        with heard(lambda _: None):  # what it cannot solve is not what the caller asked
            found = solve_reference(problem, z0, max_iterations=limit)
    except (ImportError, ValueError):
        return None
    return found.z.to(z0), found.u.to(z0)


ATTEMPTS: tuple[tuple[Callable[[Problem, Tensor, int, float | None], Guess], float], ...] = (
    (feedback_flight, 0.1),
    (by_ipopt, 1e-6),
    (straight_line, 0.1),
    (softer_end, 0.1),
)
"""In this order; and the barrier with which the search goes on from there."""


class Softer(Later):
    """``inner`` with ``weight`` times its G."""

    def __init__(self, inner: Problem, weight: float) -> None:
        super().__init__(inner, 0)
        self.weight = weight

    def terminal_cost(self, z: Tensor) -> Tensor:
        return self.weight * self.inner.terminal_cost(z)


def resting(problem: Problem, z0: Tensor) -> tuple[Path, Tensor] | None:
    """Paths ``(.., B, ..)`` that rest at the equilibrium, and the linear feedback about them; ``None`` without one."""
    try:
        z, u = (x.to(z0) for x in find_equilibrium(problem))
    except ValueError:
        return None
    with torch.no_grad():
        path = fly(problem, z[None], u.expand(problem.steps, 1, -1))
        path.z = z.expand(problem.steps + 1, 1, -1)  # where it is unstable, rounding is not to lead away from it
        feedback = feedback_along(problem, path).feedback
    if not bool(feedback.isfinite().all()):
        return None
    index = torch.zeros(len(z0), dtype=torch.long, device=z0.device)
    return path.rows(index), feedback[:, index]
