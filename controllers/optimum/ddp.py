"""Differential dynamic programming with control bounds: many open-loop optima at once, in torch alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from .agent_model import ROWS, bends, by_agent, count_agents, jacobians, slopes
from .backward import Backward, Model, sweep, sweep_alone

FULL, SHORTER, LONGER = (1.0,), (0.5, 0.2, 0.05, 0.01), (2.0, 4.0, 8.0)
"""Shares of the step that the model proposes: tried first, where that fails, and where agents alone may go further."""
ARMIJO = 1e-4
"""Share of the promised decrease that a step must keep."""
PATIENCE = 2
"""Iterations from one try of the whole model to the next, where it was no minimum."""
STUBBORN = 1e8
"""Damping at which a state is given up."""


@dataclasses.dataclass
class Path:
    """B flights in descent, float64.

    Attributes:
        z, u, cost: ``(K + 1, B, n)``, ``(K, B, m)``, ``(B,)``.
        damping: ``(B,)`` added to Q_uu, relative to its diagonal.
        left: ``(B,)`` what the model still promises, relative to |J|; inf before the first iteration.
        iterations: ``(B,)`` sweeps.
        costate: ``(K + 1, B, n)``.
        doubtful: ``(B,)`` whether the whole model had no minimum there.
        converged: ``(B,)``.
    """

    z: Tensor
    u: Tensor
    cost: Tensor
    damping: Tensor
    left: Tensor
    iterations: Tensor
    costate: Tensor
    doubtful: Tensor
    converged: Tensor

    @property
    def stuck(self) -> Tensor:
        """``(B,)`` whether no step helps any more."""
        return self.damping > STUBBORN

    def rows(self, index: Tensor) -> Path:
        """Those flights."""
        return Path(**{k: v.index_select(v.ndim // 2, index) for k, v in vars(self).items()})

    def put(self, index: Tensor, part: Path) -> None:
        """Take ``part`` over as those flights."""
        for name, whole in vars(self).items():
            whole.index_copy_(whole.ndim // 2, index, getattr(part, name))


def descend(
    problem: Problem,
    z0: Tensor,
    u: Tensor,
    max_iterations: int = 200,
    tolerance: float = 1e-12,
    end: float | None = None,
    report: Callable[[Path], None] | None = None,
) -> Path:
    """From the flights of the controls ``u (K, B, m)`` downhill, each until the model promises less than ``tolerance``.

    One iteration expands the K steps of each flight to second order (exact costates), sweeps backwards to the feedback
    δu = α k + K δz that minimises the expansion within the bounds, and flies it for the largest share α that keeps its
    promise (Tassa, Mansard, Todorov 2014). Damping, share and end are each flight's own.

    Args:
        end: on ``time.perf_counter``; then the best so far is returned.
        report: called after each iteration.
    """
    low, high = problem.control_bounds(u)
    path = _fly(problem, z0, u.clamp(low, high))
    moving = path.cost.isfinite()
    for _ in range(max_iterations):
        index = moving.nonzero().ravel()
        if not len(index) or (end is not None and time.perf_counter() > end):
            break
        for rows in index.split(max(1, _together(problem))):
            part = path.rows(rows)
            _improve(problem, part, tolerance)
            path.put(rows, part)
        path.converged = path.cost.isfinite() & (path.left <= tolerance)
        moving = path.cost.isfinite() & ~path.converged & ~path.stuck
        if report is not None:
            report(path)
    return path


def _together(problem: Problem) -> int:
    """How many flights are swept at once: Q of all their steps should fit the memory."""
    return int(2e9 / 8 / problem.steps / (problem.state_dim + problem.control_dim) ** 2)


def _improve(problem: Problem, path: Path, tolerance: float) -> None:
    """One iteration, in place."""
    model, path.costate = expand_path(problem, path.z, path.u)
    path.cost = torch.where(model.slope.isfinite().all(-1).all(0), path.cost, torch.inf)  # too wild to be expanded
    hopeful = ~path.doubtful | (path.iterations % PATIENCE == 0)
    path.iterations += 1
    alone = torch.ones_like(hopeful)
    index = hopeful.nonzero().ravel()
    if len(index):
        back = _swept(sweep, problem, model, path, index)
        alone[index] = back.doubtful
        sure = (~back.doubtful).nonzero().ravel()
        _move(problem, path, index.index_select(0, sure), back.rows(sure))
    path.doubtful = alone
    index = alone.nonzero().ravel()
    if len(index):
        _move(problem, path, index, _swept(sweep_alone, problem, model, path, index), longer=True)


def _swept(how: Callable[..., Backward], problem: Problem, model: Model, path: Path, index: Tensor) -> Backward:
    if len(index) < len(path.cost):
        model = model.rows(index)
    return how(
        model, path.u.index_select(1, index), problem.control_bounds(path.u), path.damping.index_select(0, index)
    )


def _move(problem: Problem, path: Path, index: Tensor, back: Backward, longer: bool = False) -> None:
    """Take the step as far as it keeps its promise; with ``longer``, further where that pays."""
    if not len(index):
        return
    now = path.rows(index)
    now.left = (-(back.slope + back.bend) / (now.cost.abs() + 1e-9)).nan_to_num(torch.inf)
    best = torch.zeros_like(now.cost)
    for shares in (FULL, SHORTER, LONGER if longer else ()):
        todo = (best == (1 if shares == LONGER else 0)).nonzero().ravel()
        if not len(todo) or not shares:
            continue
        share = torch.tensor(shares, dtype=best.dtype, device=best.device).repeat(len(todo))
        each = todo.repeat_interleave(len(shares))
        begin, steps = path.rows(index[each]), back.rows(each)
        z, u, cost = follow(problem, begin.z[0], begin, steps, share)
        promised = ARMIJO * (share * steps.slope + share**2 * steps.bend).clamp_max(0.0)
        aim = now.cost[each] if shares == LONGER else begin.cost + promised + 1e-13 * begin.cost.abs()
        cost = torch.where(cost <= aim, cost, torch.inf).unflatten(0, (-1, len(shares)))
        least, which = cost.min(-1)
        good = least.isfinite().nonzero().ravel()
        flown, rows = good * len(shares) + which[good], todo[good]
        now.z[:, rows], now.u[:, rows], now.cost[rows], best[rows] = z[:, flown], u[:, flown], least[good], share[flown]
    more, less = (10 * now.damping).clamp_min(1e-4), torch.where(now.damping < 1e-7, 0.0, 0.1 * now.damping)
    now.damping = torch.where(best == 0, more, torch.where(best > 0.3, less, now.damping))
    path.put(index, now)


def expand_path(problem: Problem, z: Tensor, u: Tensor) -> tuple[Model, Tensor]:
    """The K steps of B flights and G to second order, and the costates p_k = ∂J/∂z_k, ``(K + 1, B, n)``."""
    steps, batch = u.shape[:2]
    t = (torch.arange(steps, dtype=z.dtype, device=z.device) * problem.time_step).repeat_interleave(batch)
    flat = z[:-1].flatten(0, 1), u.flatten(0, 1)
    count = count_agents(problem, t[:1], flat[0][:1], flat[1][:1])
    y, b = by_agent(*flat, count), problem.state_dim // count
    cut = list(zip(t.split(ROWS), y.split(ROWS), strict=True))
    jacobian = torch.cat([jacobians(problem, *x, b) for x in cut]).unflatten(0, (steps, batch))
    cost = torch.cat([slopes(problem, *x, b) for x in cut]).unflatten(0, (steps, batch))
    p, slope = [torch.func.grad(lambda x: problem.terminal_cost(x).sum())(z[-1])], []
    for own, turn in zip(cost.flip(0), jacobian.flip(0), strict=True):
        whole = own + (turn.mT @ p[-1].unflatten(-1, (count, -1)).unsqueeze(-1)).squeeze(-1)
        p.append(whole[..., :b].flatten(-2))
        slope.append(whole[..., b:].flatten(-2))
    costate = torch.stack(p[::-1])
    after = costate[1:].flatten(0, 1).split(ROWS)
    parts = [bends(problem, *x, b, q) for x, q in zip(cut, after, strict=True)]
    hessian = torch.cat([x for x, _ in parts]).unflatten(0, (steps, batch))
    between = [x for _, x in parts if x is not None]
    coupling = torch.cat(between).unflatten(0, (steps, batch)) if between else None
    end = torch.func.vmap(torch.func.hessian(lambda x: problem.terminal_cost(x.unsqueeze(0)).squeeze(0)))(z[-1])
    return Model(jacobian, hessian, coupling, torch.stack(slope[::-1]), end), costate


def _fly(problem: Problem, z0: Tensor, u: Tensor) -> Path:
    z, cost = [z0], z0.new_zeros(len(z0))
    for k, held in enumerate(u):
        after, spent = advance(problem, _time(problem, k, z0), z[-1], held, problem.time_step)
        z.append(after)
        cost = cost + spent
    states = torch.stack(z)
    cost = torch.nan_to_num(cost + problem.terminal_cost(z[-1]), nan=torch.inf)
    zero = torch.zeros_like(cost)
    return Path(
        states, u.clone(), cost, zero, zero + torch.inf, zero.long(), torch.zeros_like(states), zero.bool(), zero.bool()
    )


def follow(
    problem: Problem, z0: Tensor, path: Path, back: Backward, share: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """z, u and the cost from ``z0`` of u_k + share k_k + K_k (z - z_k) along ``path``, within the bounds."""
    low, high = problem.control_bounds(path.u)
    share = torch.as_tensor(share, dtype=z0.dtype, device=z0.device).reshape(-1, 1)
    z, controls, cost = [z0], [], torch.zeros_like(path.cost)
    for k, (u, forward, gain) in enumerate(zip(path.u, back.feedforward, back.feedback, strict=True)):
        away = z[-1] - path.z[k]
        answer = gain @ away.unflatten(-1, (gain.shape[1], -1)).unsqueeze(-1)
        u = (u + share * forward + answer.flatten(1)).clamp(low, high)
        after, spent = advance(problem, _time(problem, k, u), z[-1], u, problem.time_step)
        z.append(after)
        controls.append(u)
        cost = cost + spent
    cost = torch.nan_to_num(cost + problem.terminal_cost(z[-1]), nan=torch.inf)
    return torch.stack(z), torch.stack(controls), cost


def feedback_along(problem: Problem, path: Path) -> Backward:
    """The feedback along each flight: of the whole model where it has a minimum, else of its agents alone."""
    model, _ = expand_path(problem, path.z, path.u)
    box, calm = problem.control_bounds(path.u), torch.zeros_like(path.damping)
    back = sweep(model, path.u, box, calm)
    return sweep_alone(model, path.u, box, calm) if bool(back.doubtful.any()) else back


def _time(problem: Problem, k: int, like: Tensor) -> Tensor:
    return torch.tensor(k * problem.time_step, dtype=like.dtype, device=like.device)
