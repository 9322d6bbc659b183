"""A run that goes nowhere says so within a few iterations: what is wrong, and what helps."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from ..envs.integrate import Trajectory
from ..envs.problem import Problem

PATIENCE = 20
"""Iterations in a row after which something is no accident."""
MOST = 0.5
"""Share of the answers whose argmax was not found that no run should live with."""
NEAR = 1e-6
"""Share of its range within which a control rests on a bound."""

MOVED = 1e-3
"""Share of the cost that a run must save whose controls all rest on their bounds in the end."""
LOOKED = 8
"""Validation states that are flown to look on, after half of PATIENCE, after it, and at the end."""

NOTHING = (
    "the gradient has been exactly 0 for {count} iterations: every control rests on a bound, or nothing that phi says "
    "reaches one. Give Problem.state_scale the sizes of the states, take bounds or costs that leave a choice, or begin "
    "at optima: anchor='expansion', or pontryagin solve"
)
RUNAWAY = (
    "states run away over the horizon, or a cost is not defined where they go: a shorter horizon, more steps, narrower "
    "initial states, or anchor='expansion' help"
)
BROKEN = "the gradient has not been finite for {count} iterations, none was applied: " + RUNAWAY
UNSOLVED = (
    "the argmax has not been found in most answers of {count} iterations (in {missed:.0%} of the last): more "
    "argmax_iterations or backtracks, or an H that is concave in u"
)
PINNED = (
    "all controls rest on their bounds along all validation flights: a held control has no gradient. Wider bounds, a "
    "larger Problem.state_scale, or bound_penalty give it one"
)
STILL = "the cost of the validation states is the same to the last digit as at the last validation: nothing moves"


class Watch:
    """Looks on, and warns once of each thing."""

    def __init__(self) -> None:
        self.iterations = self.nothing = self.broken = self.unsolved = 0
        self.said: set[str] = set()
        self.last = math.nan
        self.costs: list[float] = []
        self.pinned = False

    def iterated(self, size: float, missed: float) -> None:
        """After an iteration: the norm of its gradient, the share of its answers whose argmax was not found."""
        self.iterations += 1
        self.nothing = self.nothing + 1 if size == 0 else 0
        self.broken = self.broken + 1 if not math.isfinite(size) else 0
        self.unsolved = self.unsolved + 1 if missed > MOST else 0
        for count, text in ((self.nothing, NOTHING), (self.broken, BROKEN), (self.unsolved, UNSOLVED)):
            if count >= PATIENCE:
                self._warn(text, count=count, missed=missed)

    def validated(self, problem: Problem, u: Tensor, cost: float) -> None:
        """After a validation: the controls ``(K, B, m)`` that were flown, and the mean cost."""
        low, high = problem.control_bounds(u)
        near = NEAR * (high - low)
        self.pinned = bool(torch.logical_or(u <= low + near, u >= high - near).all())
        if self.pinned:
            self._warn(PINNED)
        if cost == self.last:
            self._warn(STILL)
        self.last = cost

    def looked(self, problem: Problem, path: Trajectory) -> None:
        """``validated`` between validations, always by flights from the same states."""
        cost, last = float(path.cost.mean()), self.last
        self.last = self.costs[-1] if self.costs else math.nan
        self.costs.append(cost)
        self.validated(problem, path.u, cost)
        self.last = last

    def ended(self, best_cost: float, first: float) -> None:
        """At the end of a run whose first validation was at iteration ``first``, 0 where it began at something good.

        Raises:
            ValueError: if there is nothing to return.
        """
        if not math.isfinite(best_cost):
            raise ValueError(f"no policy: the cost of the validation states was never finite: {RUNAWAY}")
        if first > 0 and self.iterations >= PATIENCE and self.nothing == self.iterations:
            raise ValueError(f"no policy: the weights never moved. {NOTHING.format(count=self.nothing)}")
        if first > 0 and self.pinned and len(self.costs) > 1 and not self.costs[-1] < self._least():
            raise ValueError(
                f"no policy: the cost went from {self.costs[0]:.6g} to {self.costs[-1]:.6g} in {self.iterations} "
                f"iterations, and {PINNED}; or begin at optima: anchor='expansion', or pontryagin solve"
            )

    def _least(self) -> float:
        """What a run whose controls all rest on their bounds must come below."""
        return self.costs[0] - MOVED * abs(self.costs[0])

    def _warn(self, text: str, **figures: float) -> None:
        if text not in self.said:
            self.said.add(text)
            warnings.warn(text.format(**figures), stacklevel=3)
