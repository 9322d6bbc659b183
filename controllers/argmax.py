"""u* = argmax_u H(t, z, p, u) on the box [low, high], as a fixed point u = T(u) that can be differentiated."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..envs.problem import ControlHamiltonian, Problem
from .anderson import Past, accelerated
from .hamiltonian import check_point, check_tensors, control_hamiltonian
from .implicit import ImplicitGradient
from .looking import host_may_look
from .operators import (
    Box,
    Look,
    Operator,
    ProjectedNewton,
    look,
    projected_residual,
    raised,
    slope_scale,
)
from .search import Gradient, Search, Starts
from .starts import pick_blocks, region_starts


class Solution(NamedTuple):
    """What ``solve_argmax`` found, by sample.

    Attributes:
        control: ``(B, m)`` u*.
        residual: ``(B,)`` largest component of the projected ∇_u H, each relative to its own 1 + |∂H/∂u_j at u = 0|,
            which is 1 + |p·f_u_j| wherever L_u(0) = 0.
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
    check_tensors(problem, t, z, p, u0)
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    check_point(problem, t, z, u0)
    if p.shape != z.shape or p.dtype != z.dtype:
        raise ValueError(
            f"p is {tuple(p.shape)} {p.dtype}; expected the shape and dtype of z, {tuple(z.shape)} {z.dtype}"
        )
    search = Search(operator, gradient, max_iterations, tolerance, starts, jfb_steps)
    tracking = torch.is_grad_enabled() and (z.requires_grad or p.requires_grad or torch.compiler.is_compiling())
    tracked = control_hamiltonian(problem, t, z, p) if tracking else None
    fixed = tracked if tracked and gradient == "unroll" else control_hamiltonian(problem, t, z.detach(), p.detach())
    return maximise(fixed, tracked, problem.control_bounds(z), problem.control_block, search, u0)


def maximise(
    fixed: ControlHamiltonian,
    tracked: ControlHamiltonian | None,
    box: Box,
    size: int,
    search: Search,
    u0: Tensor | None = None,
) -> Solution:
    """The argmax of any ``ControlHamiltonian`` on a box, in blocks of ``size`` controls: see ``solve_argmax``.

    ``fixed`` is searched without a derivative; ``tracked``, the same function of u, carries that of the answer, and is
    ``None`` where none is wanted.
    """
    if tracked is not None and search.gradient == "unroll" and search.starts == "single":
        return _unrolled(tracked, u0, box, size, search)
    with torch.no_grad():
        if search.starts == "global":
            begin, solution = _climb_all(fixed, box, search, u0, size)
        else:
            begin = fixed.start() if u0 is None else u0.detach()
            solution = iterate(fixed, box, size, search, begin)
    if tracked is None:
        return solution
    u = solution.control.detach()
    if search.gradient == "unroll":
        u = iterate(tracked, box, size, search, begin, least=1).control
    else:
        u = differentiable(fixed, tracked, u, box, size, search)
    # The forward value stays u* to the last bit, whichever derivative was asked for.
    return solution._replace(control=solution.control + (u - u.detach()))


def differentiable(
    fixed: ControlHamiltonian, tracked: ControlHamiltonian, u: Tensor, box: Box, size: int, search: Search
) -> Tensor:
    """u, a fixed point, with the derivative of one: by JFB or by the implicit function theorem."""
    if search.gradient == "implicit" or isinstance(search.gradient, ImplicitGradient):
        solver = search.gradient if isinstance(search.gradient, ImplicitGradient) else ImplicitGradient()
        return u + solver.direction(fixed, u, tracked.gradient(u), box, size)
    for _ in range(search.jfb_steps):
        u = search.operator.linearised(fixed, u, tracked.gradient(u), box)
    return u


