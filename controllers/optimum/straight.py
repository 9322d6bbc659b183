"""Plain descent from flights near optima, where that is the way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...envs.problem import Problem
from .ddp import descend
from .flights import Path

REPLANNED = 1e-9
"""What the last step of a plan may promise, relative to |J|: it is flown, and leaves the square of that."""
SHOWN, MOST, SOON = 8, 0.75, 8
"""So many flights show whether plain descent is the way from neighbours': where it leads so large a share of them to
an optimum in so many iterations, none of which promises more than the one before."""


def straight(problem: Problem, z0: Tensor, u: Tensor, limit: int, end: float | None) -> Path:
    """Optima to which plain descent leads soon, of all flights if those SHOWN are of that kind; else they stay.

    The last ones show it, for the first may begin at their own optima.
    """
    path, order = descend(problem, z0, u, 0), torch.arange(len(z0), device=z0.device).flip(0)
    for rows in order.split([SHOWN, len(z0) - SHOWN]) if len(z0) > SHOWN else (order,):
        found = descend(problem, z0[rows], u[:, rows], min(limit, SOON), REPLANNED, end, _falling())
        sure = found.converged.nonzero().ravel()
        path.put(rows[sure], found.rows(sure))
        if len(sure) < MOST * len(rows):
            break
    return path


def _falling() -> Callable[[Path], Tensor]:
    """Which flights of a descent have never promised more than they did an iteration before, ``(B,)``."""
    before: list[Tensor] = []

    def going(path: Path) -> Tensor:
        good = path.left <= before[-1] if before else torch.ones_like(path.converged)
        before.append(torch.where(good, path.left, -torch.inf))
        return good

    return going
