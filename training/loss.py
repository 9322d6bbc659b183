"""J_x(theta) = ∫ L dt + G(z(T)) through the rollout (slides, eq. 1-3), with optional HJB penalties."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..controllers.argmax import Solution, solve_argmax
from ..controllers.hamiltonian import control_hamiltonian, hamiltonian
from ..controllers.implicit import ImplicitGradient
from ..controllers.operators import held
from ..controllers.value import Value
from ..envs.compiling import compiled
from ..envs.integrate import advance
from ..envs.problem import Problem
from .config import TrainConfig
from .derived_step import Derived
from .held_step import make_held_answer, make_held_step
from .parallel import team
from .split_step import can_split, split_answer, split_step
from .step import Answer, AnswerFunction, Step, StepFunction

LOOSE = 0.5
"""A residual of the argmax, relative to the slope at u = 0, from which on nothing was found."""


class Loss(NamedTuple):
    """The quantity to descend on, and what to show; ``total`` carries the graph, the rest is detached."""

    total: Tensor
    cost: Tensor
    terminal_error: Tensor
    residual: Tensor
    missed: Tensor
    """Share of the answers whose argmax was not found: a relative residual of LOOSE or more."""

    def told(self, share: float) -> list[Tensor]:
        """What processes add up: this one's share of each mean, and a place for the largest residual of each.

        ``share`` is that of its rows in the batch.
        """
        places = [torch.zeros_like(self.residual) for _ in range(team().count)]
        places[team().rank] = self.residual
        return [share * self.cost, share * self.terminal_error, share * self.missed, *places]

    def of_all(self, sums: list[Tensor]) -> Loss:
        """The figures of the whole batch, from what ``told`` came to; ``total`` stays this process's own."""
        return Loss(self.total, sums[0], sums[1], torch.stack(sums[3:]).amax(), sums[2])


def make_step(problem: Problem, value: Value, config: TrainConfig) -> StepFunction:
    """One step of the rollout under u*(t, z): argmax, RK4 and cost, compiled if the configuration says so.

    dt is a tensor, so that one compilation serves every number of steps.
    """
    if config.hamiltonian == "held":
        return make_held_step(problem, value, config)
    if _takes_apart(problem, value, config):
        return split_step(Derived(problem, value, _penalty(problem, config)), config)
    search, penalty = _search(problem, value, config), _penalty(problem, config)

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        slope_t, p, solution = search(t, z)
        after, cost = advance(problem, t, z, solution.control, dt)
        return Step(after, cost, solution.residual.detach(), penalty(t, z, slope_t, p, solution.control))

    return compiled(step, value.scale.device) if config.compiled else step


def make_answer(problem: Problem, value: Value, config: TrainConfig) -> AnswerFunction:
    """u*(t, z) by itself, for rollouts in which another plant flies, or another control than was asked for."""
    if config.hamiltonian == "held":
        return make_held_answer(problem, value, config)
    if _takes_apart(problem, value, config):
        return split_answer(Derived(problem, value, _penalty(problem, config)), config)
    search, penalty = _search(problem, value, config), _penalty(problem, config)

    def answer(t: Tensor, z: Tensor, dt: Tensor) -> Answer:
        slope_t, p, solution = search(t, z)
        return Answer(solution.control, solution.residual.detach(), penalty(t, z, slope_t, p, solution.control))

    return compiled(answer, value.scale.device) if config.compiled else answer


def _takes_apart(problem: Problem, value: Value, config: TrainConfig) -> bool:
    """Whether the search is compiled in parts: where H is derived from f and L one graph of it takes minutes."""
    if not config.compiled:
        return False
    if config.gradient == "implicit" and ImplicitGradient().matrix_free(problem.control_block):
        raise ValueError(
            f"TrainConfig.compile does not go with gradient='implicit' on blocks of {problem.control_block} controls, "
            "whose linear solve is matrix-free; expected compile=False"
        )
    z = value.scale.new_zeros(1, problem.state_dim)
    return can_split(config) and problem.control_hamiltonian(z[0, 0], z, z) is None


def _search(
    problem: Problem, value: Value, config: TrainConfig
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Solution]]:
    """∂_t phi, the costate and argmax H there."""
    operator = config.make_operator()

    def search(t: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Solution]:
        slope_t, p = value.gradient(t, z)
        return slope_t, p, solve_argmax(
            problem, t, z, p, operator=operator, gradient=config.gradient,
            max_iterations=config.argmax_iterations, tolerance=config.argmax_tolerance,
            starts=config.starts, jfb_steps=config.jfb_steps,
        )  # fmt: skip

    return search