def _unrolled(h: ControlHamiltonian, u0: Tensor | None, box: Box, size: int, search: Search) -> Solution:
    """One search, every iteration differentiated: at least one, also where the start needs none, but not its value."""
    tolerance = search.tolerance
    with torch.no_grad():
        begin = (h.start() if u0 is None else u0).clamp(*box)
        still = projected_residual(begin, h.gradient(begin), box, slope_scale(h, begin)) <= tolerance
        still = still & (tolerance > 0)
    found = iterate(h, box, size, search, begin, least=1)
    value = torch.where(still.unsqueeze(-1), begin, found.control.detach())
    control = value + (found.control - found.control.detach())
    residual = found.residual.detach()
    return Solution(control, residual, torch.where(still, 0, found.iterations), residual <= tolerance, found.start)


def _climb_all(
    h: ControlHamiltonian, box: Box, search: Search, u0: Tensor | None, size: int
) -> tuple[Tensor, Solution]:
    """Climb from every start and keep, by block, where H ended highest; returns the starts that won, too."""
    begin = region_starts(h, box, u0, size)
    found = iterate(h, box, size, search, begin)
    value = torch.nan_to_num(h.value(found.control), nan=-torch.inf)
    best = value.argmax(0)
    u, start = (pick_blocks(x, best) for x in (found.control, begin))
    slope = h.gradient(u)
    residual = projected_residual(u, slope, box, slope_scale(h, u))
    spent = found.iterations.unsqueeze(-1).expand(value.shape).gather(0, best.unsqueeze(0)).squeeze(0).amax(-1)
    return start, Solution(u, residual, spent, residual <= search.tolerance, best)


def iterate(h: ControlHamiltonian, box: Box, size: int, search: Search, u0: Tensor, least: int = 0) -> Solution:
    """u <- T(u) from ``u0 (.., B, m)``, ``least`` times and then each sample until it has converged, frozen by mask."""
    u = u0.clamp(*box)
    operator, tolerance = search.operator, search.tolerance
    # an answer that is the start itself needs no curvature
    seen = look(h, u, None, operator.curved and search.max_iterations > 0)
    scale = seen.scale
    residual = projected_residual(u, seen.slope, box, scale)
    iterations = torch.zeros_like(residual, dtype=torch.int32)
    past: tuple[Past, ...] = ()
    trying = True
    for count in range(search.max_iterations):
        always = tolerance == 0 or count < least
        moving = torch.ones_like(residual, dtype=torch.bool) if always else residual > tolerance
        if host_may_look(moving) and not moving.numpy().any():
            break
        before, whole = u, _whole_step(h, u, moving, seen, box, operator) if trying else None
        if whole is None:
            trying = False  # what was refused once will be again, and the look was for nothing
            after = operator.iterate(h, u, seen.slope, box, seen.bend)
            if operator.memory:
                after, past = accelerated(h, u, after, past, box, operator.memory)
            u = torch.where(moving.unsqueeze(-1), after, u)
            seen = look(h, u, scale, operator.curved)
        else:
            u, seen = whole
        residual = projected_residual(u, seen.slope, box, scale)
        iterations = iterations + moving
        if not always and host_may_look(u) and torch.equal(u, before):
            break  # T(u) = u to the last bit: rounding is all that the residual shows
    own = iterations.new_zeros((*u.shape[:-1], u.shape[-1] // size), dtype=torch.int64)
    return Solution(u, residual, iterations, residual <= tolerance, own)


def _whole_step(
    h: ControlHamiltonian, u: Tensor, moving: Tensor, seen: Look, box: Box, operator: Operator
) -> tuple[Tensor, Look] | None:
    """T(u) where every step of Newton's can be taken whole, and what is seen there: no search along it was needed.

    ``None`` where it was, where H does not come along with its slope, or the host must not look.
    """
    if seen.value is None or not isinstance(operator, ProjectedNewton) or not host_may_look(u):
        return None
    after = torch.where(moving.unsqueeze(-1), u + operator.direction(h, u, seen.slope, box, seen.bend), u).clamp(*box)
    found = look(h, after, seen.scale)
    if found.value is None:
        return None
    rose = raised(seen.value, found.value, (after - u) * seen.slope) | ~moving.unsqueeze(-1)
    if not rose.numpy().all():
        return None
    return after, found
