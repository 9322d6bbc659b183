"""IPOPT ahead of our own search, where CasADi is at hand and time is short: one state at a time, and sooner."""

from __future__ import annotations

import functools
import pickle
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...envs.problem import Problem
from .flights import Path, fly
from .ipopt import Search, agree, shooting, solve_one
from .told import tell

SHARE = 0.6
"""Of the time left, at most."""
VAIN = 3
"""So many first states in vain, and it is left to our own search."""
LARGEST = 24
"""States and controls: where there are more, to build its program takes longer than our own search."""


def raced(
    problem: Problem, z: Tensor, u: Tensor, limit: int, end: float, barrier: float
) -> tuple[Tensor, Path, Tensor] | None:
    """Of the states ``z (K + 1, B, n)`` and the controls ``u (K, B, m)`` those from which IPOPT comes to an optimum:
    which rows, the flights of its controls, and its states, for where these fly apart the flights do not end there:
    then they have not ``converged``. ``None`` where there is none: without CasADi, without a trace, or in vain;
    and where the problem is large.
    """
    if problem.state_dim + problem.control_dim > LARGEST:
        return None
    stop = (1 - SHARE) * time.perf_counter() + SHARE * end
    try:
        solver = _solver(pickle.dumps(problem), len(u), Search(limit, barrier=barrier))
    except (ImportError, ValueError, AttributeError, TypeError, pickle.PicklingError):
        return None
    table = torch.cat([u, torch.where(z.isfinite(), z, z[:1])[1:]], -1).movedim(1, 0).cpu().numpy()
    found: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}
    for row, (begin, guess) in enumerate(zip(z[0].cpu().numpy(), table, strict=True)):
        if time.perf_counter() > stop or (row == VAIN and not found):
            break
        answer = solve_one(problem, solver, begin, guess)
        if answer.status == "Solve_Succeeded":
            found[row] = answer.z, answer.u, answer.cost
        tell(row + 1, torch.arange(len(table)) > row)
    if not found:
        return None
    states, controls, costs = zip(*found.values(), strict=True)
    there, held = (torch.from_numpy(np.stack(x, 1)).to(z) for x in (states, controls))
    path = fly(problem, there[0], held)
    path.converged = agree(path.cost, torch.tensor(costs).to(z))
    return torch.tensor(list(found), device=z.device), path, there


@functools.lru_cache(4)
def _solver(problem: bytes, steps: int, search: Search) -> Any:
    """To build it takes seconds."""
    return shooting(pickle.loads(problem), steps, search)
