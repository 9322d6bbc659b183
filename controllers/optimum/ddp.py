"""Differential dynamic programming with control bounds: many open-loop optima at once, in torch alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from ...envs.problem import Problem
from .agent_model import ROWS, Costless, bends, by_agent, jacobians, slopes
from .backward import Backward, Model, sweep, sweep_alone
from .flights import Path, agents, fly, follow
from .meeting import meeting
from .newton import Bend, Hessian, Step, newton
from .told import tell

FULL, SHORTER, LONGER = (1.0,), (0.5, 0.2, 0.05, 0.01), (2.0, 4.0, 8.0)
"""Shares of a step: tried first, where that is not the best, and, of the agents' own, further than their model says."""
ARMIJO = 1e-4
"""Share of the promised decrease that a step must keep."""
NEAR = 1e-4
"""Where agents alone promise so little of |J|, the whole model is followed though it has no minimum. Not before: it
leads to dearer optima."""


def descend(
    problem: Problem,
    z0: Tensor,
    u: Tensor,
    max_iterations: int = 200,
    tolerance: float = 1e-12,
    end: float | None = None,
    going: Callable[[Path], Tensor] | None = None,
) -> Path:
    """From the flights of the controls ``u (K, B, m)`` downhill, each until the model promises less than ``tolerance``.

    One iteration expands the K steps of each flight to second order (exact costates), sweeps backwards to the feedback
    δu = α k + K δz that minimises the expansion within the bounds, and flies it for the largest share α that keeps its
    promise (Tassa, Mansard, Todorov 2014). Where agents meet, or the expansion has no minimum, the sweep is that of
    the agents alone, made convex; then it is also the preconditioner with which ``newton`` looks for the minimum of
    the whole, and the cheaper of the two is flown. Damping, share and end are each flight's own.

    Args:
        end: on ``time.perf_counter``; then the best so far is returned.
        going: of the flights before each iteration, which are worth it, ``(B,)``; all are, unless given.
    """
    low, high = problem.control_bounds(u)
    path = fly(problem, z0, u.clamp(low, high))
    moving = path.cost.isfinite()
    moving = moving if going is None else moving & going(path)
    for iteration in range(max_iterations):
        index = moving.nonzero().ravel()
        if not len(index) or (end is not None and time.perf_counter() > end):
            break
        for rows in index.split(max(1, together(problem))):
            part = path.rows(rows)
            _improve(problem, part)
            path.put(rows, part)
        path.converged = path.cost.isfinite() & (path.left <= tolerance)
        moving = path.cost.isfinite() & ~path.converged & ~path.stuck
        moving = moving if going is None else moving & going(path)
        tell(iteration + 1, moving)
    return path


def together(problem: Problem) -> int:
    """How many flights are swept at once: Q of all their steps should fit the memory."""
    return int(2e9 / 8 / problem.steps / (problem.state_dim + problem.control_dim) ** 2)


def _improve(problem: Problem, path: Path) -> None:
    """One iteration, in place."""
    model, path.costate = expand_path(problem, path.z, path.u)
    path.cost = torch.where(model.slope.isfinite().all(-1).all(0), path.cost, torch.inf)  # too wild to be expanded
    path.iterations += 1
    box, index = problem.control_bounds(path.u), torch.arange(len(path.cost), device=path.cost.device)
    if model.jacobian.shape[2] == 1:
        back = sweep(model, path.u, box, path.damping)
        sure, index = (~back.doubtful).nonzero().ravel(), back.doubtful.nonzero().ravel()
        path.feedback = back.feedback.flatten(2)
        part, step = path.rows(sure), Step(back.feedforward, back.slope, back.bend, ~back.doubtful).rows(sure)
        path.put(sure, _moved(problem, part, back.rows(sure), [step], [step.shortened(x) for x in SHORTER]))
    if len(index):
        part, model = path.rows(index), model.rows(index) if len(index) < len(path.cost) else model
        back = sweep_alone(model, part.u, box, part.damping)
        part.feedback = back.feedback.flatten(2)
        hessian = Hessian(model, back, bending(problem, part, model))
        near = -(back.slope + back.bend) < NEAR * part.cost.abs()
        found = newton(hessian, part.cost.abs(), FULL + SHORTER)
        whole, *nearer = (x._replace(slope=torch.where(x.minimum | near, x.slope, 0.0)) for x in found)
        alone = Step(back.feedforward, back.slope, back.bend, back.doubtful)
        further = [alone.shortened(x) for x in SHORTER + LONGER]
        path.put(index, _moved(problem, part, back, [whole, alone], nearer + further))


def bending(problem: Problem, path: Path, model: Model) -> Bend:
    """shift -> ℓ_yy of each agent at costates ``shift`` off the path's: p enters linearly, with F."""
    t, y = _steps(problem, path.z, path.u, model.jacobian.shape[2])
    free, b = Costless(problem), model.jacobian.shape[3]

    def at(shift: Tensor) -> Tensor:
        cut = zip(t.split(ROWS), y.split(ROWS), shift[1:].flatten(0, 1).split(ROWS), strict=True)
        return model.hessian + torch.cat([bends(free, r, x, b, p) for r, x, p in cut]).reshape(model.hessian.shape)

    return at


