"""How the operator T contracts: ∂T/∂u and H_uu at u*, and over the whole box of admissible controls."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor

from ...controllers.operators import Operator, in_blocks
from ...envs.problem import ControlHamiltonian, Problem
from .law import Law

DRAWS = 64
"""Controls drawn from the box at each (t, z), Sobol's sequence; as many corners as ``CORNERS`` besides."""
CORNERS = 16
STARTS = 8
"""Of the draws, those from which the operator is iterated."""
ITERATIONS = 100
DIFFERENCE = 1e-6
"""Half the distance of the differences that measure ∂T/∂u, relative to 1 + |u|."""


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """N points (t, z) with their u*: t ``(N,)``, z ``(N, n)``, u and free ``(N, m)``."""

    law: Law
    t: Tensor
    z: Tensor
    u: Tensor
    free: Tensor

    @property
    def problem(self) -> Problem:
        return self.law.problem

    @property
    def blocks(self) -> int:
        return self.problem.control_dim // self.law.block

    @torch.no_grad()
    def h(self, whole: bool = False) -> ControlHamiltonian:
        """u -> H at the points, phi's weights held; see ``Law.at``."""
        return self.law.at(self.t, self.z, whole)


@dataclasses.dataclass(frozen=True)
class Example:
    """A point at which H is not strictly concave in u: which of the points, of the controls, and the curvature."""

    point: int
    control: tuple[float, ...]
    first: int
    curvature: float


@torch.no_grad()
def curvature_at(points: Points) -> Tensor:
    """Eigenvalues of -H_uu at u* on the free controls, ``(N, m)``, NaN in place of those held."""
    return free_curvature(-points.h(whole=True).hessian(points.u), points.free)


def free_curvature(curvature: Tensor, free: Tensor) -> Tensor:
    """Eigenvalues of ``(N, m / b, b, b)`` blocks on the free controls, ``(N, m)``, NaN in place of those held."""
    free = in_blocks(free, curvature.shape[-3])
    both = free.unsqueeze(-1) & free.unsqueeze(-2)
    curvature = torch.where(both, curvature, 0.0)
    # Held controls get an eigenvalue above all others: as many come last as there are.
    above = 2 * (1 + curvature.abs().sum((-2, -1), keepdim=True))
    curvature = curvature + torch.diag_embed((~free).to(curvature)) * above
    values = torch.linalg.eigvalsh(curvature)
    index = torch.arange(values.shape[-1], device=values.device)
    return torch.where(index < free.sum(-1, keepdim=True), values, torch.nan).flatten(-2)


def linearise(points: Points, operator: Operator, whole: bool = False) -> tuple[Tensor, Tensor]:
    """∂T/∂u at u*, and ∂T/∂(∇_u H), on the free controls; blocks ``(N, m / b, b, b)``, 0 where one is held.

    This is the T that the backward pass differentiates: Newton's with its inverse held constant; ``whole`` with the
    true H_uu, where T makes do with blocks of it.
    """
    h = points.h(whole)
    u = points.u.detach().requires_grad_()
    shift = torch.zeros_like(u).requires_grad_()
    after = operator.linearised(h, u, h.gradient(u) + shift, points.problem.control_bounds(u))
    size, rows = points.law.block, []
    for i in range(size):
        seed = (torch.arange(u.shape[-1], device=u.device) % size == i).to(u).expand_as(u)
        found = torch.autograd.grad(after, (u, shift), seed, retain_graph=True)
        rows.append([in_blocks(row, points.blocks) for row in found])
    free = in_blocks(points.free, points.blocks)
    both = free.unsqueeze(-1) & free.unsqueeze(-2)
    by_u, by_slope = (torch.stack([row[i] for row in rows], -2) for i in range(2))
    return torch.where(both, by_u, 0.0), torch.where(both, by_slope, 0.0)


