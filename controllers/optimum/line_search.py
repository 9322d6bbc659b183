"""How far along a Newton step: the filter of Wächter and Biegler (2006), of each point by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.problem import Problem
from .iterate import Expanded, Iterate, measure, room
from .kkt import Direction

SHARES = ((1.0,), (0.5, 0.25, 0.125, 1 / 16, 1 / 64, 1 / 256, 1 / 1024))
"""Of the longest step: the first is tried alone, the others side by side."""


def longest_share(now: Iterate, x: Tensor, dx: Tensor) -> Tensor:
    """The largest share at which x + share dx keeps a little of x, ``(B,)``; at most 1."""
    kept = (1 - now.barrier).clamp_min(0.99)[:, None]
    return torch.where(dx < 0, -kept * x / dx, torch.inf).amin((0, 2)).clamp_max(1.0)


def searched(
    problem: Problem, now: Iterate, model: Expanded, step: Direction, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The largest share of the step that the filter takes, whether there is one, and the states and controls there."""
    up, down = room(problem, now.u)
    longest = torch.minimum(longest_share(now, up, step.du), longest_share(now, down, -step.du))
    gap = model.gap.abs().sum((0, 2))
    merit = model.cost - now.barrier * (up.log() + down.log()).sum((0, 2))
    slope = (model.slope * torch.cat([step.dz[:-1], step.du], -1)).sum((0, 2)) + (model.end_slope * step.dz[-1]).sum(-1)
    tiny = (step.du.abs().amax((0, 2)) < 1e-12 * (1 + now.u.abs().amax((0, 2)))) & (gap < 1e-10)
    z, u = now.z.clone(), now.u.clone()
    share, moved, kept = torch.zeros_like(longest), torch.zeros_like(rows), torch.zeros_like(rows)
    for shares in SHARES:
        todo = (rows & ~moved & ~step.failed).nonzero().ravel()
        if not len(todo):
            break
        each = todo.repeat(len(shares))
        a = torch.cat([longest[todo] * x for x in shares])
        tried = (now.z[:, each] + a[:, None] * step.dz[:, each], now.u[:, each] + a[:, None] * step.du[:, each])
        gaps, cost = measure(problem, *tried)
        walls = sum(x.log().sum((0, 2)) for x in room(problem, tried[1]))
        new = gaps.abs().sum((0, 2)), now.scale[each] * cost - now.barrier[each] * walls
        taken, falls = accepted(now.rows(each), (gap[each], merit[each], a * slope[each]), a, new)
        good = (taken | tiny[each]).unflatten(0, (len(shares), -1))
        first = good.int().argmax(0) * len(todo) + torch.arange(len(todo), device=todo.device)
        first, some = first[good.any(0)], todo[good.any(0)]
        z[:, some], u[:, some] = tried[0][:, first], tried[1][:, first]
        share[some], moved[some], kept[some] = a[first], True, ~falls[first]
    entry = torch.where(kept, (1 - 1e-5) * gap, torch.inf), torch.where(kept, merit - 1e-8 * gap, torch.inf)
    now.filter_gap = torch.where(kept, torch.cat([now.filter_gap[1:], entry[0][None]]), now.filter_gap)
    now.filter_cost = torch.where(kept, torch.cat([now.filter_cost[1:], entry[1][None]]), now.filter_cost)
    return share, moved, z, u


def accepted(
    begin: Iterate, now: tuple[Tensor, Tensor, Tensor], share: Tensor, new: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Whether the filter takes a new point, and whether for its cost alone, ``(B,)`` each.

    Where the gaps are small and the cost should fall, it must (Armijo); else gaps or cost must, a little; and no point
    may be worse in both than one of the filter.

    Args:
        now: gap, cost and the slope of the cost times the share, before. new: gap and cost.
    """
    (gap, cost, slope), (new_gap, new_cost) = now, new
    rounding, flies = 1e-12 * cost.abs() + 1e-14, (gap <= 1e-9) & (new_gap <= 1e-9)
    falls = (slope < 0) & (share * (-slope / share) ** 2.3 > gap**1.1) & (gap <= 1e-4)
    armijo = new_cost <= cost + 1e-8 * slope + rounding
    either = (new_gap <= (1 - 1e-5) * gap) | (new_cost <= cost - 1e-8 * gap) | (flies & (new_cost <= cost + rounding))
    dominated = ((new_gap >= begin.filter_gap) & (new_cost >= begin.filter_cost)).any(0) & ~flies
    taken = torch.where(falls, armijo, either) & ~dominated & new_cost.isfinite() & new_gap.isfinite()
    return taken, falls & armijo