def _moved(problem: Problem, begin: Path, back: Backward, steps: list[Step], others: list[Step]) -> Path:
    """The cheapest flight of those that keep their promise: of ``steps``, and ``others`` where not the first was it."""
    todo = torch.arange(len(begin.cost), device=begin.cost.device)
    now, first, moved = begin.rows(todo), steps[0], steps[0].minimum.new_zeros(len(todo))
    left = -(first.slope + first.bend) / (begin.cost.abs() + 1e-9)
    now.left = torch.where(first.minimum, left, torch.inf).nan_to_num(torch.inf)
    more, less = (10 * now.damping).clamp_min(1e-4), torch.where(now.damping < 1e-7, 0.0, 0.1 * now.damping)
    for tried, eased in ((steps, less), (others, now.damping)):
        if not len(todo):
            break
        each, some = todo.repeat(len(tried)), [step.rows(todo) for step in tried]
        old = begin.rows(each)
        z, u, cost = follow(problem, old.z[0], old, back.feedback[:, each], torch.cat([step.w for step in some], 1))
        slope, bend = (torch.stack([step[i] for step in some]) for i in (1, 2))
        aim = begin.cost[todo] + ARMIJO * (slope + bend).clamp_max(0.0) + 1e-13 * begin.cost[todo].abs()
        cost = cost.unflatten(0, (len(some), -1))
        cost, which = torch.where((cost <= aim) & (slope < 0), cost, torch.inf).min(0)
        good = (cost.isfinite() & (~moved[todo] | (cost < now.cost[todo]))).nonzero().ravel()
        flown, rows = which[good] * len(todo) + good, todo[good]
        now.z[:, rows], now.u[:, rows], now.cost[rows] = z[:, flown], u[:, flown], cost[good]
        now.damping[rows], moved[rows] = eased[rows], True
        todo = todo[cost.isinf() | (which != 0)]
    now.damping = torch.where(moved, now.damping, more)
    return now


def _steps(problem: Problem, z: Tensor, u: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """t and y of the steps of B flights, ``(K B,)`` and ``(K B, N, d)``."""
    t = torch.arange(len(u), dtype=z.dtype, device=z.device) * problem.time_step
    return t.repeat_interleave(u.shape[1]), by_agent(z[:-1], u, count).flatten(0, 1)


def expand_path(problem: Problem, z: Tensor, u: Tensor) -> tuple[Model, Tensor]:
    """The K steps of B flights and G to second order, and the costates p_k = ∂J/∂z_k, ``(K + 1, B, n)``."""
    steps, batch = u.shape[:2]
    count = agents(problem, z, u)
    t, y = _steps(problem, z, u, count)
    b, cut = problem.state_dim // count, list(zip(t.split(ROWS), y.split(ROWS), strict=True))
    jacobian = torch.cat([jacobians(problem, *x, b) for x in cut]).unflatten(0, (steps, batch))
    cost = torch.cat([slopes(problem, *x, b) for x in cut]).unflatten(0, (steps, batch))
    p, slope = [torch.func.grad(lambda x: problem.terminal_cost(x).sum())(z[-1])], []
    for own, turn in zip(cost.flip(0), jacobian.flip(0), strict=True):
        whole = own + (turn.mT @ p[-1].unflatten(-1, (count, -1)).unsqueeze(-1)).squeeze(-1)
        p.append(whole[..., :b].flatten(-2))
        slope.append(whole[..., b:].flatten(-2))
    costate = torch.stack(p[::-1])
    after = costate[1:].flatten(0, 1).split(ROWS)
    hessian = torch.cat([bends(problem, *x, b, q) for x, q in zip(cut, after, strict=True)]).unflatten(
        0, (steps, batch)
    )
    met = meeting(problem, t.unflatten(0, (steps, batch)), y.unflatten(0, (steps, batch)), b) if count > 1 else None
    hessian = hessian if met is None else hessian - met.together()
    end = torch.func.vmap(torch.func.hessian(lambda x: problem.terminal_cost(x.unsqueeze(0)).squeeze(0)))(z[-1])
    return Model(jacobian, hessian, met, torch.stack(slope[::-1]), end), costate


def feedback_along(problem: Problem, path: Path) -> Backward:
    """The feedback along each flight: of the whole model where that of one has a minimum, else of its agents alone."""
    model, _ = expand_path(problem, path.z, path.u)
    box, calm = problem.control_bounds(path.u), torch.zeros_like(path.damping)
    if model.jacobian.shape[2] == 1 and not bool((back := sweep(model, path.u, box, calm)).doubtful.any()):
        return back
    return sweep_alone(model, path.u, box, calm)
