"""One control step to second order, and the discrete Riccati recursion over many of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem

FLOOR = 1e-8
"""Least eigenvalue of a regularised Q_uu, relative to the largest."""


class StepModel(NamedTuple):
    """A vector F to first and a scalar ℓ to second order about B points y, of a step: y = (z, u), ℓ = c + p·F.

    Attributes:
        jacobian: ``(B, n, d)`` F_y.
        gradient: ``(B, d)`` ℓ_y.
        hessian: ``(B, d, d)`` ℓ_yy.
    """

    jacobian: Tensor
    gradient: Tensor
    hessian: Tensor


class Gains(NamedTuple):
    """du_k = feedforward_k + feedback_k dz_k, ``(K, .., m)`` and ``(K, .., m, n)``, about one path or many.

    ``curvature``: ``(K + 1, .., n, n)`` S. ``regularised``: number of steps at which Q_uu was not positive definite.
    """

    feedforward: Tensor
    feedback: Tensor
    curvature: Tensor
    regularised: int


def along(function: Callable[..., Any], point: tuple[Tensor, ...], away: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """``function`` at a point and its derivative in the direction ``away``."""
    result = torch.func.jvp(function, point, away)
    return result[0], result[1]


def second_order(function: Callable[[Tensor], tuple[Tensor, Tensor]], y: Tensor) -> tuple[Tensor, StepModel]:
    """F and, to second order, ℓ of ``function``: y ``(B, d)`` -> ℓ ``(B,)``, F ``(B, n)``, sample by sample.

    Forward- over reverse-mode: one sweep for each column, all samples at once.
    """

    def slopes(x: Tensor) -> tuple[Tensor, Tensor]:
        def total(v: Tensor) -> tuple[Tensor, Tensor]:
            scalar, vector = function(v)
            return scalar.sum(), vector

        gradient: tuple[Tensor, Tensor] = torch.func.grad(total, has_aux=True)(x)
        return gradient

    seeds = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
    columns = [along(slopes, (y,), (seed.expand_as(y),)) for seed in seeds]
    gradient, value = columns[0][0]
    hessian = torch.stack([column for _, (column, _) in columns], -1)
    jacobian = torch.stack([column for _, (_, column) in columns], -1)
    return value.detach(), StepModel(jacobian.detach(), gradient.detach(), 0.5 * (hessian + hessian.mT).detach())


def step_model(problem: Problem, t: Tensor, z: Tensor, u: Tensor, p: Tensor, dt: float) -> StepModel:
    """The Runge-Kutta step (F, c) of ``rollout`` to second order, exactly.

    Args:
        t: ``(B,)`` times at which the steps begin.
        z, u: ``(B, n)`` states, ``(B, m)`` controls.
        p: ``(B, n)`` weights of F in ℓ: the costate after the step, or 0.
        dt: length of the step.
    """
    n = z.shape[1]

    def lagrangian(y: Tensor) -> tuple[Tensor, Tensor]:
        after, cost = advance(problem, t, y[:, :n], y[:, n:], dt)
        return cost + (p * after).sum(-1), after

    return second_order(lagrangian, torch.cat([z, u], -1))[1]


def expand_end(problem: Problem, z: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient ``(n,)`` and Hessian ``(n, n)`` of G at one state ``(n,)``."""

    def terminal(x: Tensor) -> Tensor:
        return problem.terminal_cost(x.unsqueeze(0)).squeeze(0)

    return torch.func.grad(terminal)(z).detach(), torch.func.hessian(terminal)(z).detach()


def riccati(
    steps: StepModel, drift: Tensor, slope: Tensor, curvature: Tensor, free: Tensor, resistance: Tensor | None = None
) -> Gains:
    """The optimal feedback of the linear-quadratic problem that the expansions describe, backwards from T:

        V(dz) = ½ dzᵀ S dz + sᵀ dz,   Q = ℓ_yy + F_yᵀ S F_y,   q = ℓ_y + F_yᵀ (s + S drift),
        feedback = -Q_uu^-1 Q_uz,     feedforward = -Q_uu^-1 q_u

    Controls that are not free stay where they are. Where Q_uu (of the free controls) is not positive definite, the
    eigenvalues below FLOOR times the largest one's size are reflected, and lifted to that if need be.

    Args:
        steps: of the K steps in the order of time, about one path or, on axes ``..`` after the first, about many.
        drift: ``(K, .., n)`` F(z_k, u_k) - z_{k+1}; 0 along a path.
        slope, curvature: s ``(.., n)`` and S ``(.., n, n)`` at T. Along an optimum the costate has taken up all slopes:
            s = 0 and ``steps.gradient`` = 0, hence feedforward = 0.
        free: ``(K, .., m)`` bool, the controls that may move.
        resistance: ``(K, .., m)`` added to the diagonal of Q_uu; 0 unless given.
    """
    n, s = slope.shape[-1], slope.unsqueeze(-1)
    more = torch.zeros_like(steps.gradient[..., n:]) if resistance is None else resistance
    table, gains, regularised = [curvature], [], 0
    for jacobian, gradient, hessian, away, moves, extra in reversed(list(zip(*steps, drift, free, more, strict=True))):
        q = gradient.unsqueeze(-1) + jacobian.mT @ (s + table[-1] @ away.unsqueeze(-1))
        big = hessian + jacobian.mT @ table[-1] @ jacobian
        upper, lower = torch.cat([q, big[..., :n]], -1).tensor_split([n], -2)
        q_zu, q_uu, rows = big[..., :n, n:], big[..., n:, n:] + torch.diag_embed(extra), moves.unsqueeze(-1)
        alone = torch.diag_embed((~moves).to(q_uu)) * q_uu.abs().amax((-2, -1), keepdim=True)
        gain, repaired = _solve_positive(torch.where(rows & rows.mT, q_uu, alone), -lower * rows)
        s, after = (upper + gain[..., 1:].mT @ (lower + q_uu @ gain) + q_zu @ gain).split([1, n], -1)
        table.append(0.5 * (after + after.mT))
        gains.append(gain)
        regularised += repaired
    feedforward, feedback = torch.stack(gains[::-1]).split([1, n], -1)
    return Gains(feedforward.squeeze(-1), feedback, torch.stack(table[::-1]), regularised)


def _solve_positive(matrix: Tensor, right: Tensor) -> tuple[Tensor, int]:
    """matrix^-1 right for symmetric matrices ``(.., m, m)`` made positive definite; how many were not."""
    values, vectors = torch.linalg.eigh(matrix)
    floor = FLOOR * values.abs().amax(-1, keepdim=True) + 1e-300
    low = values < floor
    values = torch.where(low, torch.maximum(values.abs(), floor), values)
    return vectors @ ((vectors.mT @ right) / values.unsqueeze(-1)), int(low.any(-1).sum())
