"""u* = argmax_u H(t, z, p, u) on the box [low, high], as a fixed point u = T(u) that can be differentiated."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ..envs.problem import ControlHamiltonian, Problem
from .anderson import Past, accelerated
from .hamiltonian import control_hamiltonian
from .implicit import ImplicitGradient
from .operators import Box, GradientAscent, Operator, ProjectedNewton, held, host_may_look
from .starts import pick_blocks, region_starts

Gradient: TypeAlias = Literal["jfb", "implicit", "unroll"]
Starts: TypeAlias = Literal["single", "global"]


class Solution(NamedTuple):
    """What ``solve_argmax`` found, by sample.

    Attributes:
        control: ``(B, m)`` u*.
        residual: ``(B,)`` largest component of the projected ∇_u H, relative to 1 + |∇_u H at the start value 0|,
            which is 1 + |p·f_u| wherever L_u(0) = 0.
        iterations: ``(B,)`` applications of T.
        converged: ``(B,)`` residual <= tolerance.
        start: ``(B, m / block)`` from where each block was climbed: 0 is the problem's own start (or ``u0``), k > 0 the
            k-th region of ``starts="global"``.
    """

    control: Tensor
    residual: Tensor
    iterations: Tensor
    converged: Tensor
    start: Tensor


def solve_argmax(
    problem: Problem,
    t: Tensor | float,
    z: Tensor,
    p: Tensor,
    *,
    operator: Operator | None = None,
    gradient: Gradient | ImplicitGradient = "jfb",
    u0: Tensor | None = None,
    max_iterations: int = 10,
    tolerance: float = 1e-6,
    starts: Starts = "single",
    jfb_steps: int = 1,
) -> Solution:
    """u* = argmax_u H(t, z, p, u) by iterating u <- T(u); differentiable in z and p.

    Every sample runs ``max_iterations`` times or until its residual is at most ``tolerance``, then is frozen by
    mask: nothing is read back to the host. ``tolerance=0`` runs every iteration. The derivative of u* is

        unroll    every iteration differentiated; memory grows with their number
        implicit  (I - ∂T/∂u)^-1 ∂T/∂θ, a linear solve per (t, z)                           (slides, eq. 6)
        jfb       ∂T/∂θ at u*: ``jfb_steps`` applications differentiated, no solve, constant memory

    On an active bound u* does not move, and all three give 0 for that control. Where the global maximum jumps from one
    branch to another, u* has no derivative: all three give that of the branch that was chosen, and none sees the jump.

    Args:
        problem: gives f, L and the bounds.
        t: time, ``()`` or ``(B,)``.
        z: states, ``(B, n)``.
        p: costates ∇_z phi, ``(B, n)``.
        operator: ``ProjectedNewton()`` (default) or ``GradientAscent(step_size)``.
        gradient: how to differentiate; ``ImplicitGradient(...)`` also says how the linear system is solved.
        u0: where to start, ``(B, m)``; the problem's own start or the control nearest to 0 unless given.
        max_iterations: applications of T at most.
        tolerance: on ``Solution.residual``.
        starts: ``"single"`` climbs from one start, which is enough where H is concave in u or the problem's own start
            is known to be in reach of the global maximum. ``"global"`` also climbs from the best point of a grid in
            each of several regions of [low, high], bounds included, and keeps the best by block.
        jfb_steps: how many applications ``"jfb"`` differentiates.

    Raises:
        ValueError: on a shape, dtype or option that does not fit. Non-convergence is reported, not raised.
    """
    operator = ProjectedNewton() if operator is None else operator
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    _check(problem, t, z, p, u0, operator, gradient, starts, max_iterations, tolerance, jfb_steps)
    box = problem.control_bounds(z)
    tracking = torch.is_grad_enabled() and (z.requires_grad or p.requires_grad or torch.compiler.is_compiling())
    if tracking and gradient == "unroll" and starts == "single":
        return _unrolled(problem, t, z, p, u0, box, operator, max_iterations, tolerance)
    with torch.no_grad():
        fixed = control_hamiltonian(problem, t, z.detach(), p.detach())
        if starts == "global":
            begin, solution = _climb_all(fixed, box, operator, u0, max_iterations, tolerance, problem.control_block)
        else:
            begin = fixed.start() if u0 is None else u0.detach()
            solution = _iterate(fixed, box, operator, begin, max_iterations, tolerance)
    if not tracking:
        return solution
    h = control_hamiltonian(problem, t, z, p)
    u = solution.control.detach()
    if gradient == "unroll":
        u = _iterate(h, box, operator, begin, max_iterations, tolerance, least=1).control
    elif gradient == "implicit" or isinstance(gradient, ImplicitGradient):
        solver = gradient if isinstance(gradient, ImplicitGradient) else ImplicitGradient()
        u = u + solver.direction(fixed, u, h.gradient(u), box, problem.control_block)
    else:
        for _ in range(jfb_steps):
            u = operator.linearised(fixed, u, h.gradient(u), box)
    # The forward value stays u* to the last bit, whichever derivative was asked for.
    return solution._replace(control=solution.control + (u - u.detach()))


def _unrolled(
    problem: Problem, t: Tensor, z: Tensor, p: Tensor, u0: Tensor | None, box: Box, operator: Operator,
    iterations: int, tolerance: float,
) -> Solution:  # fmt: skip
    """One search, every iteration differentiated: at least one, also where the start needs none, but not its value."""
    h = control_hamiltonian(problem, t, z, p)
    with torch.no_grad():
        begin = (h.start() if u0 is None else u0).clamp(*box)
        slope = h.gradient(begin)
        still = projected_residual(begin, slope, box, slope_scale(h, begin)) <= tolerance
        still = still & (tolerance > 0)
    found = _iterate(h, box, operator, begin, iterations, tolerance, least=1)
    value = torch.where(still.unsqueeze(-1), begin, found.control.detach())
    control = value + (found.control - found.control.detach())
    residual = found.residual.detach()
    return Solution(control, residual, torch.where(still, 0, found.iterations), residual <= tolerance, found.start)


def _climb_all(
    h: ControlHamiltonian, box: Box, operator: Operator, u0: Tensor | None, iterations: int, tolerance: float, size: int
) -> tuple[Tensor, Solution]:
    """Climb from every start and keep, by block, where H ended highest; returns the starts that won, too."""
    begin = region_starts(h, box, u0, size)
    found = _iterate(h, box, operator, begin, iterations, tolerance)
    value = torch.nan_to_num(h.value(found.control), nan=-torch.inf)
    best = value.argmax(0)
    u, start = (pick_blocks(x, best) for x in (found.control, begin))
    slope = h.gradient(u)
    residual = projected_residual(u, slope, box, slope_scale(h, u))
    spent = found.iterations.unsqueeze(-1).expand(value.shape).gather(0, best.unsqueeze(0)).squeeze(0).amax(-1)
    return start, Solution(u, residual, spent, residual <= tolerance, best)


def _iterate(
    h: ControlHamiltonian,
    box: Box,
    operator: Operator,
    u0: Tensor,
    max_iterations: int,
    tolerance: float,
    least: int = 0,
) -> Solution:
    """u <- T(u) from ``u0 (.., B, m)``, ``least`` times and then each sample until it has converged, frozen by mask."""
    u = u0.clamp(*box)
    scale = slope_scale(h, u)
    slope = h.gradient(u)
    residual = projected_residual(u, slope, box, scale)
    iterations = torch.zeros_like(residual, dtype=torch.int32)
    past: tuple[Past, ...] = ()
    for count in range(max_iterations):
        always = tolerance == 0 or count < least
        moving = torch.ones_like(residual, dtype=torch.bool) if always else residual > tolerance
        if host_may_look(moving) and not moving.numpy().any():
            break
        after = operator.iterate(h, u, slope, box)
        if operator.memory:
            after, past = accelerated(h, u, after, past, box, operator.memory)
        u = torch.where(moving.unsqueeze(-1), after, u)
        slope = h.gradient(u)
        residual = projected_residual(u, slope, box, scale)
        iterations = iterations + moving
    own = torch.zeros_like(h.value(u), dtype=torch.int64)
    return Solution(u, residual, iterations, residual <= tolerance, own)


def slope_scale(h: ControlHamiltonian, u: Tensor) -> Tensor:
    """1 + |∇_u H at u = 0|, ``(.., B)``: what residuals are relative to."""
    return 1 + h.gradient(torch.zeros_like(u)).norm(dim=-1)


def projected_residual(u: Tensor, slope: Tensor, box: Box, scale: Tensor) -> Tensor:
    """Largest component of ∇_u H = ``slope`` that no active bound holds, relative to ``scale``, ``(.., B)``."""
    return torch.where(held(u, slope, box), 0.0, slope).abs().amax(-1) / scale


def _check(
    problem: Problem,
    t: Tensor,
    z: Tensor,
    p: Tensor,
    u0: Tensor | None,
    operator: object,
    gradient: Gradient | ImplicitGradient,
    starts: str,
    max_iterations: int,
    tolerance: float,
    jfb_steps: int,
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
    if gradient not in ("jfb", "implicit", "unroll") and not isinstance(gradient, ImplicitGradient):
        raise ValueError(f"gradient is {gradient!r}; expected 'jfb', 'implicit', 'unroll' or ImplicitGradient(...)")
    if starts not in ("single", "global"):
        raise ValueError(f"starts is {starts!r}; expected 'single' or 'global'")
    if max_iterations < 1 or jfb_steps < 1 or not tolerance >= 0:
        raise ValueError(
            f"max_iterations={max_iterations}, jfb_steps={jfb_steps}, tolerance={tolerance}; expected >= 1, >= 1, >= 0"
        )
