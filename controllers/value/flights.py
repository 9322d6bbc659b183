"""What the feedback along an expansion costs from here to the end: flown in the model, not promised."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem

ON = 1e-4
"""How far from its beginning, in steps, a time is at the beginning of a control step."""
ROWS = 16_384
"""Flights side by side."""


Law: TypeAlias = Callable[[int, Tensor], Tensor]
"""u = law(k, z) in the control step number k, ``(B, n)`` -> ``(B, m)``."""


class Members(Protocol):
    """Several feedback laws."""

    def feedback_in(self, row: int, z: Tensor, member: Tensor) -> Tensor:
        """u of each state's member in the control step number ``row``, ``(B, m)``."""
        ...


def remaining(problem: Problem, members: Members, t: Tensor | float, z: Tensor, member: Tensor) -> Tensor:
    """J of the flights from z ``(B, n)`` at t, each along its ``member (B, ..)`` to T, ``(B,)``; differentiable in z.

    The steps are the problem's; one that t cuts is shorter.
    """
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    steps = t.expand(len(z)) / problem.time_step
    if t.ndim and bool(((steps - steps.round()).abs() < ON).all()):
        return _joining(problem, members, steps.round().long(), z, member)
    if t.ndim:  # steps of different lengths do not go together
        cost = torch.zeros_like(z[:, 0])
        for begin in t.detach().unique():
            rows = (t == begin).expand(len(z)).nonzero().ravel()
            cost = cost.index_put((rows,), remaining(problem, members, begin, z[rows], member[rows]))
        return cost
    begin, cost = float(t), torch.zeros_like(z[:, 0])
    for k in range(math.ceil((problem.horizon - begin) / problem.time_step - 1e-6)):
        at = begin + k * problem.time_step
        row = min(int(at / problem.time_step + 1e-4), problem.steps - 1)
        u, dt = members.feedback_in(row, z, member), min(problem.time_step, problem.horizon - at)
        z, spent = advance(problem, torch.full_like(t, at), z, u, dt)
        cost = cost + spent
    return cost + problem.terminal_cost(z)


def _joining(problem: Problem, members: Members, first: Tensor, z: Tensor, member: Tensor) -> Tensor:
    """``remaining`` of flights that begin with the control steps ``first (B,)``: each joins the others at its own."""
    cost = torch.zeros_like(z[:, 0])
    for k in range(int(first.min()), problem.steps):
        on = (first <= k).nonzero().ravel()
        t = torch.full((), k * problem.time_step, dtype=z.dtype, device=z.device)
        u = members.feedback_in(k, z[on], member[on])
        after, spent = advance(problem, t, z[on], u, problem.time_step)
        z, cost = z.index_put((on,), after), cost.index_add(0, on, spent)
    return cost + problem.terminal_cost(z)


def flight(problem: Problem, law: Law, first: int, z: Tensor) -> tuple[Tensor, Tensor]:
    """u of the control steps from ``first`` on, ``(K - first, B, m)``, and J of the flights from z there; inf where
    that is not finite."""
    held, cost = [], torch.zeros_like(z[:, 0])
    for k in range(first, problem.steps):
        held.append(law(k, z))
        at = torch.tensor(k * problem.time_step, dtype=z.dtype, device=z.device)
        z, spent = advance(problem, at, z, held[-1], problem.time_step)
        cost = cost + spent
    return torch.stack(held), (cost + problem.terminal_cost(z)).nan_to_num(torch.inf, torch.inf)


@torch.no_grad()
def flown(problem: Problem, members: Members, t: Tensor | float, z: Tensor, chosen: Tensor) -> Tensor:
    """``remaining`` along each of the ``chosen (B, C, ..)`` members: ``(B, C)``. What is not finite is inf."""
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    few = max(1, ROWS // chosen.shape[1])
    if len(z) > few:
        times = t.expand(len(z)).split(few) if t.ndim else [t] * -(-len(z) // few)
        parts = zip(times, z.split(few), chosen.split(few), strict=True)
        return torch.cat([flown(problem, members, *part) for part in parts])
    count = chosen.shape[1]
    t = t.expand(len(z)).repeat_interleave(count) if t.ndim else t
    cost = remaining(problem, members, t, z.repeat_interleave(count, 0), chosen.reshape(-1, *chosen.shape[2:]))
    return cost.nan_to_num(torch.inf, torch.inf).unflatten(0, chosen.shape[:2])
