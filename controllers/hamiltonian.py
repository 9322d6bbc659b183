"""The generalized Hamiltonian H(t, z, p, u) = -p·f(t, z, u) - L(t, z, u), and u -> H with its derivatives."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ..envs.fields import REAL
from ..envs.problem import ControlHamiltonian, Problem, check_kind
from .looking import host_may_look

FEW = 1024
"""Rows at which an operation takes its launch and little more."""


def hamiltonian(problem: Problem, t: Tensor, z: Tensor, p: Tensor, u: Tensor) -> Tensor:
    """H(t, z, p, u) = -p·f(t, z, u) - L(t, z, u), ``(B,)``: maximised over u (slides, PMP).

    Raises:
        ValueError: if an argument is no tensor, or of another shape than (B, n), (B, n) and (B, m).
    """
    check_tensors(problem, t, z, p, u)
    n = problem.state_dim
    if z.ndim != 2 or z.shape[1] != n or p.shape != z.shape or u.shape[:1] != z.shape[:1]:
        shapes = ", ".join(str(tuple(x.shape)) for x in (z, p, u))
        raise ValueError(f"z, p and u have shapes {shapes}; expected (B, {n}), (B, {n}) and (B, {problem.control_dim})")
    return -(p * problem.dynamics(t, z, u)).sum(-1) - problem.running_cost(t, z, u)


def control_hamiltonian(problem: Problem, t: Tensor, z: Tensor, p: Tensor) -> ControlHamiltonian:
    """u -> H(t, z, p, u): the problem's closed form if it has one, else derived from f and L."""
    return problem.control_hamiltonian(t, z, p) or DerivedHamiltonian(problem, t, z, p)


@dataclasses.dataclass(frozen=True)
class DerivedHamiltonian:
    """u -> H(t, z, p, u) with derivatives by ``torch.func``; ``problem.control_block`` seeds a Hessian.

    One reverse sweep gives ∇_u H; a second one through it, for each row of a block, gives that row of every block at
    once, because the blocks do not interact. (Forward over reverse takes two to three times the operations.)
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
        columns, back = [], torch.func.vjp(self.gradient, u)[1]
        for j in range(size):
            seed = (torch.arange(u.shape[-1], device=u.device) % size == j).to(u.dtype).expand_as(u)
            columns.append(back(seed)[0].reshape(*u.shape[:-1], -1, size))
        return torch.stack(columns, -1)

    def look(self, u: Tensor, rest: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor | None] | None:
        """∇_u H at u and at 0, H_uu at u, in three sweeps, and H there if it is one block; ``None``: no saving in it.

        u is taken once for each row of a block, so that one sweep back gives all of H_uu: for FEW rows the number of
        operations counts, and not their size.
        """
        size = self.problem.control_block
        if not host_may_look(u) or torch.is_inference_mode_enabled() or (size + 1) * math.prod(u.shape[:-1]) > FEW:
            return None
        with torch.enable_grad():
            rows = torch.cat([u.detach().expand(size, *u.shape), torch.zeros_like(u).unsqueeze(0)]).requires_grad_()
            whole = self.whole(rows)
            slope = _swept_back(whole.sum(), rows, None, more=True)
            seeds = torch.eye(size, dtype=u.dtype, device=u.device).repeat(1, u.shape[-1] // size)
            seeds = torch.cat([seeds, seeds.new_zeros(1, u.shape[-1])]).reshape(-1, *[1] * (u.ndim - 1), u.shape[-1])
            columns = _swept_back(slope, rows, seeds.expand_as(rows))[:size]
        bend = columns.unflatten(-1, (-1, size)).movedim(0, -1)
        value = whole[0].detach().unsqueeze(-1) if size == u.shape[-1] else None
        return slope[0].detach(), slope[-1].detach(), bend, value

    def start(self) -> Tensor:
        """The admissible control nearest to zero, ``(B, m)``."""
        low, high = self.problem.control_bounds(self.z)
        return self.z.new_zeros(len(self.z), len(low)).clamp(low, high)


def _swept_back(y: Tensor, x: Tensor, seed: Tensor | None, more: bool = False) -> Tensor:
    """seed · ∂y/∂x by the tape; 0 where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    found: Tensor = torch.autograd.grad(y, x, seed, create_graph=more, materialize_grads=True)[0]
    return found


def check_tensors(problem: Problem, t: object, z: object, p: object, u0: object) -> None:
    """Refuse what is no problem, no time and no tensors.

    Raises:
        ValueError: saying what came and what was expected.
    """
    check_kind(problem)
    for name, given in (("z", z), ("p", p), ("u0", u0)):
        if not isinstance(given, Tensor) and not (name == "u0" and given is None):
            raise ValueError(f"{name} is a {type(given).__name__}; expected a torch.Tensor")
        if isinstance(given, Tensor) and not given.dtype.is_floating_point:
            raise ValueError(f"{name} has dtype {given.dtype}; expected a floating-point dtype")
    if not isinstance(t, (Tensor, *REAL)) or (isinstance(t, int) and abs(t) > 1e30):
        raise ValueError(f"t is a {type(t).__name__}; expected a number, or a tensor () or (B,)")


def check_point(problem: Problem, t: Tensor, z: Tensor, u0: Tensor | None) -> None:
    """Refuse t, z or u0 of a shape or dtype that does not fit the problem.

    Raises:
        ValueError: saying what came and what was expected.
    """
    name, n, m = type(problem).__name__, problem.state_dim, problem.control_dim
    if z.ndim != 2 or z.shape[1] != n:
        raise ValueError(f"z has shape {tuple(z.shape)}; {name} has state_dim {n}, expected (B, {n})")
    if t.shape not in ((), z.shape[:1]):
        raise ValueError(f"t has shape {tuple(t.shape)}; expected () or ({len(z)},)")
    if u0 is not None and u0.shape != (len(z), m):
        raise ValueError(f"u0 has shape {tuple(u0.shape)}; {name} has control_dim {m}, expected ({len(z)}, {m})")
