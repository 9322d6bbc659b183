"""One step of the rollout under argmax H_dt, in three functions, each compiled by itself."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..controllers.argmax import Search, differentiable, projected_residual
from ..controllers.held import HeldHamiltonian, solve_held_argmax
from ..controllers.value import Value
from ..envs.compiling import compiled
from ..envs.integrate import advance
from ..envs.problem import Problem
from .config import TrainConfig
from .step import Step, StepFunction


@dataclasses.dataclass(frozen=True)
class _Seen:
    """H_dt with a curvature that has been looked at already."""

    of: HeldHamiltonian
    bend: Tensor

    def start(self) -> Tensor:
        return self.of.start()

    def value(self, u: Tensor) -> Tensor:
        return self.of.value(u)

    def gradient(self, u: Tensor) -> Tensor:
        return self.of.gradient(u)

    def hessian(self, u: Tensor) -> Tensor:
        return self.bend


def _eager(problem: Problem, value: Value, config: TrainConfig) -> StepFunction:
    """The same by ``solve_held_argmax``: any gradient, any operator; a sample that has converged moves no more."""
    operator = config.make_operator()

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        found = solve_held_argmax(
            problem, value, t, z, dt=dt, operator=operator, gradient=config.gradient, jfb_steps=config.jfb_steps,
            max_iterations=config.argmax_iterations, tolerance=config.argmax_tolerance,
        )  # fmt: skip
        after, cost = advance(problem, t, z, found.control, dt)
        return Step(after, cost, found.residual.detach(), torch.zeros_like(cost))

    return step


def make_held_step(problem: Problem, value: Value, config: TrainConfig) -> StepFunction:
    """argmax H_dt, RK4 and cost: look (slopes and curvature), move (T once), in turns, then apply what was found.

    A search unrolled into one graph takes minutes to compile; ``look`` holds the only sweep back through the step, and
    is compiled once however many applications of T there are. Which expansion speaks is decided outside the graphs: who
    plays which role takes the host. What cannot be split so, or is not compiled, is eager.
    """
    if not config.compile or config.gradient == "unroll" or config.memory:
        return _eager(problem, value, config)
    operator, coupled = config.make_operator(), config.gradient == "implicit"
    search = Search(
        operator, config.gradient, config.argmax_iterations, config.argmax_tolerance, "single", config.jfb_steps
    )

    @torch.no_grad()
    def look(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, who: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return HeldHamiltonian(problem, value, t, z, dt, coupled, who).look(u)

    @torch.no_grad()
    def move(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, who: Tensor | None, slope: Tensor, bend: Tensor) -> Tensor:
        seen = _Seen(HeldHamiltonian(problem, value, t, z, dt, member=who), bend)
        return operator.iterate(seen, u, slope, problem.control_bounds(z))

    def apply(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, who: Tensor | None, bend: Tensor) -> tuple[Tensor, Tensor]:
        tracked = HeldHamiltonian(problem, value, t, z, dt, member=who)
        fixed = _Seen(HeldHamiltonian(problem, value, t, z.detach(), dt, member=who), bend)
        again = differentiable(fixed, tracked, u, problem.control_bounds(z), bend.shape[-1], search)
        return advance(problem, t, z, u + (again - again.detach()), dt)

    device = value.scale.device
    look_, move_, apply_ = compiled(look, device), compiled(move, device), compiled(apply, device)

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        still = z.detach()
        box = problem.control_bounds(still)
        with torch.no_grad():
            who = value.speaker(t, still)
            u = HeldHamiltonian(problem, value, t, still, dt, member=who).start().clamp(*box)
        slope, first, bend = look_(t, still, dt, u, who)
        for _ in range(search.max_iterations):
            u = move_(t, still, dt, u, who, slope, bend)
            slope, first, bend = look_(t, still, dt, u, who)
        after, cost = apply_(t, z, dt, u, who, bend)
        return Step(after, cost, projected_residual(u, slope, box, 1 + first.abs()), torch.zeros_like(cost))

    return step
