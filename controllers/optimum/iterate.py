"""What the interior-point search keeps of many optima in the making, and how far each is from one."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from .agent_model import ROWS, bends, jacobians, slopes

REMEMBERED = 12
"""Points of a filter."""
STEEP = 100.0
"""Costs are divided so that no slope at the start is larger, as IPOPT does."""
NEAREST = 1e-14
"""Least distance of a control from its bound, as a share of the range: below it there is rounding alone."""


@dataclasses.dataclass
class Iterate:
    """B points, states and controls apart, float64; costs and multipliers are ``scale`` times the problem's.

    Attributes:
        z, u, p: ``(K + 1, B, n)``, ``(K, B, m)``, ``(K + 1, B, n)``.
        above, below: ``(K, B, m)`` multipliers of low <= u and of u <= high.
        feedback: ``(K, B, m n)`` gains of the last sweep.
        filter_gap, filter_cost: ``(REMEMBERED, B)`` no later point may have as large a gap at as high a cost.
        barrier, damping, scale, error: ``(B,)`` μ, what was added to ∇², the scale of J, what the conditions leave.
        failures, iterations: ``(B,)`` line searches in vain, iterations.
    """

    z: Tensor
    u: Tensor
    p: Tensor
    above: Tensor
    below: Tensor
    feedback: Tensor
    filter_gap: Tensor
    filter_cost: Tensor
    barrier: Tensor
    damping: Tensor
    scale: Tensor
    error: Tensor
    failures: Tensor
    iterations: Tensor

    def rows(self, index: Tensor) -> Iterate:
        """Those points."""
        return Iterate(**{k: v.index_select(min(v.ndim - 1, 1), index) for k, v in vars(self).items()})

    def put(self, index: Tensor, part: Iterate) -> None:
        """Take ``part`` over as those points."""
        for name, whole in vars(self).items():
            whole.index_copy_(min(whole.ndim - 1, 1), index, getattr(part, name))

    def forget(self, rows: Tensor) -> None:
        """Begin the filters of those ``(B,)`` anew."""
        self.filter_gap = torch.where(rows, torch.inf, self.filter_gap)
        self.filter_cost = torch.where(rows, -torch.inf, self.filter_cost)


@dataclasses.dataclass
class Expanded:
    """The scaled problem about an iterate to second order.

    Attributes:
        jacobian: ``(K, B, n, d)`` F_y, d = n + m.
        slope, bend: ``(K, B, d)``, ``(K, B, d, d)`` ∇c and ∇²(c + p·F).
        end_slope, end_bend: ``(B, n)``, ``(B, n, n)`` of G.
        gap: ``(K, B, n)`` F(z_k, u_k) - z_{k+1}.
        cost: ``(B,)`` J.
    """

    jacobian: Tensor
    slope: Tensor
    bend: Tensor
    end_slope: Tensor
    end_bend: Tensor
    gap: Tensor
    cost: Tensor


def begin(problem: Problem, z: Tensor, u: Tensor, barrier: float) -> Iterate:
    """The point at ``z (K + 1, B, n)``, which need be no flight, and ``u (K, B, m)``, moved off its bounds."""
    low, high = problem.control_bounds(u)
    push = 1e-2 * torch.minimum(low.abs().clamp_min(1.0), high - low)
    u = u.clamp(low + push, high - push)
    (steps, batch, m), n = u.shape, z.shape[-1]
    t, y = points(problem, z, u)
    jacobian, slope = (in_parts(f, problem, n, t, y).unflatten(0, (steps, batch)) for f in (jacobians, slopes))
    end = end_slopes(problem, z[-1])
    steepest = torch.maximum(slope.abs().amax((0, 2)), end.abs().amax(-1)).nan_to_num(0.0, 0.0)
    scale = (STEEP / steepest.clamp_min(1e-300)).clamp_max(1.0)
    costate = [scale[:, None] * end]  # the adjoint: good where z is a flight, and small enough
    for own, f in zip(slope.flip(0), jacobian.flip(0), strict=True):
        costate.append(scale[:, None] * own[:, :n] + (f[..., :n].mT @ costate[-1].unsqueeze(-1)).squeeze(-1))
    p = torch.stack(costate[::-1])
    p = torch.where(p.abs().amax((0, 2))[:, None] <= 1e3, p, 0.0)
    zero, filters = torch.zeros_like(scale), torch.full_like(u[:1, :, 0].expand(REMEMBERED, -1), torch.inf)
    return Iterate(
        z.clone(), u, p, barrier / (u - low), barrier / (high - u), u.new_zeros(steps, batch, m * n), filters.clone(),
        -filters, zero + barrier, zero, scale, zero + torch.inf, zero.long(), zero.long(),
    )  # fmt: skip


def points(problem: Problem, z: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """t and y of the K B steps, ``(K B,)`` and ``(K B, 1, d)``."""
    t = torch.arange(len(u), dtype=z.dtype, device=z.device) * problem.time_step
    return t.repeat_interleave(u.shape[1]), torch.cat([z[:-1], u], -1).flatten(0, 1).unsqueeze(1)


def in_parts(function, problem: Problem, n: int, *columns: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    """``function(problem, t, y, n, ..)`` of one agent, ROWS at a time."""
    parts = zip(*(x.split(ROWS) for x in columns), strict=True)
    return torch.cat([function(problem, t, y, n, *more) for t, y, *more in parts]).squeeze(1)


def end_slopes(problem: Problem, z: Tensor) -> Tensor:
    """∇G."""
    return torch.func.grad(lambda x: problem.terminal_cost(x).sum())(z)


def measure(problem: Problem, z: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The gaps ``(K, B, n)`` and J, unscaled, all steps at once."""
    t, y = points(problem, z, u)
    z_before, held = y.squeeze(1).tensor_split([z.shape[-1]], -1)
    after, cost = advance(problem, t, z_before, held, problem.time_step)
    return after.unflatten(0, u.shape[:2]) - z[1:], cost.unflatten(0, u.shape[:2]).sum(0) + problem.terminal_cost(z[-1])


