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
    """The optima to which plain descent from the flights of u leads soon; the others stay flights of u."""
    path = descend(problem, z0, u, 0)
    found = descend(problem, z0, u, min(limit, SOON), REPLANNED, end, _falling())
    sure = found.converged.nonzero().ravel()
    path.put(sure, found.rows(sure))
    return path


def leads(problem: Problem, z0: Tensor, u: Tensor, end: float | None) -> bool:
    """Whether it leads there from most of these."""
    return int(straight(problem, z0, u, SOON, end).converged.sum()) >= MOST * len(z0)


def _falling() -> Callable[[Path], Tensor]:
    """Which flights of a descent have never promised more than they did an iteration before, ``(B,)``."""
    before: list[Tensor] = []

    def going(path: Path) -> Tensor:
        good = path.left <= before[-1] if before else torch.ones_like(path.converged)
        before.append(torch.where(good, path.left, -torch.inf))
        return good

    return going
