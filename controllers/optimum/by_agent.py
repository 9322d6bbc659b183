"""The value function to second order about one optimum, agent by agent: what argmax H_dt plays."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from ..operators import held
from .ipopt import ReferenceTrajectory
from .step_model import step_model

LEAST = 1e-6
"""Smallest eigenvalue of a P_i or a Q_uu, relative to the largest."""


@dataclasses.dataclass(frozen=True)
class AgentExpansion:
    """V(t_k, z) ≈ value + costate·d + ½ Σ_i d_iᵀ P_i d_i, d = z - state, about one optimum, by agent i, float64.

    Attributes:
        value: ``(K + 1,)`` cost to go.
        state, costate: ``(K + 1, n)``.
        curvature: ``(K + 1, N, b, b)`` P_i, positive definite.
        control: ``(K, m)``.
        gain: ``(K, N, m / N, b)``: u_i ≈ control_i + gain_i d_i.
    """

    value: Tensor
    state: Tensor
    costate: Tensor
    curvature: Tensor
    control: Tensor
    gain: Tensor

    @classmethod
    def blank(cls, problem: Problem) -> AgentExpansion:
        """Of the right shapes, P = 1 and zeros for the rest."""
        rows, n, m, b = problem.steps + 1, problem.state_dim, problem.control_dim, problem.state_block
        flat = torch.zeros(rows, n, dtype=torch.float64)
        count = n // b
        return cls(
            flat.sum(-1), flat, flat, torch.eye(b, dtype=torch.float64).expand(rows, count, b, b),
            flat.new_zeros(rows - 1, m), flat.new_zeros(rows - 1, count, m // count, b),
        )  # fmt: skip

    def tables(self) -> dict[str, Tensor]:
        """As ``ExpandedValue`` keeps them: of P its Cholesky root L."""
        return {
            "value": self.value, "state": self.state, "costate": self.costate,
            "root": torch.linalg.cholesky(self.curvature), "control": self.control, "gain": self.gain,
        }  # fmt: skip


def expand_agents(problem: Problem, reference: ReferenceTrajectory, index: int = 0) -> AgentExpansion:
    """The expansion about one optimum, backwards from P = ∇²G with ℓ_k = c_k + p_{k+1}·F_k, block by block:

        Q_i = ∇²_i ℓ_k + (∇_i F_i)ᵀ P_{i,k+1} ∇_i F_i,   K_i = -Q_uu⁻¹ Q_uz,   P_i = Q_zz + Q_zu K_i

    What agents do to each other's curvature is left out: it makes P indefinite (agents repel), and the sum over blocks
    of what it would say is worth less than a positive P is. A control that a bound holds has no gain: it stays. P_i
    gets eigenvalues of at least LEAST times its largest. The cost of the sweep is linear in the number of agents.

    Args:
        problem: what the policy will fly.
        reference: the optima.
        index: which one of them.

    Raises:
        ValueError: if the reference does not fit the problem.
    """
    z, u, p = (x[:, index].double() for x in (reference.z, reference.u, reference.costate))
    if (len(u), z.shape[-1], u.shape[-1]) != (problem.steps, problem.state_dim, problem.control_dim):
        raise ValueError(
            f"the reference has {len(u)} steps of {z.shape[-1]} states and {u.shape[-1]} controls; "
            f"{type(problem).__name__} has {problem.steps} of {problem.state_dim} and {problem.control_dim}"
        )
    n, b = problem.state_dim, problem.state_block
    count, dt = n // b, problem.time_step
    t = reference.t[:-1].double()
    model = step_model(problem, t, z[:-1], u, p[1:], dt)
    hessian, jacobian = _blocks(model.hessian, n, count), _blocks(model.jacobian, n, count)
    free = (~_pushed(problem, u, model.gradient[:, n:])).double().unflatten(-1, (count, -1))
    end = torch.func.hessian(lambda x: problem.terminal_cost(x.unsqueeze(0)).squeeze(0))(z[-1])
    curvature = [_positive(_blocks(end.unsqueeze(0), n, count)[0])]
    gains: list[Tensor] = []
    for k in reversed(range(len(u))):
        q = hessian[k] + jacobian[k].mT @ curvature[-1] @ jacobian[k]
        both = free[k].unsqueeze(-1) * free[k].unsqueeze(-2)
        inner = _positive(q[:, b:, b:] * both + torch.diag_embed(1 - free[k]) * q[:, b:, b:].abs().amax())
        gain = -torch.linalg.solve(inner, free[k].unsqueeze(-1) * q[:, b:, :b])
        whole = q[:, :b, :b] + q[:, :b, b:] @ gain + gain.mT @ q[:, b:, :b] + gain.mT @ q[:, b:, b:] @ gain
        curvature.append(_positive(whole))
        gains.append(gain)
    costs = torch.cat([advance(problem, t, z[:-1], u, dt)[1], problem.terminal_cost(z[-1:])])
    value = costs.flip(0).cumsum(0).flip(0)
    return AgentExpansion(value, z, p, torch.stack(curvature[::-1]), u, torch.stack(gains[::-1]))


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
    values, vectors = torch.linalg.eigh(0.5 * (matrix + matrix.mT))
    values = values.clamp_min(LEAST * values.amax(-1, keepdim=True).clamp_min(LEAST))
    return (vectors * values.unsqueeze(-2)) @ vectors.mT


def _pushed(problem: Problem, u: Tensor, slope: Tensor) -> Tensor:
    """Controls that a bound holds against a slope of the cost; an interior-point method leaves them beside it."""
    low, high = problem.control_bounds(u)
    near = 1e-5 * (high - low)
    return held(torch.where(u <= low + near, low, torch.where(u >= high - near, high, u)), -slope, (low, high))