def _penalty(problem: Problem, config: TrainConfig) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The rate of the weighted penalties, ``(B,)``."""

    def penalty(t: Tensor, z: Tensor, slope_t: Tensor, p: Tensor, u: Tensor) -> Tensor:
        rate = z.new_zeros(len(z))
        if config.hjb_weight > 0:
            rate = config.hjb_weight * (slope_t - hamiltonian(problem, t, z, p, u)).abs()
        if config.bound_penalty > 0:
            rate = rate + config.bound_penalty * bound_pressure(problem, t, z, p, u.detach())
        return rate

    return penalty


def bound_pressure(problem: Problem, t: Tensor, z: Tensor, p: Tensor, u: Tensor) -> Tensor:
    """Σ |∂H/∂u_j| over the controls held by an active bound, ``(B,)``: how hard the costate pushes against the bounds.

    There u* does not move with p, so neither unrolling, nor the implicit function theorem, nor JFB sees a way back.
    """
    slope = control_hamiltonian(problem, t, z, p).gradient(u)
    return torch.where(held(u, slope, problem.control_bounds(z)), slope, 0.0).abs().sum(-1)


class AdjointClip:
    """Keeps the adjoint of each sample, on its way back from T, below a multiple of its length at T, agent by agent.

    One that is not finite stays so: the iteration is then skipped and counted.
    """

    def __init__(self, limit: float | None, block: int) -> None:
        self.limit, self.block = limit, block
        self.longest: Tensor | None = None

    def watch(self, z: Tensor) -> Tensor:
        """z, whose gradient will be scaled down where it is too long. Call it in the order of time."""
        if z.requires_grad and self.limit is not None:
            z.register_hook(self._clip)
        return z

    def _clip(self, adjoint: Tensor) -> Tensor:
        own = adjoint.unflatten(-1, (-1, self.block))
        length = own.norm(dim=-1, keepdim=True)
        assert self.limit is not None
        if self.longest is None:  # the first to come back is that of T
            self.longest = torch.zeros_like(length)
        # Without a terminal cost the adjoint is 0 at T; the first that is not counts.
        self.longest = torch.where(self.longest > 0, self.longest, self.limit * length)
        return (own * (self.longest / length.clamp_min(1e-30)).clamp_max(1.0)).flatten(-2)


def path_loss(
    problem: Problem,
    value: Value,
    step: StepFunction,
    z0: Tensor,
    config: TrainConfig,
) -> Loss:
    """Mean over the batch of J + weights · penalties.

    J + ∫ (w_1 |∂_t phi - max_u H| + w_4 pressure) dt + w_2 |phi(T, z(T)) - G(z(T))| + w_3 |∇phi(T, z(T)) - ∇G(z(T))|₁
    """
    dt = torch.as_tensor(problem.time_step, dtype=z0.dtype, device=z0.device)
    times = torch.arange(problem.steps, dtype=z0.dtype, device=z0.device) * dt
    z, running, penalties = z0, z0.new_zeros(len(z0)), z0.new_zeros(len(z0))
    residuals = []
    clip = AdjointClip(config.adjoint_clip, problem.state_block)
    for t in times.unbind():
        z, cost, residual, penalty = step(t, clip.watch(z), dt)
        running, penalties = running + cost, penalties + dt * penalty
        residuals.append(residual)
    terminal = problem.terminal_cost(clip.watch(z))
    total = running + terminal + penalties
    if config.terminal_value_weight > 0:
        total = total + config.terminal_value_weight * (value(problem.horizon, z) - terminal).abs()
    if config.terminal_gradient_weight > 0:
        slope = torch.func.grad(lambda x: problem.terminal_cost(x).sum())(z)
        _, p = value.gradient(problem.horizon, z)
        total = total + config.terminal_gradient_weight * (p - slope).abs().sum(-1)
    with torch.no_grad():
        error = problem.terminal_error(z).mean()
        found = torch.stack(residuals)
        missed = 1 - torch.where(found < LOOSE, 1.0, torch.zeros_like(found)).mean()  # nan is missed, too
    return Loss(total.mean(), (running + terminal).mean().detach(), error, found.amax(), missed)
