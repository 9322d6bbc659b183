"""The sweep backwards: the feedback that minimises the second-order expansion of a flight, within the bounds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..operators import held
from .meeting import Meeting

FLOOR = 1e-7
"""Damping that is always there: controls that act alike leave Q_uu singular."""


class Model(NamedTuple):
    """K steps of B flights to second order, and G. The costates have taken up all slopes but those of the controls.

    Attributes:
        jacobian: ``(K, B, N, b, d)`` of each agent's step, d = b + a.
        hessian: ``(K, B, N, d, d)`` of ℓ, each agent by itself.
        meeting: what agents that meet add to ℓ_yy; ``None`` where there is one.
        slope: ``(K, B, m)`` ∇_u ℓ.
        end: ``(B, n, n)`` ∇²G.
    """

    jacobian: Tensor
    hessian: Tensor
    meeting: Meeting | None
    slope: Tensor
    end: Tensor

    def rows(self, index: Tensor) -> Model:
        """Those flights."""
        meeting = None if self.meeting is None else self.meeting.rows(index)
        jacobian, hessian, slope = (x.index_select(1, index) for x in (self.jacobian, self.hessian, self.slope))
        return Model(jacobian, hessian, meeting, slope, self.end.index_select(0, index))

    def convex(self) -> Model:
        """Every agent alone, B N flights of one; curvature is reflected where negative: each Q_uu is positive."""
        steps, batch, count, b, d = self.jacobian.shape
        end = self.end.unflatten(-1, (count, b)).unflatten(-3, (count, b)).diagonal(dim1=-4, dim2=-2).movedim(-1, 1)
        return Model(
            self.jacobian.reshape(steps, batch * count, 1, b, d),
            reflected(self.hessian).reshape(steps, batch * count, 1, d, d),
            None,
            self.slope.reshape(steps, batch * count, d - b),
            reflected(end).reshape(batch * count, b, b),
        )


class Backward(NamedTuple):
    """du_k = share · feedforward_k + feedback_k dz_k, of all together (G = 1) or of each agent alone (G = N).

    Attributes:
        feedforward, feedback: ``(K, B, m)``, ``(K, B, G, m / G, n / G)``.
        root: ``(K, B, G, m / G, m / G)`` of Q_uu = root rootᵀ.
        free: ``(K, B, m)`` the controls that no bound holds.
        slope, bend: ``(B,)`` J(share) ≈ J + share slope + share² bend.
        doubtful: ``(B,)`` whether some Q_uu was not positive definite: then this is no minimum yet.
    """

    feedforward: Tensor
    feedback: Tensor
    root: Tensor
    free: Tensor
    slope: Tensor
    bend: Tensor
    doubtful: Tensor

    def rows(self, index: Tensor) -> Backward:
        """Those flights."""
        return Backward(*(x.index_select(0 if x.ndim == 1 else 1, index) for x in self))


def sweep_alone(model: Model, u: Tensor, box: tuple[Tensor, Tensor], damping: Tensor) -> Backward:
    """``sweep`` of ``model.convex()``."""
    batch, count = model.jacobian.shape[1:3]
    cut = (len(u), batch * count, -1)
    boxes = tuple(x.reshape(count, -1).repeat(batch, 1) for x in box)
    found = sweep(model.convex(), u.reshape(cut), (boxes[0], boxes[1]), damping.repeat_interleave(count))
    slope, bend, doubtful = (x.unflatten(0, (batch, count)) for x in found[4:])
    feedback, root = (x.squeeze(2).unflatten(1, (batch, count)) for x in found[1:3])
    forward, free = found.feedforward.reshape(u.shape), found.free.reshape(u.shape)
    return Backward(forward, feedback, root, free, slope.sum(-1), bend.sum(-1), doubtful.any(-1))


def sweep(model: Model, u: Tensor, box: tuple[Tensor, Tensor], damping: Tensor) -> Backward:
    """Backwards from P = ∇²G, s = 0, with ℓ and F of a ``model`` of one agent:

        Q = ℓ_yy + F_yᵀ P F_y,   q = ∇_u ℓ + F_uᵀ s
        feedforward = -Q_uu⁻¹ q,  feedback = -Q_uu⁻¹ Q_uz,   over the controls that no bound holds against q
        P ← Q_zz + Q_zu feedback,  s ← F_zᵀ s + Q_zu feedforward

    Args:
        u: ``(K, B, m)`` the controls of the flights.
        box: their bounds.
        damping: ``(B,)``; so many times its mean diagonal is added to Q_uu.
    """
    curvature, s = model.end, torch.zeros_like(model.end[..., 0])
    slope = bend = torch.zeros_like(s[:, 0])
    doubtful = torch.zeros_like(slope, dtype=torch.bool)
    tables: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    b = model.jacobian.shape[3]
    one = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
    for k in reversed(range(len(u))):
        jacobian = model.jacobian[k].squeeze(1)
        whole = model.hessian[k].squeeze(1) + jacobian.mT @ curvature @ jacobian
        zz, uz, uu = whole[..., :b, :b], whole[..., b:, :b], whole[..., b:, b:]
        carried = (jacobian.mT @ s.unsqueeze(-1)).squeeze(-1)
        q = model.slope[k] + carried[..., b:]
        free = ~held(u[k], -q, box)
        size = uu.diagonal(dim1=-2, dim2=-1).abs().mean(-1)[:, None, None].clamp_min(1e-300)
        both = free.unsqueeze(-1) & free.unsqueeze(-2)
        root, failed = torch.linalg.cholesky_ex(
            torch.where(both, uu + (damping[:, None, None] + FLOOR) * size * one, size * one)
        )
        gain = -torch.cholesky_solve(torch.cat([q.unsqueeze(-1), uz], -1) * free.unsqueeze(-1), root)
        doubtful = doubtful | (failed != 0)
        forward, feedback = gain[..., :1], gain[..., 1:]
        bent = uu @ forward
        slope = slope + (q.unsqueeze(-1) * forward).sum((-2, -1))
        bend = bend + 0.5 * (forward * bent).sum((-2, -1))
        s = carried[..., :b] + (feedback.mT @ (q.unsqueeze(-1) + bent) + uz.mT @ forward).squeeze(-1)
        tables.append((forward.squeeze(-1), feedback.unsqueeze(1), root.unsqueeze(1), free))
        after = zz + feedback.mT @ (uu @ feedback + uz) + uz.mT @ feedback
        curvature = 0.5 * (after + after.mT)
    forwards, feedbacks, roots, frees = (torch.stack(x[::-1]) for x in zip(*tables, strict=True))
    return Backward(forwards, feedbacks, roots, frees, slope, bend, doubtful | ~slope.isfinite())


def reflected(matrix: Tensor) -> Tensor:
    """A symmetric matrix with its negative eigenvalues turned positive."""
    values, vectors = torch.linalg.eigh(torch.nan_to_num(matrix, 0.0, 0.0, 0.0))
    return (vectors * values.abs().unsqueeze(-2)) @ vectors.mT
