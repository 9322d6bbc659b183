"""What agents that meet add to the second-order model of a control step, exactly, stage by stage of Runge-Kutta."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...envs.integrate import runge_kutta
from ...envs.problem import Problem
from .sweeps import grad_of


class Meeting(NamedTuple):
    """The part of ℓ_yy in which agents meet: Σ_s turn_sᵀ between_s turn_s over the S stages of the Runge-Kutta step.

    Of an agent's states only the first c, those that the others feel, take part.

    Attributes:
        turn: ``(S, K, B, N, c, d)`` those states of each agent at stage s, differentiated in its y.
        between: ``(S, K, B, N c, N c)`` the weight of the stage times ∇² of the cost of meeting, there.
    """

    turn: Tensor
    between: Tensor

    def rows(self, index: Tensor) -> Meeting:
        """Those flights."""
        return Meeting(self.turn.index_select(2, index), self.between.index_select(2, index))

    def times(self, dy: Tensor) -> Tensor:
        """ℓ_yy dy of it, ``(K, B, N, d, 1)``."""
        met = self.turn @ dy
        felt = self.between @ met.flatten(-3, -2)
        return (self.turn.mT @ felt.reshape(met.shape)).sum(0)

    def together(self) -> Tensor:
        """What an agent feels where all others do as it does, symmetric: the sums of each one's rows."""
        felt = (self.between @ self.turn.flatten(-3, -2)).reshape(self.turn.shape)
        rows = (self.turn.mT @ felt).sum(0)
        return 0.5 * (rows + rows.mT)

    def own(self) -> Tensor:
        """What an agent feels where the others stay: the blocks on the diagonal, ``(K, B, N, d, d)``."""
        count, c = self.turn.shape[-3:-1]
        blocks = self.between.unflatten(-1, (count, c)).unflatten(-3, (count, c)).diagonal(dim1=-4, dim2=-2)
        return (self.turn.mT @ blocks.movedim(-1, -3) @ self.turn).sum(0)


def meeting(problem: Problem, t: Tensor, y: Tensor, b: int) -> Meeting:
    """That of the steps at ``t (K, B)`` from ``y (K, B, N, d)`` whose first ``b`` of d are states.

    The stages z_s are functions of y, agent by agent, and L of the step is Σ_s weight_s L(t_s, z_s, u) (``advance``):
    with its ∇² in z, ``problem.coupling``, ℓ_yy is exact.
    """
    count = y.shape[-2]
    flat, times = y.flatten(0, 1), t.flatten()
    pieces, h = problem.substeps, problem.time_step / problem.substeps

    def stages(v: Tensor) -> Tensor:
        z, u, found = v[..., :b].flatten(-2), v[..., b:].flatten(-2), []
        for k in range(pieces):
            begin = times + k * h
            second = z + (0.5 * h) * problem.dynamics(begin, z, u)
            third = z + (0.5 * h) * problem.dynamics(begin + 0.5 * h, second, u)
            fourth = z + h * problem.dynamics(begin + 0.5 * h, third, u)
            found += [z, second, third, fourth]
            z = z if k + 1 == pieces else runge_kutta(problem, begin, z, u, h)[0]
        return torch.stack(found).unflatten(-1, (count, b))

    weights, later = (h / 6, h / 3, h / 3, h / 6) * pieces, [k + x for k in range(pieces) for x in (0.0, 0.5, 0.5, 1.0)]
    found = []
    for z, weight, share in zip(stages(flat), weights, later, strict=True):
        between = problem.coupling(times + share * h, z.flatten(-2))
        assert between is not None
        found.append((weight * between).flatten(-4, -3).flatten(-2))
    c = found[0].shape[-1] // count
    with torch.enable_grad():
        v = flat.detach().requires_grad_()
        felt = stages(v)[..., :c]
        turn = torch.stack([torch.stack([grad_of(z[..., i], v) for i in range(c)], -2) for z in felt])
    return Meeting(*(x.unflatten(1, y.shape[:2]) for x in (turn, torch.stack(found))))
