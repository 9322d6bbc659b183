"""The value function to second order about one optimum, agent by agent: what argmax H_dt plays."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from ..operators import held
from .backward import Model, reflected
from .ddp import expand_path
from .trajectory import ReferenceTrajectory

LEAST = 1e-6
"""Smallest eigenvalue of a P_i or a Q_uu, relative to the largest."""
BARRIER = 1e-3
"""μ of the barrier that stands for a bound in the gain of a control it holds, in costs of the optimum."""


@dataclasses.dataclass(frozen=True)
class AgentExpansion:
    """V(t_k, z) ≈ min over M optima of value + costate·d + ½ Σ_i d_iᵀ P_i d_i, d = z - state, by agent i, float64.

    Attributes:
        value: ``(K + 1, M)`` cost to go.
        state, costate: ``(K + 1, M, n)``.
        curvature: ``(K + 1, M, N, b, b)`` P_i, positive definite.
        control: ``(K, M, m)``.
        gain: ``(K, M, N, m / N, b)``: u_i ≈ control_i + gain_i d_i.
    """

    value: Tensor
    state: Tensor
    costate: Tensor
    curvature: Tensor
    control: Tensor
    gain: Tensor

    @classmethod
    def blank(cls, problem: Problem, members: int = 1) -> AgentExpansion:
        """Of the right shapes, P = 1 and zeros for the rest."""
        n, m, b = problem.state_dim, problem.control_dim, problem.state_block
        rows, count = (problem.steps + 1, members), n // b
        flat = torch.zeros(*rows, n, dtype=torch.float64)
        return cls(
            flat.sum(-1), flat, flat, torch.eye(b, dtype=torch.float64).expand(*rows, count, b, b),
            flat.new_zeros(problem.steps, members, m), flat.new_zeros(problem.steps, members, count, m // count, b),
        )  # fmt: skip

    def members(self, index: Tensor) -> AgentExpansion:
        """About those optima alone."""
        return AgentExpansion(**{k: v.index_select(1, index) for k, v in vars(self).items()})

    def later(self, steps: int) -> AgentExpansion:
        """As if it were so many control steps later; at the end the last entries stay."""
        rows = {k: (torch.arange(len(v), device=v.device) + steps).clamp_max(len(v) - 1) for k, v in vars(self).items()}
        return AgentExpansion(**{k: v[rows[k]] for k, v in vars(self).items()})

    def tables(self) -> dict[str, Tensor]:
        """As ``ExpandedValue`` keeps them: of P its Cholesky root L."""
        return {
            "value": self.value, "state": self.state, "costate": self.costate,
            "root": torch.linalg.cholesky(self.curvature), "control": self.control, "gain": self.gain,
        }  # fmt: skip


def expand_agents(problem: Problem, reference: ReferenceTrajectory) -> AgentExpansion:
    """The expansion about each optimum, backwards from P = ∇²G with ℓ_k = c_k + p_{k+1}·F_k, block by block:

        Q_i = ∇²_i ℓ_k + (∇_i F_i)ᵀ P_{i,k+1} ∇_i F_i,   K_i = -Q_uu⁻¹ Q_uz,   P_i = Q_zz + Q_zu K_i

    What agents do to each other's curvature is left out: it makes P indefinite (agents repel). P_i gets eigenvalues of
    at least LEAST times its largest. The cost of the sweep is linear in the number of agents.

    Where an agent's own model has no minimum, along a path that is no optimum, or one of all together and not of each,
    ℓ_yy has its negative eigenvalues turned positive: a Q_uu that is nearly singular would make it spin.

    For P a control that a bound holds stays there. Its gain is that of an interior-point method: the bound is a barrier
    -μ log, whose curvature q²/μ is added to Q_uu, q = ∂_u ℓ what pushes. Where little does, before a switch, the
    control gives way; where much does, it stays.

    Args:
        problem: what the policy will fly.
        reference: the optima.

    Raises:
        ValueError: if the reference does not fit the problem, or diverged.
    """
    z, u, p = reference.z.double(), reference.u.double(), reference.costate.double()
    n, m, b = problem.state_dim, problem.control_dim, problem.state_block
    if (len(u), z.shape[-1], u.shape[-1]) != (problem.steps, n, m):
        raise ValueError(
            f"the reference has {len(u)} steps of {z.shape[-1]} states and {u.shape[-1]} controls; "
            f"{type(problem).__name__} has {problem.steps} of {n} and {m}"
        )
    if not (z.isfinite().all() and p.isfinite().all()):
        raise ValueError("an optimum is not finite: its search diverged")
    count = n // b
    model, _ = expand_path(problem, z, u)
    jacobian, hessian = _own(model, n, count)
    t = reference.t[:-1].double().repeat_interleave(z.shape[1])
    spent = advance(problem, t, z[:-1].flatten(0, 1), u.flatten(0, 1), problem.time_step)[1].unflatten(0, u.shape[:2])
    value = torch.cat([spent, problem.terminal_cost(z[-1])[None]]).flip(0).cumsum(0).flip(0)
    held_back = _pushed(problem, u, model.slope).unflatten(-1, (count, -1))
    wall = model.slope.unflatten(-1, (count, -1)) ** 2 / (BARRIER * value[0].abs() + 1e-300)[:, None, None]
    end = _blocks(model.end, n, count)
    hessian, last = _bent(hessian, jacobian, end, held_back, b), _positive(end)
    curvature, gains = [last], []
    for own, f, stays, wide in zip(hessian.flip(0), jacobian.flip(0), held_back.flip(0), wall.flip(0), strict=True):
        q = own + f.mT @ last @ f
        last, gain = _backwards(q, (~stays).double(), b)
        curvature.append(last)
        gains.append(gain + _giving_way(q, gain, stays, wide, b))
    return AgentExpansion(value, z, p, torch.stack(curvature[::-1]), u, torch.stack(gains[::-1]))


def _own(model: Model, n: int, count: int) -> tuple[Tensor, Tensor]:
    """F_y and ℓ_yy of each agent, ``(K, M, N, b, d)`` and ``(K, M, N, d, d)``, what it meets included."""
    jacobian, hessian = model.jacobian, model.hessian
    if jacobian.shape[2] == count:
        return jacobian, hessian if model.meeting is None else hessian + model.meeting.own()
    whole = (_blocks(x.squeeze(2).flatten(0, 1), n, count).unflatten(0, x.shape[:2]) for x in (jacobian, hessian))
    first, second = whole
    return first, second


def _bent(hessian: Tensor, jacobian: Tensor, end: Tensor, stays: Tensor, b: int) -> Tensor:
    """``hessian``, reflected for the agents that are at no minimum."""
    sure = _at_minimum(hessian, jacobian, end, stays, b)
    return hessian if sure.all() else torch.where(sure[..., None, None], hessian, reflected(hessian))


def _at_minimum(hessian: Tensor, jacobian: Tensor, end: Tensor, stays: Tensor, b: int) -> Tensor:
    """``(M, N)`` whether every Q_uu of an agent, of the controls that no bound holds, is positive definite."""
    last, sure = end, torch.ones_like(end[..., 0, 0], dtype=torch.bool)
    for own, f, wall in zip(hessian.flip(0), jacobian.flip(0), stays.flip(0), strict=True):
        q, moves = own + f.mT @ last @ f, (~wall).to(own)
        inner = q[..., b:, b:] * moves.unsqueeze(-1) * moves.unsqueeze(-2) + torch.diag_embed(1 - moves)
        root, failed = torch.linalg.cholesky_ex(inner.nan_to_num(0.0, 0.0, 0.0))
        gain = torch.cholesky_solve(moves.unsqueeze(-1) * q[..., b:, :b], root)
        last, sure = q[..., :b, :b] - q[..., :b, b:] @ gain, sure & (failed == 0)
    return sure & last.isfinite().flatten(-2).all(-1)


def _backwards(q: Tensor, moves: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """P_i and K_i of each agent from its Q_i ``(M, N, b + m_i, b + m_i)`` and its free controls ``(M, N, m_i)``."""
    both = moves.unsqueeze(-1) * moves.unsqueeze(-2)
    inner = q[..., b:, b:]
    inner = _positive(inner * both + torch.diag_embed(1 - moves) * inner.abs().amax())
    gain = -torch.linalg.solve(inner, moves.unsqueeze(-1) * q[..., b:, :b])
    whole = q[..., :b, :b] + q[..., :b, b:] @ gain + gain.mT @ q[..., b:, :b] + gain.mT @ q[..., b:, b:] @ gain
    return _positive(whole), gain


def _giving_way(q: Tensor, gain: Tensor, stays: Tensor, wall: Tensor, b: int) -> Tensor:
    """Gains of the controls that ``stays (M, N, m_i)`` says are held, while the free ones play ``gain``; else 0."""
    inner = torch.where(stays.unsqueeze(-1) & stays.unsqueeze(-2), q[..., b:, b:], 0.0)
    inner = _positive(inner + torch.diag_embed(torch.where(stays, wall, inner.abs().amax().clamp_min(1.0))))
    return -torch.linalg.solve(inner, (q[..., b:, :b] + q[..., b:, b:] @ gain) * stays.unsqueeze(-1))


def _blocks(matrix: Tensor, n: int, count: int) -> Tensor:
    """Rows and columns of each agent, ``(K, r, n + m)`` to ``(K, N, r / N, (n + m) / N)``; r is n or n + m."""

    def own(x: Tensor) -> Tensor:  # (K, r, c) to (K, N, r / N, c / N)
        parts = x.unflatten(-2, (count, -1)).unflatten(-1, (count, -1))
        return parts.diagonal(dim1=1, dim2=3).movedim(-1, 1)

    if matrix.shape[-1] == n:
        return own(matrix)
    rows = matrix.split([n, matrix.shape[-2] - n], -2)
    parts = ([own(x) for x in r.split([n, r.shape[-1] - n], -1)] for r in rows if r.shape[-2])
    return torch.cat([torch.cat(row, -1) for row in parts], -2)


def _positive(matrix: Tensor) -> Tensor:
    """The nearest one that is; where a sweep along what is no optimum has overflowed, next to nothing."""
    matrix = torch.where(matrix.isfinite().flatten(-2).all(-1)[..., None, None], matrix, 0.0)
    values, vectors = torch.linalg.eigh(0.5 * (matrix + matrix.mT))
    values = values.clamp_min(LEAST * values.amax(-1, keepdim=True).clamp_min(LEAST))
    return (vectors * values.unsqueeze(-2)) @ vectors.mT


def _pushed(problem: Problem, u: Tensor, slope: Tensor) -> Tensor:
    """Controls that a bound holds against a slope of the cost; an interior-point method leaves them beside it."""
    low, high = problem.control_bounds(u)
    near = 1e-5 * (high - low)
    return held(torch.where(u <= low + near, low, torch.where(u >= high - near, high, u)), -slope, (low, high))
