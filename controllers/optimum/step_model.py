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
    """du_k = feedforward_k + feedback_k dz_k, ``(K, m)`` and ``(K, m, n)``.

    ``regularised``: number of steps at which Q_uu was not positive definite.
    """

    feedforward: Tensor
    feedback: Tensor
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


def riccati(steps: StepModel, drift: Tensor, slope: Tensor, curvature: Tensor, free: Tensor) -> Gains:
    """The optimal feedback of the linear-quadratic problem that the expansions describe, backwards from T:

        V(dz) = ½ dzᵀ S dz + sᵀ dz,   Q = ℓ_yy + F_yᵀ S F_y,   q = ℓ_y + F_yᵀ (s + S drift),
        feedback = -Q_uu^-1 Q_uz,     feedforward = -Q_uu^-1 q_u

    Controls that are not free stay where they are. Where Q_uu (of the free controls) is not positive definite, the
    eigenvalues below FLOOR times the largest one's size are reflected, and lifted to that if need be.

    Args:
        steps: of the K steps in the order of time.
        drift: ``(K, n)`` F(z_k, u_k) - z_{k+1}; 0 along a path.
        slope, curvature: s ``(n,)`` and S ``(n, n)`` at T. Along an optimum the costate has taken up all slopes: s = 0
            and ``steps.gradient`` = 0, hence feedforward = 0.
        free: ``(K, m)`` bool, the controls that may move.
    """
    n = len(slope)
    feedforward: list[Tensor] = []
    feedback: list[Tensor] = []
    regularised = 0
    for jacobian, gradient, hessian, moves, away in reversed(list(zip(*steps, free, drift, strict=True))):
        q, big = gradient + jacobian.mT @ (slope + curvature @ away), hessian + jacobian.mT @ curvature @ jacobian
        right = torch.cat([q[n:, None], big[n:, :n]], -1) * moves[:, None]
        both = moves[:, None] & moves
        inner = torch.where(both, big[n:, n:], torch.diag((~moves).to(big)) * big[n:, n:].abs().max())
        solution, lifted = _solve_positive(inner, right)
        regularised += lifted
        k, gain = -solution[:, 0], -solution[:, 1:]
        curvature = big[:n, :n] + gain.mT @ big[n:, n:] @ gain + big[:n, n:] @ gain + gain.mT @ big[n:, :n]
        curvature = 0.5 * (curvature + curvature.mT)
        slope = q[:n] + gain.mT @ (q[n:] + big[n:, n:] @ k) + big[:n, n:] @ k
        feedforward.insert(0, k)
        feedback.insert(0, gain)
    return Gains(torch.stack(feedforward), torch.stack(feedback), regularised)


def _solve_positive(matrix: Tensor, right: Tensor) -> tuple[Tensor, bool]:
    """matrix^-1 right for a symmetric matrix made positive definite if it is not; whether it was not."""
    values, vectors = torch.linalg.eigh(matrix)
    floor = FLOOR * float(values.abs().max()) + 1e-300
    lifted = bool((values < floor).any())
    values = torch.where(values < floor, values.abs().clamp_min(floor), values)
    return vectors @ ((vectors.mT @ right) / values[:, None]), lifted
