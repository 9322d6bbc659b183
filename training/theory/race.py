"""Equal wall time for every way of differentiating the argmax: who has reached which cost when."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...controllers.policy import ImplicitPolicy
from ...controllers.value import Value
from ...envs.integrate import rollout
from ...envs.problem import Problem
from ..config import TrainConfig
from ..loss import make_step, path_loss
from ..step import StepFunction
from ..train import begin, iterate
from .variants import Variant, exact_config

Tell = Callable[[float, str], None]
"""Takes the share done and a line about it."""
WATCH = 25
"""Iterations between two looks at the angle of a direction that need not be the gradient."""


class Runner:
    """One training run that is advanced in slices of its own time; looking at it does not count.

    It begins with a copy of ``first`` where that is given, so that what made it costly is done once.
    """

    def __init__(
        self, problem: Problem, variant: Variant, base: TrainConfig, step_size: float, watched: bool,
        first: Value | None = None,
    ) -> None:  # fmt: skip
        self.variant, self.problem, self.watched = variant, problem, watched
        self.config = variant.config(base, step_size, base.argmax_tolerance, base.compiled)
        self.coarse = problem if base.steps is None else dataclasses.replace(problem, steps=base.steps)  # type: ignore[type-var]
        self.progress = begin(problem, self.config, torch.device("cpu"), copy.deepcopy(first))
        self.step = make_step(problem, self.progress.value, self.config)
        self.exact = exact_config(self.config)
        self.exact_step = make_step(problem, self.progress.value, self.exact)
        self.warm = not self.config.compiled
        self.curve: list[dict[str, float]] = []
        self.cosines: list[dict[str, float]] = []

    def advance(self, until: float, budget: float) -> None:
        """Train until ``until`` seconds of ``budget`` are spent; the learning rate follows the share of the budget."""
        while self.progress.seconds < until:
            share = min(self.progress.seconds / budget, 0.999)
            course = self.problem if share >= 1 - self.config.fine_share else self.coarse
            look = self.watched and self.progress.iteration % WATCH == 0
            true = self._exact_gradient(course) if look else None
            before = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # skipped steps are counted
                iterate(course, self.config, self.progress, self.step, share, torch.device("cpu"))
            if self.warm:  # the first call compiles, and is not counted
                self.progress.seconds += time.perf_counter() - before
            self.warm = True
            if true is not None:
                found = flat_gradient(self.progress.value)
                self.cosines.append({"seconds": self.progress.seconds, "cosine": cosine(found, true)})

    def _exact_gradient(self, course: Problem) -> Tensor:
        """The gradient at the present weights of the loss on the states that come next."""
        generator = torch.Generator()
        generator.set_state(self.progress.generator.get_state())
        z0 = course.sample_initial_state(self.config.batch, generator)
        return loss_gradient(course, self.progress.value, self.exact_step, self.exact, z0)

    @torch.no_grad()
    def validate(self, states: Tensor) -> float:
        """The cost with the argmax solved by Newton, whatever training could afford."""
        value, kind = self.progress.value, self.config.hamiltonian
        policy = ImplicitPolicy(self.problem, value, starts=self.config.starts, hamiltonian=kind)
        cost = float(rollout(self.problem, policy, states).cost.mean())
        if cost < self.progress.best_cost:
            self.progress.best_cost = cost
            self.progress.best = {k: v.clone() for k, v in self.progress.value.state_dict().items()}
        row = {"seconds": self.progress.seconds, "iteration": float(self.progress.iteration), "cost": cost}
        self.curve.append(row)
        return cost

    def result(self) -> dict[str, Any]:
        """Curve, best cost, iterations, skipped steps, and what the angles were, as plain data."""
        watched = [row["cosine"] for row in self.cosines if math.isfinite(row["cosine"])]
        angles = {} if not self.watched else {
            "descent_share": sum(c > 0 for c in watched) / max(1, len(self.cosines)),
            "cosine_median": sorted(watched)[len(watched) // 2] if watched else math.nan,
            "cosine_worst": min(watched, default=math.nan),
            "cosines": self.cosines,
        }  # fmt: skip
        finite = [row["cost"] for row in self.curve if math.isfinite(row["cost"])]
        return {
            **self.variant.record(), "step_size": self.config.step_size if self.variant.kind != "newton" else None,
            "best_cost": min(finite, default=math.nan), "last_cost": self.curve[-1]["cost"],
            "iterations_done": self.progress.iteration, "skipped": self.progress.skipped,
            "seconds_per_iteration": self.progress.seconds / max(1, self.progress.iteration),
            **angles, "curve": self.curve,
        }  # fmt: skip


def race(runners: list[Runner], budget: float, slices: int, states: Tensor, tell: Tell) -> None:
    """Advance all in turns, so that what disturbs the machine disturbs all; validate after each slice."""
    for runner in runners:
        runner.validate(states)
    for turn in range(slices):
        order = runners if turn % 2 == 0 else runners[::-1]
        for index, runner in enumerate(order):
            runner.advance(budget * (turn + 1) / slices, budget)
            cost = runner.validate(states)
            share = (turn * len(runners) + index + 1) / (slices * len(runners))
            tell(share, f"{runner.variant.label}: cost {cost:.3f}, best {runner.progress.best_cost:.3f}")


def loss_gradient(problem: Problem, value: Value, step: StepFunction, config: TrainConfig, z0: Tensor) -> Tensor:
    """d/dθ of the mean loss, flat; the weights' own ``grad`` is left alone."""
    weights = list(value.parameters())
    total = path_loss(problem, value, step, z0, config).total
    parts = torch.autograd.grad(total, weights, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(w).ravel() if g is None else g.ravel() for w, g in zip(weights, parts, strict=True)]
    )


def flat_gradient(value: torch.nn.Module) -> Tensor:
    """The gradients that the weights hold, flat."""
    return torch.cat([torch.zeros_like(w).ravel() if w.grad is None else w.grad.ravel() for w in value.parameters()])


def cosine(a: Tensor, b: Tensor) -> float:
    """Of the angle between two flat vectors; nan where one of them is not finite or 0."""
    return float((a.double() @ b.double()) / (a.double().norm() * b.double().norm()))
