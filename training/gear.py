"""When a run's step is compiled: at once, never, or from the iteration on at which it pays."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TypeAlias

import torch

from ..controllers.implicit import ImplicitGradient
from ..envs.compiling import compiler_at_hand
from ..envs.problem import Problem
from .checkpoint import Progress
from .config import TrainConfig
from .disturbed import Flights, drawn_flights
from .loss import path_loss
from .parallel import team

TIMED, ENOUGH = 10, 15.0
"""Iterations by whose pace ``compile="auto"`` decides, or seconds, where they are over before."""
PAYS = 180.0
"""Seconds ahead of a run from which on compiling pays: it takes a minute or two, and the rest is then three times
faster."""
MakeFlights: TypeAlias = Callable[[TrainConfig], Flights]
"""Of a configuration that says whether they are compiled."""


class Gear:
    """The flights of a run, eager or compiled, as ``config.compile`` says.

    Args:
        problem: what is controlled.
        config: of the run.
        progress: where it begins.
        make: makes its flights.
    """

    def __init__(self, problem: Problem, config: TrainConfig, progress: Progress, make: MakeFlights) -> None:
        self.problem, self.config, self.make = problem, config, make
        self.first, self.begun = progress.iteration, progress.seconds
        self.flights = make(config)
        self.waits = config.compile is not False

    def due(self, progress: Progress) -> bool:
        """Whether it is time to compile."""
        if not self.waits or self.config.compiled:
            return self.waits
        done = progress.iteration - self.first
        gone = progress.seconds - self.begun
        if not done or (done < TIMED and gone < ENOUGH):
            return False
        self.waits = False
        left = gone / done * (self.config.iterations - progress.iteration)
        left = min(left, (self.config.budget_seconds or math.inf) - progress.seconds)
        return left >= PAYS and _can_compile(self.problem, self.config, progress.value.scale.device)

    def compile(self, course: Problem, progress: Progress) -> str:
        """Compile, by a gradient that nobody descends; what there is to say about it, if anything.

        Raises:
            RuntimeError: if torch cannot, and it was asked for.
        """
        self.waits = False
        asked, config = self.config.compiled, dataclasses.replace(self.config, compile=True)
        try:
            flights = self.flights if asked else self.make(config)
            numbers = torch.Generator().manual_seed(config.seed)
            z0 = course.sample_initial_state(config.batch, numbers)[team().rows(config.batch)]
            step, z0 = drawn_flights(flights, course, z0.to(progress.value.scale.device), numbers)
            path_loss(course, progress.value, step, z0, config).total.backward()
            self.flights = flights
        except RuntimeError as error:
            if asked:
                raise
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            return f"it cannot be compiled ({reason:.120}): going on as before"
        finally:
            progress.optimizer.zero_grad(set_to_none=True)
        return ""


def _can_compile(problem: Problem, config: TrainConfig, device: torch.device) -> bool:
    """Whether there is a compiler, and nothing in the step that looks at values."""
    matrix_free = config.gradient == "implicit" and ImplicitGradient().matrix_free(problem.control_block)
    return not matrix_free and (device.type != "cpu" or compiler_at_hand())
