"""argmax H_dt in the rollout, in three functions, each compiled by itself; alone, or with the step that it makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..controllers.argmax import Search, differentiable, projected_residual
from ..controllers.held import HeldHamiltonian, solve_held_argmax
from ..controllers.value import Value
from ..envs.compiling import compiled
from ..envs.integrate import advance
from ..envs.problem import Problem
from .config import TrainConfig
from .step import Answer, AnswerFunction, Step, StepFunction


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


def _eager(problem: Problem, value: Value, config: TrainConfig) -> AnswerFunction:
    """By ``solve_held_argmax``: any gradient, any operator; a sample that has converged moves no more."""
    operator = config.make_operator()

    def answer(t: Tensor, z: Tensor, dt: Tensor) -> Answer:
        found = solve_held_argmax(
            problem, value, t, z, dt=dt, operator=operator, gradient=config.gradient, jfb_steps=config.jfb_steps,
            max_iterations=config.argmax_iterations, tolerance=config.argmax_tolerance,
        )  # fmt: skip
        return Answer(found.control, found.residual.detach(), z.new_zeros(len(z)))

    return answer


def make_held_step(problem: Problem, value: Value, config: TrainConfig) -> StepFunction:
    """argmax H_dt, RK4 and cost: the search, then RK4 compiled together with the tracked application of T."""
    if _whole(config):
        answer = _eager(problem, value, config)

        def flown(t: Tensor, z: Tensor, dt: Tensor) -> Step:
            found = answer(t, z, dt)
            after, cost = advance(problem, t, z, found.control, dt)
            return Step(after, cost, found.residual, found.penalty)

        return flown
    search, track = _search(problem, value, config), _tracked(problem, value, config)

    def apply(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, who: Tensor | None, bend: Tensor) -> tuple[Tensor, Tensor]:
        return advance(problem, t, z, track(t, z, dt, u, who, bend), dt)

    apply_ = compiled(apply, value.scale.device)

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        u, who, bend, residual = search(t, z.detach(), dt)
        after, cost = apply_(t, z, dt, u, who, bend)
        return Step(after, cost, residual, torch.zeros_like(cost))

    return step


def make_held_answer(problem: Problem, value: Value, config: TrainConfig) -> AnswerFunction:
    """argmax H_dt by itself."""
    if _whole(config):
        return _eager(problem, value, config)
    search, track = _search(problem, value, config), compiled(_tracked(problem, value, config), value.scale.device)

    def answer(t: Tensor, z: Tensor, dt: Tensor) -> Answer:
        u, who, bend, residual = search(t, z.detach(), dt)
        return Answer(track(t, z, dt, u, who, bend), residual, torch.zeros_like(residual))

    return answer


def _whole(config: TrainConfig) -> bool:
    """What cannot be split as ``_search`` does, or is not compiled, is eager."""
    return not config.compiled or config.gradient == "unroll" or bool(config.memory)


Track: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor], Tensor]


def _tracked(problem: Problem, value: Value, config: TrainConfig) -> Track:
    """The control that was found, with the gradient of T applied once more."""
    search = _settings(config)

    def track(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, who: Tensor | None, bend: Tensor) -> Tensor:
        tracked = HeldHamiltonian(problem, value, t, z, dt, member=who)
        fixed = _Seen(HeldHamiltonian(problem, value, t, z.detach(), dt, member=who), bend)
        again = differentiable(fixed, tracked, u, problem.control_bounds(z), bend.shape[-1], search)
        return u + (again - again.detach())

    return track


def _settings(config: TrainConfig) -> Search:
    return Search(
        config.make_operator(), config.gradient, config.argmax_iterations, config.argmax_tolerance, "single",
        config.jfb_steps,
    )  # fmt: skip


def _search(
    problem: Problem, value: Value, config: TrainConfig
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor | None, Tensor, Tensor]]:
    """argmax H_dt without a graph: look (slopes and curvature), move (T once), in turns; u, who speaks, H_uu, residual.

    A search unrolled into one graph takes minutes to compile; ``look`` holds the only sweep back through the step, and
    is compiled once however many applications of T there are. Which expansion speaks is decided outside the graphs: who
    plays which role takes the host.
    """
    search, coupled = _settings(config), config.gradient == "implicit"
    operator = search.operator

    @torch.no_grad()
    def look(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, who: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return HeldHamiltonian(problem, value, t, z, dt, coupled, who).look(u)

    @torch.no_grad()
    def move(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, who: Tensor | None, slope: Tensor, bend: Tensor) -> Tensor:
        seen = _Seen(HeldHamiltonian(problem, value, t, z, dt, member=who), bend)
        return operator.iterate(seen, u, slope, problem.control_bounds(z))

    look_, move_ = compiled(look, value.scale.device), compiled(move, value.scale.device)

    @torch.no_grad()
    def find(t: Tensor, z: Tensor, dt: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        box, who = problem.control_bounds(z), value.speaker(t, z)
        u = HeldHamiltonian(problem, value, t, z, dt, member=who).start().clamp(*box)
        slope, first, bend = look_(t, z, dt, u, who)
        for _ in range(search.max_iterations):
            u = move_(t, z, dt, u, who, slope, bend)
            slope, first, bend = look_(t, z, dt, u, who)
        return u, who, bend, projected_residual(u, slope, box, 1 + first.abs())

    return find
