"""What the feedback along an expansion costs from here to the end: flown in the model, not promised."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem

ROWS = 16_384
"""Flights side by side."""


class Members(Protocol):
    """Several feedback laws."""

    def feedback(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> Tensor:
        """u of each state's member, ``(B, m)``."""
        ...


@torch.no_grad()
def flown(problem: Problem, members: Members, t: Tensor | float, z: Tensor, chosen: Tensor) -> Tensor:
    """J of the flights from z ``(B, n)`` at t, along each of the ``chosen (B, C)`` members to T: ``(B, C)``.

    The steps are the problem's; one that t cuts is shorter. What is not finite is inf.
    """
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    if t.ndim:  # steps of different lengths do not go together
        cost = torch.empty(chosen.shape, dtype=z.dtype, device=z.device)
        for begin in t.unique():
            rows = (t == begin).expand(len(z)).nonzero().ravel()
            cost[rows] = flown(problem, members, begin, z[rows], chosen[rows])
        return cost
    if len(z) > max(1, ROWS // chosen.shape[1]):
        parts = zip(*(x.split(max(1, ROWS // chosen.shape[1])) for x in (z, chosen)), strict=True)
        return torch.cat([flown(problem, members, t, *part) for part in parts])
    now, member = z.repeat_interleave(chosen.shape[1], 0), chosen.reshape(-1, *chosen.shape[2:])
    begin, cost = float(t), torch.zeros_like(now[:, 0])
    for k in range(math.ceil((problem.horizon - begin) / problem.time_step - 1e-6)):
        at = torch.full_like(t, begin + k * problem.time_step)
        dt = min(problem.time_step, problem.horizon - float(at))
        now, spent = advance(problem, at, now, members.feedback(at, now, member), dt)
        cost = cost + spent
    cost = cost + problem.terminal_cost(now)
    return cost.nan_to_num(torch.inf, torch.inf).unflatten(0, chosen.shape[:2])
