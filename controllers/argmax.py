"""u* = argmax_u H(t, z, p, u) on the box [low, high], as a fixed point u = T(u) that can be differentiated."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from ..envs.problem import ControlHamiltonian, Problem
from .hamiltonian import control_hamiltonian

Gradient: TypeAlias = Literal["jfb", "implicit", "unroll"]
Box: TypeAlias = tuple[Tensor, Tensor]
STEP_LENGTHS = tuple(2.0**-k for k in (0, 1, 2, 4, 6, 9, 12, 16, 20, 24))


@dataclasses.dataclass(frozen=True)
class GradientAscent:
    """The operator of the slides: T(u) = P(u + α ∇_u H), P the projection on [low, high] (eq. 5 and below)."""

    step_size: float

    def __post_init__(self) -> None:
        if not self.step_size > 0:
            raise ValueError(f"GradientAscent.step_size is {self.step_size!r}; expected a positive number")

    def iterate(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box) -> Tensor:
        """T(u), ``(B, m)``; ``slope`` is ∇_u H at u."""
        return (u + self.step_size * slope).clamp(*box)

    def linearised(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box) -> Tensor:
        """T(u) = P(u + α slope) once more, the slope tracked."""
        return self.iterate(h, u, slope, box)


@dataclasses.dataclass(frozen=True)
class ProjectedNewton:
    """T(u) = P(u - s H_uu^-1 ∇_u H) on the controls that are free, s by backtracking on H in each block.

    Close to u* every s is 1. There ∂T/∂u = I - H_uu^-1 H_uu = 0 with the inverse held constant, hence
    (I - ∂T/∂u)^-1 ∂T/∂θ = ∂T/∂θ: the JFB gradient is the exact implicit gradient (slides, eq. 6).
    """

    backtracks: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.backtracks <= len(STEP_LENGTHS):
            raise ValueError(f"ProjectedNewton.backtracks is {self.backtracks!r}; expected 1 to {len(STEP_LENGTHS)}")

    def iterate(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box) -> Tensor:
        """T(u): of the first ``backtracks`` of STEP_LENGTHS the longest that raises H enough (Armijo), by block."""
        low, high = box
        direction = newton_direction(h, u, slope, box)
        # A step longer than the box says only that the curvature is small; H may overflow that far out.
        reach = ((high - low) / direction.abs().clamp_min(1e-30)).amin(-1, keepdim=True).clamp_max(1.0)
        direction = reach * direction
        lengths = torch.tensor(STEP_LENGTHS[: self.backtracks], dtype=u.dtype, device=u.device).reshape(-1, 1, 1)
        candidates = (u + lengths * direction).clamp(low, high)
        before, after = h.value(u), h.value(candidates)
        blocks = before.shape[-1]
        gain = _blocked((candidates - u) * slope, blocks).sum(-1)
        rounding = 8 * torch.finfo(u.dtype).eps * (1 + before.abs())
        longest = ((after >= before + 1e-4 * gain - rounding) * lengths).amax(0)
        return (u + (longest.unsqueeze(-1) * _blocked(direction, blocks)).flatten(-2)).clamp(low, high)

    def linearised(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box) -> Tensor:
        """P(u - H_uu^-1 slope) once more, the slope tracked and the inverse held constant."""
        return (u + newton_direction(h, u, slope, box)).clamp(*box)


Operator: TypeAlias = GradientAscent | ProjectedNewton


class Solution(NamedTuple):
    """What ``solve_argmax`` found, by sample.

    Attributes:
        control: ``(B, m)`` u*.
        residual: ``(B,)`` largest component of the projected ∇_u H, relative to 1 + |∇_u H at the start value 0|,
            which is 1 + |p·f_u| wherever L_u(0) = 0.
        iterations: ``(B,)`` applications of T.
        converged: ``(B,)`` residual <= tolerance.
    """

    control: Tensor
    residual: Tensor
    iterations: Tensor
    converged: Tensor


def solve_argmax(
    problem: Problem,
    t: Tensor | float,
    z: Tensor,
    p: Tensor,
    *,
    operator: Operator | None = None,
    gradient: Gradient = "jfb",
    u0: Tensor | None = None,
    max_iterations: int = 10,
    tolerance: float = 1e-6,
    tracked: int = 1,
) -> Solution:
    """u* = argmax_u H(t, z, p, u) by iterating u <- T(u); differentiable in z and p.

    Every sample runs ``max_iterations`` times or until its residual is at most ``tolerance``, then is frozen by
    mask: nothing is read back to the host. ``tolerance=0`` runs every iteration. The derivative of u* is

        unroll    every iteration differentiated; memory grows with their number
        implicit  (I - ∂T/∂u)^-1 ∂T/∂θ, a linear solve per (t, z)                           (slides, eq. 6)
        jfb       ∂T/∂θ at u*: ``tracked`` applications differentiated, no solve, constant memory

    Args:
        problem: gives f, L and the bounds.
        t: time, ``()`` or ``(B,)``.
        z: states, ``(B, n)``.
        p: costates ∇_z phi, ``(B, n)``.
        operator: ``ProjectedNewton()`` (default) or ``GradientAscent(step_size)``.
        gradient: how to differentiate.
        u0: where to start, ``(B, m)``; the problem's own start or the control nearest to 0 unless given.
        max_iterations: applications of T at most.
        tolerance: on ``Solution.residual``.
        tracked: how many applications ``"jfb"`` differentiates.

    Raises:
        ValueError: on a shape, dtype or option that does not fit. Non-convergence is reported, not raised.
    """
    operator = ProjectedNewton() if operator is None else operator
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    _check(problem, t, z, p, u0, operator, gradient, max_iterations, tolerance, tracked)
    box = problem.control_bounds(z)
    tracking = torch.is_grad_enabled()
    if gradient == "unroll":
        return _iterate(control_hamiltonian(problem, t, z, p), box, operator, u0, max_iterations, tolerance)
    with torch.no_grad():
        fixed = control_hamiltonian(problem, t, z.detach(), p.detach())
        solution = _iterate(fixed, box, operator, u0, max_iterations, tolerance)
    if not (tracking and (z.requires_grad or p.requires_grad or torch.compiler.is_compiling())):
        return solution
    h = control_hamiltonian(problem, t, z, p)
    u = solution.control.detach()
    if gradient == "implicit":
        u = u + newton_direction(fixed, u, h.gradient(u), box)
    else:
        for _ in range(tracked):
            u = operator.linearised(fixed, u, h.gradient(u), box)
    # The forward value stays u* to the last bit, whichever derivative was asked for.
    return solution._replace(control=solution.control + (u - u.detach()))


def _iterate(
    h: ControlHamiltonian, box: Box, operator: Operator, u0: Tensor | None, max_iterations: int, tolerance: float
) -> Solution:
    """u <- T(u), each sample frozen by mask once it has converged."""
    start = h.start()
    u = (start if u0 is None else u0.detach()).clamp(*box)
    scale = 1 + h.gradient(torch.zeros_like(start)).norm(dim=-1)
    slope = h.gradient(u)
    residual = _residual(u, slope, box, scale)
    iterations = torch.zeros_like(residual, dtype=torch.int32)
    for _ in range(max_iterations):
        moving = residual > tolerance if tolerance > 0 else torch.ones_like(residual, dtype=torch.bool)
        if _host_may_look(moving) and not moving.numpy().any():
            break
        u = torch.where(moving.unsqueeze(-1), operator.iterate(h, u, slope, box), u)
        slope = h.gradient(u)
        residual = _residual(u, slope, box, scale)
        iterations = iterations + moving
    return Solution(u, residual, iterations, residual <= tolerance)


def _host_may_look(x: Tensor) -> bool:
    """Whether a value can be read at no cost: eager, on the CPU. Elsewhere masks do the same work without a look."""
    plain = x.device.type == "cpu" and type(x) is Tensor and not torch.compiler.is_compiling()
    return plain and _get_current_dispatch_mode() is None


def newton_direction(h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box) -> Tensor:
    """-H_uu^-1 slope on the free controls, 0 on those held by an active bound; differentiable in ``slope`` alone."""
    with torch.no_grad():
        curvature = -h.hessian(u.detach())
        blocks, size = curvature.shape[-3], curvature.shape[-1]
        free = _blocked(torch.where(_held(u, slope, box), 0.0, torch.ones_like(u)), blocks)
        both = free.unsqueeze(-1) * free.unsqueeze(-2)
        identity = torch.eye(size, dtype=u.dtype, device=u.device)
        curvature = curvature * both + identity * (1 - both)
    return solve_blocks(curvature, free * _blocked(slope, blocks)).flatten(-2)


def solve_blocks(matrix: Tensor, right: Tensor, floor: float = 1e-8) -> Tensor:
    """x with ``matrix`` x = ``right`` for symmetric ``(..., b, b)`` blocks, by L D Lᵀ, unrolled because b is small.

    A pivot d that is not positive becomes max(|d|, floor): what is solved stays positive definite, so a Newton
    direction stays a direction of ascent where H is not concave (Gill and Murray's modified factorisation).
    LAPACK's Cholesky takes its place where that is faster and every block turns out positive definite.
    """
    size = matrix.shape[-1]
    if _host_may_look(matrix) and size > 1:
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if not failed.numpy().any():
            return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
    rest = [list(row.unbind(-1)) for row in matrix.unbind(-2)]
    x, pivots = list(right.unbind(-1)), []
    for j in range(size):  # forward: x <- L^-1 x, and rest keeps the columns of L
        pivots.append(rest[j][j].abs().clamp_min(floor))
        column = [rest[i][j] for i in range(size)[j + 1 :]]
        for i, entry in enumerate(column, j + 1):
            for k in range(j + 1, i + 1):
                rest[i][k] = rest[i][k] - entry * column[k - j - 1] / pivots[j]
            rest[i][j] = entry / pivots[j]
            x[i] = x[i] - rest[i][j] * x[j]
    for j in reversed(range(size)):  # backward: x <- L^-T D^-1 x
        x[j] = x[j] / pivots[j]
        for i in range(j + 1, size):
            x[j] = x[j] - rest[i][j] * x[i]
    return torch.stack(x, -1)


def _blocked(u: Tensor, blocks: int) -> Tensor:
    return u.unflatten(-1, (blocks, -1))


def _held(u: Tensor, slope: Tensor, box: Box) -> Tensor:
    """Controls at a bound that ∇_u H pushes against: the active set."""
    low, high = box
    return ((u <= low) & (slope < 0)) | ((u >= high) & (slope > 0))


def _residual(u: Tensor, slope: Tensor, box: Box, scale: Tensor) -> Tensor:
    return torch.where(_held(u, slope, box), 0.0, slope).abs().amax(-1) / scale


def _check(
    problem: Problem,
    t: Tensor,
    z: Tensor,
    p: Tensor,
    u0: Tensor | None,
    operator: object,
    gradient: str,
    max_iterations: int,
    tolerance: float,
    tracked: int,
) -> None:
    name, n, m = type(problem).__name__, problem.state_dim, problem.control_dim
    if z.ndim != 2 or z.shape[1] != n:
        raise ValueError(f"z has shape {tuple(z.shape)}; {name} has state_dim {n}, expected (B, {n})")
    if p.shape != z.shape or p.dtype != z.dtype:
        raise ValueError(
            f"p is {tuple(p.shape)} {p.dtype}; expected the shape and dtype of z, {tuple(z.shape)} {z.dtype}"
        )
    if not z.dtype.is_floating_point:
        raise ValueError(f"z has dtype {z.dtype}; expected a floating-point dtype")
    if t.shape not in ((), z.shape[:1]):
        raise ValueError(f"t has shape {tuple(t.shape)}; expected () or ({len(z)},)")
    if u0 is not None and u0.shape != (len(z), m):
        raise ValueError(f"u0 has shape {tuple(u0.shape)}; {name} has control_dim {m}, expected ({len(z)}, {m})")
    if not isinstance(operator, GradientAscent | ProjectedNewton):
        raise ValueError(f"operator is {operator!r}; expected ProjectedNewton() or GradientAscent(step_size)")
    if gradient not in ("jfb", "implicit", "unroll"):
        raise ValueError(f"gradient is {gradient!r}; expected 'jfb', 'implicit' or 'unroll'")
    if max_iterations < 1 or tracked < 1 or not tolerance >= 0:
        raise ValueError(
            f"max_iterations={max_iterations}, tracked={tracked}, tolerance={tolerance}; expected >= 1, >= 1, >= 0"
        )
