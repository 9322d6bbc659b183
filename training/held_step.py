"""argmax H_dt in the rollout: whole where it is eager, in functions compiled one by one where it is not."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..controllers.held import HeldHamiltonian
from ..controllers.held_argmax import solve_held_argmax
from ..controllers.value import Value
from ..envs.integrate import advance
from ..envs.problem import Problem
from .config import TrainConfig
from .split_step import Penalty, can_split, split_answer, split_step
from .step import Answer, AnswerFunction, Step, StepFunction


@dataclasses.dataclass(frozen=True)
class _Held:
    """H_dt. Which expansion speaks is found outside the compiled functions: who plays which role takes the host."""

    problem: Problem
    value: Value
    coupled: bool

    @property
    def device(self) -> torch.device:
        return self.value.scale.device

    @property
    def block(self) -> int:
        return self.problem.control_dim if self.coupled else self.problem.control_block

    def known(self, t: Tensor, z: Tensor) -> Tensor | None:
        return self.value.speaker(t, z)

    def fixed(self, t: Tensor, z: Tensor, dt: Tensor, known: Tensor | None) -> HeldHamiltonian:
        return HeldHamiltonian(self.problem, self.value, t, z, dt, self.coupled, known)

    def scale(self, known: Tensor | None) -> None:
        return None

    def tracked(self, t: Tensor, z: Tensor, dt: Tensor, known: Tensor | None) -> tuple[HeldHamiltonian, Penalty]:
        held = HeldHamiltonian(self.problem, self.value, t, z, dt, member=known)
        return held, lambda u: torch.zeros_like(z[:, 0])


def make_held_step(problem: Problem, value: Value, config: TrainConfig) -> StepFunction:
    """argmax H_dt, RK4 and cost."""
    if config.compiled and can_split(config):
        return split_step(_Held(problem, value, config.gradient == "implicit"), config)
    answer = make_held_answer(problem, value, config)

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        found = answer(t, z, dt)
        after, cost = advance(problem, t, z, found.control, dt)
        return Step(after, cost, found.residual, found.penalty)

    return step


def make_held_answer(problem: Problem, value: Value, config: TrainConfig) -> AnswerFunction:
    """argmax H_dt by itself. What is eager takes any gradient and any operator; a sample that has converged rests."""
    if config.compiled and can_split(config):
        return split_answer(_Held(problem, value, config.gradient == "implicit"), config)
    operator = config.make_operator()

    def answer(t: Tensor, z: Tensor, dt: Tensor) -> Answer:
        found = solve_held_argmax(
            problem, value, t, z, dt=dt, operator=operator, gradient=config.gradient, jfb_steps=config.jfb_steps,
            max_iterations=config.argmax_iterations, tolerance=config.argmax_tolerance,
        )  # fmt: skip
        return Answer(found.control, found.residual.detach(), z.new_zeros(len(z)))

    return answer
