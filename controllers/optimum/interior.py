"""Interior-point Newton on all states and controls: many open-loop optima at once, from guesses that need not fly."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from .flights import Path, clock, fly, follow
from .iterate import Iterate, begin, errors, expanded, measure, room
from .kkt import Direction, newton_step
from .line_search import longest_share, searched
from .told import tell

TOLERANCE = 1e-8
"""Error at which a point counts as an optimum, as in IPOPT."""
AGREEMENT = 1e-6
"""Largest relative difference between the cost of a point and that of its flight."""
VAIN = 8
"""Line searches in vain after which a point is given up."""


def interior(
    problem: Problem, z: Tensor, u: Tensor, max_iterations: int = 200, barrier: float = 0.1, end: float | None = None
) -> Path:
    """Optima from the states ``z (K + 1, B, n)``, of which z_0 stays, and the controls ``u (K, B, m)``, flown.

        min  Σ_k c(t_k, z_k, u_k) + G(z_K) - μ Σ log(u - low) + log(high - u)   s.t.  z_{k+1} = F(t_k, z_k, u_k)

    A primal-dual interior-point method (Wächter and Biegler 2006: the filter, the barrier, the scales) whose Newton
    steps are Riccati sweeps with the gaps F(z_k, u_k) - z_{k+1} as drift (multiple shooting; Giftthaler et al. 2018).
    Gaps close over the iterations: unstable systems do not fly apart, and all steps are evaluated side by side. At the
    end the controls are flown with the feedback along the optimum; ``converged`` says whether its conditions hold.

    Args:
        barrier: μ at first.
        end: on ``time.perf_counter``.
    """
    now = begin(problem, z, u, barrier)
    moving = now.u.isfinite().all(-1).all(0)
    for iteration in range(max_iterations):
        index = moving.nonzero().ravel()
        if not len(index) or (end is not None and time.perf_counter() > end):
            break
        part = now.rows(index)
        _improve(problem, part)
        now.put(index, part)
        moving = (now.error > TOLERANCE) & (now.failures <= VAIN) & now.error.isfinite()
        tell(iteration + 1, moving)
    return _landed(problem, now)


def _improve(problem: Problem, now: Iterate) -> None:
    """One iteration, in place; what has converged stays as it is."""
    model = expanded(problem, now)
    now.iterations += 1
    now.error = errors(problem, now, model, torch.zeros_like(now.barrier)).nan_to_num(torch.inf)
    for _ in range(4):
        lower = (errors(problem, now, model, now.barrier) <= 10 * now.barrier) & (now.barrier > 0.1 * TOLERANCE)
        less = torch.minimum(0.2 * now.barrier, now.barrier**1.5).clamp_min(0.1 * TOLERANCE)
        now.barrier = torch.where(lower, less, now.barrier)
        now.forget(lower)
    rows = (now.error > TOLERANCE) & now.error.isfinite()
    n, mu = now.z.shape[-1], now.barrier[:, None]
    up, down = room(problem, now.u)
    model.slope = model.slope.clone()
    model.slope[..., n:] += mu / down - mu / up
    model.bend.diagonal(dim1=-2, dim2=-1)[..., n:] += now.above / up + now.below / down
    step = newton_step(now, model)
    now.feedback = step.feedback.flatten(2)
    above = mu / up - now.above - now.above / up * step.du
    below = mu / down - now.below + now.below / down * step.du
    share, moved, z, u = searched(problem, now, model, step, rows)
    dual = torch.minimum(longest_share(now, now.above, above), longest_share(now, now.below, below))
    dual = torch.where(moved, dual, 0.0)[:, None]
    now.p = torch.where(moved[:, None], torch.lerp(now.p, step.p, share[:, None]), now.p)
    now.z, now.u = z, u
    _restored(problem, now, step, rows & ~moved)
    up, down = room(problem, now.u)  # multipliers stay within a factor of what the barrier asks for
    now.above = (now.above + dual * above).clamp(1e-10 * mu / up, 1e10 * mu / up)
    now.below = (now.below + dual * below).clamp(1e-10 * mu / down, 1e10 * mu / down)


def _restored(problem: Problem, now: Iterate, step: Direction, rows: Tensor) -> None:
    """Where no share of the step was taken: the controls fly with the feedback, so that gaps close; more damping."""
    index = rows.nonzero().ravel()
    if not len(index):
        return
    now.failures[index] += 1
    now.damping[index] = (10 * now.damping[index]).clamp_min(1e-2)
    u, (up, down) = now.u[:, index], room(problem, now.u[:, index])
    feedback = torch.where(step.failed[index, None, None], 0.0, step.feedback[:, index])
    z, held = [now.z[0, index]], []
    for k, gain in enumerate(feedback):
        answer = (gain @ (z[-1] - now.z[k, index]).unsqueeze(-1)).squeeze(-1)
        held.append((u[k] + answer).clamp(u[k] - 0.9 * up[k], u[k] + 0.9 * down[k]))
        t = clock(problem, k, u)
        z.append(advance(problem, t, z[-1], held[-1], problem.time_step)[0])
    flown = torch.stack(z)
    sane = flown.isfinite().all(-1).all(0)
    now.z[:, index[sane]], now.u[:, index[sane]] = flown[:, sane], torch.stack(held)[:, sane]
    now.forget(rows)


def _landed(problem: Problem, now: Iterate) -> Path:
    """The flights: controls whose bound pushes are on it, the others follow the optimum."""
    low, high = problem.control_bounds(now.u)
    up, down = room(problem, now.u)
    u = torch.where(now.above > up, low, torch.where(now.below > down, high, now.u))
    free = ((u > low) & (u < high)).unsqueeze(-1)
    gains = now.feedback.unflatten(-1, (u.shape[-1], -1)).nan_to_num(0.0, 0.0, 0.0) * free
    wanted = measure(problem, now.z, now.u)[1]
    near = Path(now.z, u, wanted, *(now.barrier,) * 3, now.p, now.barrier > 0, now.feedback)
    path = fly(problem, now.z[0], follow(problem, now.z[0], near, gains.unsqueeze(2), torch.zeros_like(u))[1])
    path.iterations, path.feedback = now.iterations, gains.flatten(2)
    path.converged = (now.error <= TOLERANCE) & ((path.cost - wanted).abs() <= AGREEMENT * wanted.abs() + 1e-9)
    return path
