"""J_x(theta) = ∫ L dt + G(z(T)) through the rollout (slides, eq. 1-3), with optional HJB penalties."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ..controllers.argmax import solve_argmax
from ..controllers.hamiltonian import hamiltonian
from ..controllers.value import ValueFunction
from ..envs.compiling import compiled
from ..envs.integrate import advance
from ..envs.problem import Problem
from .config import TrainConfig


class Step(NamedTuple):
    """One controlled step, by sample: next state, its cost, argmax residual, |∂_t phi - max_u H|."""

    z: Tensor
    cost: Tensor
    residual: Tensor
    hjb: Tensor


StepFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Step]


class Loss(NamedTuple):
    """The quantity to descend on, and what to show; ``total`` carries the graph, the rest is detached."""

    total: Tensor
    cost: Tensor
    terminal_error: Tensor
    residual: Tensor


def make_step(problem: Problem, value: ValueFunction, config: TrainConfig) -> StepFunction:
    """One step of the rollout under u*(t, z): argmax, RK4 and cost, compiled if the configuration says so.

    dt is a tensor, so that one compilation serves every number of steps.
    """
    operator = config.make_operator()
    penalised = config.hjb_weight > 0

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        slope_t, p = value.gradient(t, z)
        solution = solve_argmax(
            problem, t, z, p, operator=operator, gradient=config.gradient,
            max_iterations=config.argmax_iterations, tolerance=config.argmax_tolerance,
        )  # fmt: skip
        after, cost = advance(problem, t, z, solution.control, dt)
        hjb = torch.zeros_like(cost)
        if penalised:
            hjb = (slope_t - hamiltonian(problem, t, z, p, solution.control)).abs()
        return Step(after, cost, solution.residual.detach(), hjb)

    return compiled(step, value.scale.device) if config.compile else step


def path_loss(problem: Problem, value: ValueFunction, step: StepFunction, z0: Tensor, config: TrainConfig) -> Loss:
    """Mean over the batch of J + weights · penalties.

    J + w_1 ∫|∂_t phi - max_u H| dt + w_2 |phi(T, z(T)) - G(z(T))| + w_3 |∇phi(T, z(T)) - ∇G(z(T))|₁
    """
    dt = torch.as_tensor(problem.time_step, dtype=z0.dtype, device=z0.device)
    times = torch.arange(problem.steps, dtype=z0.dtype, device=z0.device) * dt
    z, running, hjb = z0, z0.new_zeros(len(z0)), z0.new_zeros(len(z0))
    residuals = []
    for t in times.unbind():
        z, cost, residual, gap = step(t, z, dt)
        running, hjb = running + cost, hjb + dt * gap
        residuals.append(residual)
    terminal = problem.terminal_cost(z)
    total = running + terminal
    if config.hjb_weight > 0:
        total = total + config.hjb_weight * hjb
    if config.terminal_value_weight > 0:
        total = total + config.terminal_value_weight * (value(problem.horizon, z) - terminal).abs()
    if config.terminal_gradient_weight > 0:
        slope = torch.func.grad(lambda x: problem.terminal_cost(x).sum())(z)
        _, p = value.gradient(problem.horizon, z)
        total = total + config.terminal_gradient_weight * (p - slope).abs().sum(-1)
    with torch.no_grad():
        error = problem.terminal_error(z).mean()
        worst = torch.stack(residuals).amax()
    return Loss(total.mean(), (running + terminal).mean().detach(), error, worst)
