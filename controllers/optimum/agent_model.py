"""One control step to second order, agent by agent: what the many agents of a problem do to each other apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from .sweeps import grad_of

FEW = 8192
"""Copies of control steps up to which an operation takes its launch and little more."""
ROWS = 4096
"""Control steps expanded together: more no longer fit a core's cache."""
SEEN = 32
"""Of many control steps so many say which entries of a Hessian there are."""


class Costless(Problem):
    """The dynamics of ``problem`` at no cost: for derivatives of the step F alone."""

    def __init__(self, problem: Problem) -> None:
        self.inner = problem
        self.horizon, self.steps, self.substeps = problem.horizon, problem.steps, problem.substeps

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.inner.dynamics(t, z, u)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return z.new_zeros(len(z))

    def terminal_cost(self, z: Tensor) -> Tensor:
        return z.new_zeros(len(z))

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample_initial_state(batch, generator)


def count_agents(problem: Problem, t: Tensor, z: Tensor, u: Tensor) -> int:
    """How many agents a step falls into: those of ``state_block`` where ``coupling`` is known and F really separates.

    One otherwise: then everything is expanded together, exactly, whatever depends on what.
    """
    count = problem.state_dim // problem.state_block
    if count == 1 or problem.control_dim % count or problem.coupling(t, z) is None:
        return 1
    generator = torch.Generator().manual_seed(0)
    away = torch.randn(u.shape, generator=generator, dtype=torch.float64).to(u)
    first = away * (torch.arange(u.shape[-1], device=u.device) < u.shape[-1] // count)
    moved = advance(Costless(problem), t, z, u + first, problem.time_step)[0]
    moved = moved - advance(Costless(problem), t, z, u, problem.time_step)[0]
    return 1 if bool((moved[:, problem.state_block :] != 0).any()) else count


def by_agent(z: Tensor, u: Tensor, count: int) -> Tensor:
    """y, ``(.., N, b + a)``."""
    return torch.cat([z.unflatten(-1, (count, -1)), u.unflatten(-1, (count, -1))], -1)


def apart(y: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """z and u of y: ``(.., n)`` and ``(.., m)``."""
    return y[..., :b].flatten(-2), y[..., b:].flatten(-2)


def jacobians(problem: Problem, t: Tensor, y: Tensor, b: int) -> Tensor:
    """∂F_i/∂y_i, ``(R, N, b, d)``: one sweep back for each of an agent's states, of all agents at once."""

    def forward(t: Tensor, v: Tensor) -> Tensor:
        after = advance(Costless(problem), t, *apart(v, b), problem.time_step)[0]
        return after.unflatten(-1, (y.shape[-2], -1))

    return _by_component(forward, (t, y), range(b)).movedim(0, -2)


def slopes(problem: Problem, t: Tensor, y: Tensor, b: int) -> Tensor:
    """∇_y of the cost of the step, ``(R, N, d)``."""
    with torch.enable_grad():
        v = y.detach().requires_grad_()
        return grad_of(advance(problem, t, *apart(v, b), problem.time_step)[1], v)


def bends(problem: Problem, t: Tensor, y: Tensor, b: int, p: Tensor) -> Tensor:
    """∇²_y of each agent of the cost of the step plus p·F, ``(R, N, d, d)``, symmetric, where all others do as it does.

    Twice in reverse: one sweep back through the gradient for each column, of all agents at once; where agents meet,
    their rows are summed. Columns that are 0 at SEEN of many steps are swept together, with random weights: what is 0
    so is 0 in each of them.
    """

    def slope(t: Tensor, v: Tensor, p: Tensor) -> Tensor:
        after, cost = advance(problem, t, *apart(v, b), problem.time_step)
        (found,) = torch.autograd.grad(cost.sum() + (p * after).sum(), v, create_graph=True)
        return found

    rows, every = (t, y, p), range(y.shape[-1])
    if _few(y, len(every)) or len(y) < 4 * SEEN:
        hessian = _by_component(slope, rows, every)
    else:
        some = torch.linspace(0, len(y) - 1, SEEN, device=y.device).long()
        seen = _by_component(slope, tuple(x[some] if x.ndim else x for x in rows), every)
        full = (seen != 0).flatten(1).any(1).nonzero().ravel().tolist()
        hessian = _by_component(slope, rows, full, [j for j in every if j not in full])
    hessian = hessian.movedim(0, -1)
    return 0.5 * (hessian + hessian.mT)


def _few(y: Tensor, count: int) -> bool:
    """Whether ``count`` copies of y are FEW."""
    return count * y.shape[0] * y.shape[1] <= FEW


def _by_component(
    function: Callable[..., Tensor], rows: tuple[Tensor, ...], full: Sequence[int], empty: Sequence[int] = ()
) -> Tensor:
    """∂(component j of ``function``)/∂y, ``(count, R, N, d)``, for j in ``full``, and for those in ``empty``, which are
    believed to be 0, and looked at; in the order of j.

    A sweep back for each; of FEW rows or less all in one sweep, through as many copies of y: there the number of
    operations counts, and not their size.

    Args:
        rows: t, y and more, by control step, of which ``function`` is one.
    """
    t, y, *more = rows
    count = len(full) + len(empty)
    with torch.enable_grad():
        if not _few(y, count):
            v = y.detach().requires_grad_()
            found = function(t, v, *more)
            if empty:
                weights = 1 + torch.rand(len(empty), generator=torch.Generator().manual_seed(0)).to(y)
                if bool((grad_of(found[..., list(empty)] * weights, v) != 0).any()):
                    full = range(count)
            zero = torch.zeros_like(y)
            return torch.stack([grad_of(found[..., j], v) if j in full else zero for j in range(count)])
        v = y.detach().repeat(count, 1, 1).requires_grad_()
        copies = (x.repeat(count, *[1] * (x.ndim - 1)) if x.ndim else x for x in (t, *more))
        found = function(next(copies), v, *copies).unflatten(0, (count, len(y)))
        own = found.diagonal(dim1=0, dim2=-1)[..., :count]
        return grad_of(own, v).unflatten(0, (count, len(y)))