def expanded(problem: Problem, now: Iterate) -> Expanded:
    """The problem about ``now``."""
    n, cut, scale = now.z.shape[-1], now.u.shape[:2], now.scale[:, None]
    t, y = points(problem, now.z, now.u)
    jacobian, slope = (in_parts(f, problem, n, t, y).unflatten(0, cut) for f in (jacobians, slopes))
    p = (now.p[1:] / scale).flatten(0, 1)
    bend = in_parts(bends, problem, n, t, y, p).unflatten(0, cut) * scale.unsqueeze(-1)
    last = now.z[-1]
    end = torch.func.vmap(torch.func.hessian(lambda x: problem.terminal_cost(x.unsqueeze(0)).squeeze(0)))(last)
    gap, cost = measure(problem, now.z, now.u)
    ends = scale * end_slopes(problem, last), scale.unsqueeze(-1) * end
    return Expanded(jacobian, scale * slope, bend, *ends, gap, now.scale * cost)


def room(problem: Problem, u: Tensor) -> tuple[Tensor, Tensor]:
    """How far the controls are from their bounds: u - low and high - u, ``(K, B, m)`` each."""
    low, high = problem.control_bounds(u)
    least = NEAREST * (high - low)
    return torch.maximum(u - low, least), torch.maximum(high - u, least)


def errors(problem: Problem, now: Iterate, model: Expanded, barrier: Tensor) -> Tensor:
    """What is left of the conditions of a minimum with barrier μ ``(B,)``: the largest entry, ``(B,)``.

    ∇_z and ∇_u of the Lagrangian, the gaps, (u - low) above - μ and (high - u) below - μ; where multipliers are large
    on average, relative to them (Wächter and Biegler 2006, eq. 5).
    """
    n, mu = now.z.shape[-1], barrier[:, None]
    lagrangian = model.slope + (model.jacobian.mT @ now.p[1:].unsqueeze(-1)).squeeze(-1)
    left = (model.end_slope - now.p[-1]).abs().amax(-1)
    if len(now.u) > 1:
        left = torch.maximum(left, (lagrangian[1:, :, :n] - now.p[1:-1]).abs().amax((0, 2)))
    left = torch.maximum(left, (lagrangian[..., n:] - now.above + now.below).abs().amax((0, 2)))
    for distance, multiplier in zip(room(problem, now.u), (now.above, now.below), strict=True):
        left = torch.maximum(left, (distance * multiplier - mu).abs().amax((0, 2)))
    mean = 0.5 * now.p.abs().mean((0, 2)) + 0.25 * (now.above + now.below).mean((0, 2))
    return torch.maximum(left / (mean / STEEP).clamp_min(1.0), model.gap.abs().amax((0, 2)))
