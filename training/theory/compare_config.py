"""How thoroughly ``pontryagin compare-gradients`` compares: one dataclass, read by the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """How thoroughly the gradients are compared."""

    budget: float = 45.0
    """Seconds of training for each way in the race; compiling and validating are not counted."""
    slices: int = 12
    """Turns in which the race advances; a validation after each."""
    step_size: float | None = None
    """α of the ascent; unless given, 1/λ, λ the 99.9th percentile of the curvature of -H in u along the flights of a
    pilot: a policy trained by jfb + newton as long as any in the race will be."""
    ascent_iterations: int = 20
    """Applications of T of the ascent in the race."""
    states: int = 8
    """Initial states of the gradients whose angles are measured."""
    peak_batch: int = 2048
    """Initial states of the iteration whose peak memory is measured."""
    seed: int = 0
    """Of weights and states."""
    quick: bool = False
    """Under a minute: short rollouts, a race of two seconds each, small sizes. For a first look, not for figures."""
    resume: bool = False
    """Keep the parts that the results file in ``out`` already has."""
    out: Path = Path("results/gradients")
    """A folder per problem is made in it, for compare.json and the figures."""

    def __post_init__(self) -> None:
        for name in ("budget", "slices", "ascent_iterations", "states", "peak_batch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"CompareConfig.{name} is {getattr(self, name)!r}; expected a positive number")
        if self.step_size is not None and not self.step_size > 0:
            raise ValueError(f"CompareConfig.step_size is {self.step_size!r}; expected a positive number or None")

    def hurried(self) -> CompareConfig:
        """This with the sizes of a first look.

        Raises:
            ValueError: if one of them was given.
        """
        quick = {"budget": 1.5, "slices": 2, "states": 4, "peak_batch": 512}
        for field in dataclasses.fields(self):
            if field.name in quick and getattr(self, field.name) != field.default:
                raise ValueError(f"CompareConfig.{field.name} has no effect with quick, which sets its own")
        return dataclasses.replace(self, **quick)  # type: ignore[arg-type]

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of iterations at which memory and time are measured."""
        return (1, 2, 4) if self.quick else (1, 2, 4, 8, 16, 32)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of coupled controls."""
        return (2, 8) if self.quick else (2, 8, 32, 128, 512)
