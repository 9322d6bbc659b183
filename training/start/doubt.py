"""How far each expansion is to be believed, measured on flights: what decides which of them speaks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from ...controllers.optimum import AgentExpansion
from ...controllers.value import ExpandedValue
from ...envs.integrate import advance, rollout
from ...envs.problem import Problem

LOOKS = 8
"""Times at which all members are flown from where the best of them has led."""
ROWS = 16_384
"""Flights side by side."""
AWFUL = 20.0
"""What a flight costs at most, in costs of optima, that one which falls apart can be compared."""
NEAREST = 1e6
"""A doubt beside which the promise does not count."""


@torch.no_grad()
def calibrated(problem: Problem, expansion: AgentExpansion, z0: Tensor, best: Tensor) -> AgentExpansion:
    """The bounds U_j = E_j + κ_j (|s_j|² + Σ w d²)^p by which the feedback along the members flies ``z0`` best.

    At each of LOOKS times all members are flown to the end from where the best of them has led: J_j. κ is the
    q-quantile of (J_j - E_j) / (..)^p over these states, of each member, at each time, or both; w counts what P does
    not see, a distance in states, or is 0. Which p, q and w is decided by flights: no rule is the best everywhere, that
    for a smooth spread of states is not that for routes which part.

    Args:
        best: ``(B,)`` what the best flight known from each state costs: what flights are measured by.
    """
    seen = list(_looked(problem, expansion, z0))
    found, least = expansion, flown_excess(problem, expansion, z0, best)
    for candidate in _candidates(problem, expansion, seen):
        excess = flown_excess(problem, candidate, z0, best)
        if excess < least:
            found, least = candidate, excess
    return found


@torch.no_grad()
def flown_excess(problem: Problem, expansion: AgentExpansion, z0: Tensor, best: Tensor) -> float:
    """How much dearer than ``best`` the feedback along the members that speak is, in the mean over ``z0``."""
    value = ExpandedValue(problem, expansion).double()
    return float(excess(rollout(problem, lambda t, z: value.feedback(t, z), z0).cost, best).mean())


def excess(cost: Tensor, best: Tensor) -> Tensor:
    """(J - J_best) / |J_best|, AWFUL at most."""
    size = best.abs().clamp_min(1e-6 * best.abs().mean())
    return ((cost - best) / size).nan_to_num(torch.inf, torch.inf).clamp_max(AWFUL)


@torch.no_grad()
def member_costs(problem: Problem, expansion: AgentExpansion, z: Tensor, row: int = 0) -> Tensor:
    """J_j: what the feedback along each member costs from the states z ``(B, n)`` at step ``row`` on, ``(B, M)``."""
    value = ExpandedValue(problem, expansion).double()
    members, costs = expansion.state.shape[1], []
    for part in z.split(max(1, ROWS // members)):
        member = torch.arange(members, device=z.device).repeat(len(part))
        now = part.repeat_interleave(members, 0)
        cost = torch.zeros_like(now[:, 0])
        for k in range(row, problem.steps):
            t = now.new_tensor(k * problem.time_step)
            now, spent = advance(problem, t, now, value.feedback(t, now, member), problem.time_step)
            cost = cost + spent
        cost = cost + problem.terminal_cost(now)
        costs.append(cost.nan_to_num(torch.inf, torch.inf).unflatten(0, (-1, members)))
    return torch.cat(costs)


def _looked(problem: Problem, expansion: AgentExpansion, z: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Steps, states and J_j there, along the flights of the member that is best at each look."""
    value, looks = ExpandedValue(problem, expansion).double(), min(LOOKS, problem.steps)
    for row in range(problem.steps):
        t = z.new_tensor(row * problem.time_step)
        if row in {look * problem.steps // looks for look in range(looks)}:
            costs = member_costs(problem, expansion, z, row)
            least, best = costs.min(-1)
            least = torch.where(least.isfinite(), least, 0.0)
            most = least + AWFUL * (least.abs() + expansion.value[0].abs().mean())
            yield row, z, costs.minimum(most.unsqueeze(-1))
        z = advance(problem, t, z, value.feedback(t, z, best), problem.time_step)[0]


def _candidates(
    problem: Problem, expansion: AgentExpansion, seen: list[tuple[int, Tensor, Tensor]]
) -> Iterator[AgentExpansion]:
    """Bounds that these flights have not broken, or seldom."""
    rows = [row for row, _, _ in seen]
    size = expansion.value[0].abs().mean()
    spread = torch.stack([z.std(0) for _, z, _ in seen])
    spread = spread.maximum(1e-3 * spread.amax(0)).clamp_min(1e-9)
    for apart in (0.0, 1.0):
        weight = between(apart * size / problem.state_dim / spread**2, rows, problem.steps)
        far, excess = [], []
        for row, z, costs in seen:
            d = z.unsqueeze(1) - expansion.state[row]
            own = d.unflatten(-1, (-1, problem.state_block)).unsqueeze(-1)
            bent = (own * (expansion.curvature[row] @ own)).flatten(2).sum(-1)
            far.append(bent + (weight[row] * d * d).sum(-1))
            promise = expansion.value[row] + (expansion.costate[row] * d).sum(-1) + 0.5 * bent
            excess.append(costs - promise)
        distance, over = torch.stack(far), torch.stack(excess)  # (looks, B, M)
        near = dataclasses.replace(expansion, weight=weight, doubt=NEAREST * torch.ones_like(expansion.doubt))
        yield near
        for power, quantile in itertools.product((1.5, 2.0), (0.9, 1.0)):
            broken = over / (distance**power + 1e-9 * size)
            for axes in ((0, 1), (1,), (1, 2)):  # of each member, of each member at each time, of all at each time
                doubt = _quantile(broken, quantile, axes).clamp_min(0.0).expand(len(rows), 1, broken.shape[-1])
                table = between(doubt.squeeze(1), rows, problem.steps)
                yield dataclasses.replace(expansion, weight=weight, doubt=table, power=power)


def between(table: Tensor, rows: list[int], steps: int) -> Tensor:
    """``(K + 1, ..)`` from the entries at ``rows``: linear in between, constant beyond."""
    at = torch.tensor(rows, dtype=table.dtype, device=table.device)
    k = torch.arange(steps + 1, dtype=table.dtype, device=table.device)
    low = (torch.searchsorted(at, k, right=True) - 1).clamp(0, max(0, len(rows) - 2))
    high = (low + 1).clamp_max(len(rows) - 1)
    share = ((k - at[low]) / (at[high] - at[low]).clamp_min(1.0)).clamp(0, 1)
    share = share.reshape(-1, *[1] * (table.ndim - 1))
    return (1 - share) * table[low] + share * table[high]


def _quantile(x: Tensor, share: float, axes: tuple[int, ...]) -> Tensor:
    """Over several axes, which stay with length 1."""
    front = x.movedim(axes, tuple(range(len(axes))))
    rest = front.shape[len(axes) :]
    flat = front.flatten(0, len(axes) - 1) if len(axes) > 1 else front
    ranked = flat.sort(0).values[min(int(share * len(flat)), len(flat) - 1)]
    shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    assert ranked.shape == rest
    return ranked.reshape(shape)