def draw_box(problem: Problem, like: Tensor, seed: int) -> Tensor:
    """Admissible controls ``(S, m)``: Sobol's sequence, then corners, 0.1 % inside so that T is smooth there."""
    low, high = problem.control_bounds(like)
    size, m = problem.control_block, problem.control_dim
    inside = torch.quasirandom.SobolEngine(m, scramble=True, seed=seed).draw(DRAWS, dtype=torch.float64)
    if size <= 4:
        corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=size)), dtype=torch.float64)
        corners = corners.repeat(1, m // size)
    else:
        generator = torch.Generator().manual_seed(seed)
        corners = torch.randint(0, 2, (CORNERS, m), generator=generator).double()
    share = torch.cat([inside, 0.001 + 0.998 * corners]).to(like)
    return low + share * (high - low)


@torch.no_grad()
def box_curvature(points: Points, draws: Tensor) -> Tensor:
    """Eigenvalues of -H_uu at every draw, ``(S, N, m / b, b)``; NaN where H_uu is not finite."""
    h = points.h(whole=True)
    curvature = torch.stack([-h.hessian(u) for u in _everywhere(draws, points)])
    finite = curvature.isfinite().all(-1).all(-1)
    values = torch.linalg.eigvalsh(torch.where(finite[..., None, None], curvature, 0.0))
    return torch.where(finite.unsqueeze(-1), values, torch.nan)


def worst_example(values: Tensor, draws: Tensor, size: int) -> Example | None:
    """Where H is most convex in u, of ``box_curvature``; ``None`` where it is concave at every draw."""
    least = torch.nan_to_num(values[..., 0], nan=torch.inf)
    s, n, block = (int(i) for i in torch.unravel_index(least.argmin(), least.shape))
    lowest = float(least[s, n, block])
    if lowest > 0:
        return None
    first = block * size
    return Example(n, tuple(draws[s, first : first + size].tolist()), first, -lowest)


def box_gamma(points: Points, operator: Operator, draws: Tensor) -> Tensor:
    """‖∂T/∂u‖₂ of one full step at every draw, ``(S, N)``, by central differences, projection included.

    The largest over a convex box is the Lipschitz constant of T on it. Newton's inverse is not held constant here: this
    is the step that is iterated, but for its backtracking.
    """
    h, box, size = points.h(), points.problem.control_bounds(draws), points.law.block
    u = _everywhere(draws, points)
    columns = []
    with torch.no_grad():
        for j in range(size):
            seed = (torch.arange(u.shape[-1], device=u.device) % size == j).to(u)
            step = DIFFERENCE * (1 + u.abs()) * seed
            ahead, behind = (operator.linearised(h, v, h.gradient(v), box) for v in (u + step, u - step))
            own = in_blocks(step, points.blocks).select(-1, j).unsqueeze(-1)
            columns.append(in_blocks(ahead - behind, points.blocks) / (2 * own))
        by_u = torch.stack(columns, -1)
        finite = by_u.isfinite().all(-1).all(-1)
        norm = torch.linalg.matrix_norm(torch.where(finite[..., None, None], by_u, 0.0), ord=2)
    return torch.where(finite, norm, torch.inf).amax(-1)


@torch.no_grad()
def share_reached(points: Points, operator: Operator, draws: Tensor) -> float:
    """Share of blocks of controls that ``ITERATIONS`` applications of T bring to u* from draws of the box."""
    count, reached = len(points.z), []
    for u0 in draws[:STARTS]:
        found = points.law.solve(points.t, points.z, operator, ITERATIONS, 1e-10, u0=u0.repeat(count, 1))
        apart = in_blocks(found.control - points.u, points.blocks).norm(dim=-1)
        reached.append(apart <= 1e-4 * (1 + in_blocks(points.u, points.blocks).norm(dim=-1)))
    return float(torch.stack(reached).double().mean())


@torch.no_grad()
def share_beaten(points: Points, draws: Tensor) -> float:
    """Share of blocks of controls for which some draw has a higher H than u*: u* is not the global maximum there."""
    h = points.h()
    top = h.value(points.u)
    others = torch.nan_to_num(h.value(_everywhere(draws, points)), nan=-torch.inf)
    return float((others.amax(0) > top + 1e-9 * (1 + top.abs())).double().mean())


def _everywhere(draws: Tensor, points: Points) -> Tensor:
    """Every draw at every point, ``(S, N, m)``; real copies, for forward derivatives refuse a view by stride 0."""
    return draws.unsqueeze(1).repeat(1, len(points.z), 1)
