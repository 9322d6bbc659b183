"""Truncated Newton: the minimum of the whole second-order model of a flight, by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from .backward import Backward, Model

LONGEST = 200
"""Most products with the Hessian for one step."""
FORCING = 0.3
"""Share of the slope that a step may leave, at most; near an optimum, as much as is left relative to √|J|."""
ENOUGH = 1e-3
"""Share of the slope that is always left: more products would only meet rounding."""
FLAT = 0.1
"""Where curvature is negative the step goes as far as if it were positive, and at least so large."""

Bend: TypeAlias = Callable[[Tensor], Tensor]
"""shift -> ℓ_yy of each agent, without meeting, ``(K, B, N, d, d)``: see ``Hessian``."""


class Step(NamedTuple):
    """A change of the controls of B flights, besides what the feedback adds.

    Attributes:
        w: ``(K, B, m)``.
        slope, bend: ``(B,)`` J(share) ≈ J + share slope + share² bend.
        minimum: ``(B,)`` whether the model has its minimum at the end of the search.
    """

    w: Tensor
    slope: Tensor
    bend: Tensor
    minimum: Tensor

    def shortened(self, share: float) -> Step:
        """That share of it."""
        return Step(share * self.w, share * self.slope, share**2 * self.bend, self.minimum)

    def rows(self, index: Tensor) -> Step:
        """Those flights."""
        return Step(*(x.index_select(1 if x.ndim == 3 else 0, index) for x in self))


class Hessian:
    """J over w to second order, where u_k + w_k + K_k dz_k is flown with the feedback of a ``Backward``.

    In these coordinates the Hessian of the model that gave the feedback is Q_uu, step by step: the preconditioner. The
    flights that are tried are straight in them, too, so that the costate in ℓ_yy is that of the closed loop: what the
    feedback adds to it, ``shift``, is not small before the optimum.

    Attributes:
        slope: ``(K, B, m)`` ∂J/∂w.
        shift: ``(K + 1, B, n)`` what the feedback adds to the costate.
    """

    def __init__(self, model: Model, back: Backward, bend: Bend) -> None:
        self.model, self.back, self.b = model, back, model.jacobian.shape[-2]
        gain, self.push = back.feedback, model.jacobian[..., self.b :]
        self.closed = (model.jacobian[..., : self.b] + self.push @ gain).flatten(1, 2)
        q = model.slope.reshape(*gain.shape[:-1], 1)
        self.slope, self.shift = self._adjoint(0.0, q, torch.zeros_like(self.closed[0, :, :, :1]))
        self.own = bend(self.shift)

    def times(self, w: Tensor) -> Tensor:
        """H w: one linearised flight and one adjoint."""
        gain = self.back.feedback
        w = w.reshape(*gain.shape[:-1], 1)
        flight = [torch.zeros_like(self.closed[0, :, :, :1])]
        for a, f in zip(self.closed, (self.push @ w).flatten(1, 2), strict=True):
            flight.append(torch.baddbmm(f, a, flight[-1]))
        dz = torch.stack(flight[:-1]).unflatten(1, gain.shape[1:3])
        dy, met = torch.cat([dz, w + gain @ dz], -2), self.model.meeting
        own, q = (self.own @ dy + (0.0 if met is None else met.times(dy))).split([self.b, gain.shape[-2]], -2)
        last = flight[-1]
        return self._adjoint(own, q, (self.model.end @ last.reshape(gain.shape[1], -1, 1)).reshape(last.shape))[0]

    def solved(self, r: Tensor) -> Tensor:
        """Q_uu⁻¹ r over the free controls."""
        root = self.back.root
        return torch.cholesky_solve(r.reshape(*root.shape[:-1], 1), root).reshape(r.shape) * self.back.free

    def _adjoint(self, own: Tensor | float, q: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """s ← (F_z + F_u K)ᵀ s + own + Kᵀ q backwards, and with it q + F_uᵀ s over the free controls."""
        table, shape = [s], self.back.free.shape
        for a, f in zip(self.closed.mT.flip(0), (own + self.back.feedback.mT @ q).flatten(1, 2).flip(0), strict=True):
            table.append(torch.baddbmm(f, a, table[-1]))
        costate = torch.stack(table[::-1])
        q = q + self.push.mT @ costate[1:].unflatten(1, q.shape[1:3])
        return q.reshape(shape) * self.back.free, costate.reshape(len(costate), shape[1], -1)


def newton(hessian: Hessian, size: Tensor, shares: tuple[float, ...]) -> list[Step]:
    """-H⁻¹ slope by conjugate gradients, until little of the slope is left or H turns out not to be positive.

    On the way |w| grows and the model falls: where that is not to be trusted so far away, an earlier point is the best
    one of its length (Steihaug 1983).

    Args:
        size: ``(B,)`` |J|.
        shares: of the length of the last point, at which to answer.
    """
    r = hessian.slope
    w, y = torch.zeros_like(r), hessian.solved(r)
    d, left = -y, _dot(r, y)
    enough = left * (left / size.clamp_min(1e-300)).clamp(ENOUGH**2, FORCING**2)
    square, across, ahead = torch.zeros_like(left), torch.zeros_like(left), left  # |w|², w·d, |d|², in the norm of Q_uu
    minimum, active = left <= 0, left > 0
    points, slopes, lengths = [w], [r], [square]
    for _ in range(LONGEST):
        bent = hessian.times(d)
        curvature = _dot(d, bent)
        sane = curvature > 0
        share = left / torch.where(sane, curvature, torch.maximum(curvature.abs(), FLAT * ahead))
        share = torch.where(active, share, 0.0)
        w, r = w + share[:, None] * d, r + share[:, None] * bent
        square = square + share * (2 * across + share * ahead)
        for line, x in ((points, w), (slopes, r), (lengths, square)):
            line.append(x)
        y = hessian.solved(r)
        before, left = left, _dot(r, y)
        minimum = minimum | (active & sane & (left <= enough))
        active = active & sane & ~minimum
        if not bool(active.any()):
            break
        more = torch.where(active, left / before, 0.0)
        across, ahead = more * (across + share * ahead), torch.where(active, left + more**2 * ahead, ahead)
        d = more[:, None] * d - y
    found, length = [], torch.stack(lengths).clamp_min(0.0).sqrt()
    for aim in (share * length[-1] for share in shares):
        weights = _weights(length, aim)
        w, r = (sum((c[:, None] * x for c, x in zip(weights, line, strict=True)), 0 * w) for line in (points, slopes))
        found.append(Step(w, _dot(hessian.slope, w), 0.5 * _dot(w, r - hessian.slope), minimum))
    return found


def _weights(length: Tensor, aim: Tensor) -> Tensor:
    """Those of the corners of a broken line in its point of length ``aim (B,)``, from their lengths ``(I, B)``."""
    last = (length < aim).sum(0, keepdim=True).clamp(1, len(length) - 1)
    low, high = length.gather(0, last - 1), length.gather(0, last)
    share = torch.where(high > low, (aim - low) / (high - low), 1.0).clamp(0.0, 1.0)
    return torch.zeros_like(length).scatter(0, last, share).scatter(0, last - 1, 1 - share)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum((0, 2))
