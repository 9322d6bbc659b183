"""The generalized Hamiltonian H(t, z, p, u) = -p·f(t, z, u) - L(t, z, u), and u -> H with its derivatives."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..envs.problem import ControlHamiltonian, Problem


def hamiltonian(problem: Problem, t: Tensor, z: Tensor, p: Tensor, u: Tensor) -> Tensor:
    """H(t, z, p, u) = -p·f(t, z, u) - L(t, z, u), ``(B,)``: maximised over u (slides, PMP)."""
    return -(p * problem.dynamics(t, z, u)).sum(-1) - problem.running_cost(t, z, u)


def control_hamiltonian(problem: Problem, t: Tensor, z: Tensor, p: Tensor) -> ControlHamiltonian:
    """u -> H(t, z, p, u): the problem's closed form if it has one, else derived from f and L."""
    return problem.control_hamiltonian(t, z, p) or DerivedHamiltonian(problem, t, z, p)


@dataclasses.dataclass(frozen=True)
class DerivedHamiltonian:
    """u -> H(t, z, p, u) with derivatives by ``torch.func``; ``problem.control_block`` seeds a Hessian.

    One reverse sweep gives ∇_u H; one forward-over-reverse sweep per column of a block gives that column of
    every block at once, because the blocks do not interact.
    """

    problem: Problem
    t: Tensor
    z: Tensor
    p: Tensor

    def whole(self, u: Tensor) -> Tensor:
        """H for ``(..., B, m)`` controls: ``(..., B)``."""
        lead = u.shape[:-1]
        t, z, p = self.t, self.z, self.p
        if u.ndim > 2:
            t = t if t.ndim == 0 else t.expand(lead).reshape(-1)
            z, p = (x.expand(*lead, -1).reshape(-1, x.shape[-1]) for x in (z, p))
        return hamiltonian(self.problem, t, z, p, u.reshape(-1, u.shape[-1])).reshape(lead)

    def value(self, u: Tensor) -> Tensor:
        """H by block. With several blocks each is varied alone: H(u_1, .., u_k) = H(0) + Σ_i (H(u_i, 0) - H(0))."""
        size = self.problem.control_block
        count = u.shape[-1] // size
        if count == 1:
            return self.whole(u).unsqueeze(-1)
        block = torch.arange(u.shape[-1], device=u.device) // size
        alone = block == torch.arange(count, device=u.device).view(-1, *[1] * u.ndim)
        return self.whole(torch.where(alone, u, self.start())).movedim(0, -1)

    def gradient(self, u: Tensor) -> Tensor:
        derivative: Tensor = torch.func.grad(lambda v: self.whole(v).sum())(u)
        return derivative

    def hessian(self, u: Tensor) -> Tensor:
        size = self.problem.control_block
        columns = []
        for j in range(size):
            seed = (torch.arange(u.shape[-1], device=u.device) % size == j).to(u.dtype).expand_as(u)
            column = torch.func.jvp(self.gradient, (u,), (seed,))[1]
            columns.append(column.reshape(*u.shape[:-1], -1, size))
        return torch.stack(columns, -1)

    def start(self) -> Tensor:
        """The admissible control nearest to zero, ``(B, m)``."""
        low, high = self.problem.control_bounds(self.z)
        return self.z.new_zeros(len(self.z), len(low)).clamp(low, high)
