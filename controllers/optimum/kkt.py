"""The Newton step of many optima in the making: Riccati sweeps with gaps, damped until each has a minimum."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .iterate import Expanded, Iterate

DAMPINGS: tuple[float, ...] = (1.0, 8.0, 64.0, 512.0)
"""Multiples of a damping that are tried side by side where the first is too small."""


class Direction(NamedTuple):
    """A Newton step of B points: ``du``, ``dz``, the new p, the feedback ``(K, B, m, n)``, and where there is none."""

    du: Tensor
    dz: Tensor
    p: Tensor
    feedback: Tensor
    failed: Tensor


def newton_step(now: Iterate, model: Expanded) -> Direction:
    """The minimum of the model with as much added to ∇² as makes it one: first a third of last time's, then more."""
    trial = torch.where(now.damping > 3e-8, now.damping / 3, 0.0)
    todo, factors, found = torch.arange(len(trial), device=trial.device), DAMPINGS[:1], None
    damping = trial.clone()
    for _ in range(4):
        count = len(factors)
        tried = torch.cat([trial[todo] * x for x in factors])
        answer = swept(model, todo.repeat(count), tried)
        good = (~answer[-1]).unflatten(0, (count, -1))
        first = torch.where(good.any(0), good.int().argmax(0), count - 1) * len(todo)
        first = first + torch.arange(len(todo), device=todo.device)
        damping[todo] = tried[first]
        part = [x.index_select(min(x.ndim - 1, 1), first) for x in answer]
        if found is None:
            found = part
        else:
            for whole, x in zip(found, part, strict=True):
                whole.index_copy_(min(whole.ndim - 1, 1), todo, x)
        todo = todo[~good.any(0)]
        if not len(todo):
            break
        fresh = torch.where(now.damping > 0, now.damping, 1e-4)
        trial, factors = torch.where(trial == 0, fresh, 8 * damping), DAMPINGS
    assert found is not None
    now.damping = damping
    forward, feedback, slope, bend, failed = found
    n = now.z.shape[-1]
    push = model.jacobian[..., n:]
    closed = model.jacobian[..., :n] + push @ feedback
    drift = push @ forward.unsqueeze(-1) + model.gap.unsqueeze(-1)
    dz = [torch.zeros_like(drift[0])]
    for a, f in zip(closed, drift, strict=True):
        dz.append(torch.baddbmm(f, a, dz[-1]))
    away = torch.stack(dz)
    du = forward + (feedback @ away[:-1]).squeeze(-1)
    return Direction(du, away.squeeze(-1), (bend @ away).squeeze(-1) + slope, feedback, failed)


def swept(model: Expanded, rows: Tensor, damping: Tensor) -> list[Tensor]:
    """Forward, feedback, and the slope and bend of the cost to go of those rows; whether Q_uu was not positive.

    In (u, z, 1) both orders are one matrix: Q = W + ÃᵀSÃ, and S ← Q_zz - Q_zu Q_uu⁻¹ Q_uz is symmetric.
    """
    jacobian, slope, bend = (x.index_select(1, rows) for x in (model.jacobian, model.slope, model.bend))
    gap, n, m = model.gap.index_select(1, rows), jacobian.shape[-2], jacobian.shape[-1] - jacobian.shape[-2]
    order = torch.tensor([*range(n, n + m), *range(n), n + m], device=rows.device)
    bend.diagonal(dim1=-2, dim2=-1)[:] += damping[:, None]
    end = model.end_bend[rows] + torch.diag_embed(damping[:, None].expand(-1, n))
    s, w = _bordered(end, model.end_slope[rows]), _bordered(bend, slope)[..., order, :][..., order]
    last = torch.zeros_like(w[..., :1, :])
    last[..., -1] = 1.0
    a = torch.cat([torch.cat([jacobian, gap.unsqueeze(-1)], -1)[..., order], last], -2)
    tables: list[tuple[Tensor, ...]] = []
    for own, f in zip(w.flip(0), a.flip(0), strict=True):
        q = torch.baddbmm(own, f.mT, torch.bmm(s, f))
        root, failed = torch.linalg.cholesky_ex(q[:, :m, :m])
        half = torch.linalg.solve_triangular(root, q[:, :m, m:], upper=False)
        s = torch.baddbmm(q[:, m:, m:], half.mT, half, alpha=-1)
        s = 0.5 * (s + s.mT)
        tables.append((root, half, s, failed))
    roots, halves, after, bad = (torch.stack(x[::-1]) for x in zip(*tables, strict=True))
    gain = -torch.linalg.solve_triangular(roots.mT, halves, upper=True)
    togo = torch.cat([after, _bordered(end, model.end_slope[rows])[None]])
    lost = (bad != 0).any(0) | ~s.isfinite().flatten(1).all(-1)
    return [gain[..., -1], gain[..., :-1], togo[..., :-1, -1], togo[..., :-1, :-1], lost]


def _bordered(square: Tensor, side: Tensor) -> Tensor:
    """[[square, side], [sideᵀ, 0]]."""
    corner = torch.cat([side, torch.zeros_like(side[..., :1])], -1)
    return torch.cat([torch.cat([square, side.unsqueeze(-1)], -1), corner.unsqueeze(-2)], -2)
