"""Rollouts of training in which something goes wrong: for each flight one disturbance, of a strength drawn for it."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from ..controllers.value import Value
from ..envs.compiling import compiled
from ..envs.integrate import Controller, advance, rollout
from ..envs.problem import Problem
from .config import TrainConfig
from .disturbances import Case, disturbances
from .loss import make_answer, make_step
from .parallel import team
from .rules import levels
from .step import Answer, AnswerFunction, Step, StepFunction

VALIDATION_SEED = 8_101
"""Of what goes wrong in validations: the same at each."""


class Disturbed:
    """``TrainConfig.disturb`` in the rollouts of a run, by the functions with which the benchmark measures.

    A share ``disturb_share`` of the flights meets one of the disturbances each, all alike often, of a strength uniform
    between nothing and the highest, or between the two that are given; the others meet none. Each process of several
    draws its own.

    Args:
        problem: whose disturbances they are.
        config: has ``disturb``.
        answer: the control at (t, z); what is descended on goes through it and through the plant.
        device: of the run.

    Raises:
        ValueError: if a disturbance does not exist for this problem.
    """

    def __init__(self, problem: Problem, config: TrainConfig, answer: AnswerFunction, device: torch.device) -> None:
        check_disturb(problem, config)
        assert config.disturb is not None
        self.answer, self.share = answer, config.disturb_share
        self.ranges = levels(config.disturb)
        self.advance = compiled(advance, device) if config.compiled else advance

    def drawn(self, course: Problem, z0: Tensor, generator: torch.Generator) -> tuple[StepFunction, Tensor]:
        """The steps of flights from z0, what goes wrong drawn from ``generator``; and where they begin, ``(B, n)``."""
        numbers = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=generator)) + team().rank)
        answers: list[Answer] = []
        dt = torch.as_tensor(course.time_step, dtype=z0.dtype, device=z0.device)

        def controller(t: Tensor, z: Tensor) -> Tensor:
            answers[:] = [self.answer(t, z, dt)]
            return answers[0].control

        case = self.case(Case(course, controller, z0), numbers)

        def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
            u = case.controller(t, z)
            after, cost = self.advance(case.problem, t, z, u, dt)
            return Step(after, cost, answers[0].residual, answers[0].penalty)

        return step, case.z0

    def case(self, case: Case, numbers: torch.Generator) -> Case:
        """``case`` with a disturbance for each flight."""
        known, count = disturbances(case.problem), len(case.z0)
        kind = torch.randint(len(self.ranges), (count, 1), generator=numbers)
        kind = torch.where(torch.rand(count, 1, generator=numbers) < self.share, kind, -1)
        # a mass is the class's own: it must be changed before anything is wrapped round that
        for index, name in sorted(enumerate(self.ranges), key=lambda pair: pair[1] != "mass"):
            low, high = self.ranges[name]
            low = known[name].calm if low is None else low
            level = low + (high - low) * torch.rand(count, 1, generator=numbers)
            case = known[name].change(case, torch.where(kind == index, level, known[name].calm), numbers)
        return case


Flights: TypeAlias = StepFunction | Disturbed
"""The steps of all flights alike, or what draws them."""


def make_flights(problem: Problem, value: Value, config: TrainConfig) -> Flights:
    """Under the controller that phi implies, as the configuration says."""
    if config.disturb is None:
        return make_step(problem, value, config)
    return Disturbed(problem, config, make_answer(problem, value, config), value.scale.device)


def drawn_flights(
    flights: Flights, course: Problem, z0: Tensor, generator: torch.Generator
) -> tuple[StepFunction, Tensor]:
    """The steps of these flights, and where they begin; nothing is drawn where nothing goes wrong."""
    step, z0 = flights.drawn(course, z0, generator) if isinstance(flights, Disturbed) else (flights, z0)
    return step, z0.clone().requires_grad_()  # as all later states do: one graph to compile, not two


def mean_cost(flights: Flights, problem: Problem, controller: Controller, z0: Tensor) -> float:
    """Mean J of the flights on which the best weights are chosen: each meets the same at each validation."""
    case = Case(problem, controller, z0)
    if isinstance(flights, Disturbed):
        case = flights.case(case, torch.Generator().manual_seed(VALIDATION_SEED + team().rank))
    return float(rollout(case.problem, case.controller, case.z0).cost.mean())


def check_disturb(problem: Problem, config: TrainConfig) -> None:
    """Refuse disturbances that the problem does not have.

    Raises:
        ValueError: naming them, and those that it has.
    """
    known = disturbances(problem)
    unknown = [name for name in levels(config.disturb or "") if name not in known] if config.disturb else []
    if unknown:
        raise ValueError(
            f"TrainConfig.disturb has {unknown[0]!r}; for {type(problem).__name__} expected some of {', '.join(known)}"
        )
