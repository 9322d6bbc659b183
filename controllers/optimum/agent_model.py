"""One control step to second order, agent by agent: what the many agents of a problem do to each other apart."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem

ROWS = 4096
"""Control steps expanded together: more no longer fit a core's cache."""


class Costless(Problem):
    """The dynamics of ``problem`` at no cost: for derivatives of the step F alone."""

    def __init__(self, problem: Problem) -> None:
        self.inner = problem
        self.horizon, self.steps = problem.horizon, problem.steps

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
    """∂F_i/∂y_i, ``(R, N, b, d)``, in forward mode: column j of all agents at once, all columns in one batch."""
    free, dt = Costless(problem), problem.time_step

    def column(seed: Tensor) -> Tensor:
        step = lambda v: advance(free, t, *apart(v, b), dt)[0].unflatten(-1, (y.shape[-2], -1))  # noqa: E731
        tangent: Tensor = torch.func.jvp(step, (y,), (seed.expand_as(y),))[1]
        return tangent

    columns: Tensor = torch.func.vmap(column, out_dims=-1)(torch.eye(y.shape[-1], dtype=y.dtype, device=y.device))
    return columns


def slopes(problem: Problem, t: Tensor, y: Tensor, b: int, p: Tensor | None = None) -> Tensor:
    """∇_y of the cost of the step, plus p·F where p is given, ``(R, N, d)``."""

    def total(v: Tensor) -> Tensor:
        after, cost = advance(problem, t, *apart(v, b), problem.time_step)
        return cost.sum() if p is None else cost.sum() + (p * after).sum()

    gradient: Tensor = torch.func.grad(total)(y)
    return gradient


def bends(problem: Problem, t: Tensor, y: Tensor, b: int, p: Tensor) -> Tensor:
    """∇²_y of each agent of the cost of the step plus p·F, ``(R, N, d, d)``, symmetric, where all others do as it does.

    Forward- over reverse-mode, column j of all agents at once: where agents meet, their rows are summed.
    """

    def column(seed: Tensor) -> Tensor:
        tangent: Tensor = torch.func.jvp(lambda v: slopes(problem, t, v, b, p), (y,), (seed.expand_as(y),))[1]
        return tangent + 0 * seed  # of a linear problem it would be no function of the seed

    hessian = torch.func.vmap(column, out_dims=-1)(torch.eye(y.shape[-1], dtype=y.dtype, device=y.device))
    return 0.5 * (hessian + hessian.mT)
