"""How thoroughly ``pontryagin compare-gradients`` compares: one dataclass, read by the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ...controllers.policy import Hamiltonian
from ..duration import seconds
from ..rules import Checked, Count, OutFolder, Positive, Seed
from ..words import Duration


@dataclasses.dataclass(frozen=True)
class CompareConfig(Checked):
    """How thoroughly the gradients are compared."""

    hamiltonian: Hamiltonian = "continuous"
    """Which Hamiltonian's argmax is differentiated: the slides', or that of the control as it is held over a step."""
    time_budget: Duration = "45s"
    """Training for each way in the race; compiling and validating are not counted."""
    slices: Count = 12
    """Turns in which the race advances; a validation after each."""
    step_size: Positive | None = None
    """α of the ascent; unless given, 1/λ, λ the 99.9th percentile of the curvature of -H in u along the flights of a
    pilot: a policy trained by jfb + newton as long as any in the race will be."""
    ascent_iterations: Count = 20
    """Applications of T of the ascent in the race."""
    states: Count = 8
    """Initial states of the gradients whose angles are measured."""
    peak_batch: Count = 2048
    """Initial states of the iteration whose peak memory is measured."""
    seed: Seed = 0
    """Of weights and states."""
    quick: bool = False
    """Under a minute: short rollouts, a race of two seconds each, small sizes. For a first look, not for figures."""
    resume: bool = False
    """Keep the parts that the results file in ``out`` already has."""
    out: OutFolder = Path("results/gradients")
    """A folder per problem is made in it, for compare.json and the figures."""

    @property
    def budget_seconds(self) -> float:
        """``time_budget`` as a number."""
        return seconds(self.time_budget)

    def hurried(self) -> CompareConfig:
        """This with the sizes of a first look.

        Raises:
            ValueError: if one of them was given.
        """
        quick, usual = {"time_budget": 1.5, "slices": 2, "states": 4, "peak_batch": 512}, type(self)()
        for name in quick:
            if getattr(self, name) != getattr(usual, name):
                raise ValueError(f"CompareConfig.{name} has no effect with quick, which sets its own")
        return dataclasses.replace(self, **quick)  # type: ignore[arg-type]

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of iterations at which memory and time are measured."""
        return (1, 2, 4) if self.quick else (1, 2, 4, 8, 16, 32)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of coupled controls."""
        return (2, 8) if self.quick else (2, 8, 32, 128, 512)
