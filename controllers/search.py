"""How an argmax is searched and differentiated."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from ..envs.fields import MOST, REAL, WHOLE
from .implicit import ImplicitGradient
from .operators import GradientAscent, Operator, ProjectedNewton

Gradient: TypeAlias = Literal["jfb", "implicit", "unroll"]
Starts: TypeAlias = Literal["single", "global"]


@dataclasses.dataclass(frozen=True)
class Search:
    """How an argmax is searched and differentiated: the options of ``solve_argmax``, checked."""

    operator: Operator
    gradient: Gradient | ImplicitGradient = "jfb"
    max_iterations: int = 10
    tolerance: float = 1e-6
    starts: Starts = "single"
    jfb_steps: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.operator, GradientAscent | ProjectedNewton):
            raise ValueError(f"operator is {self.operator!r}; expected ProjectedNewton() or GradientAscent(step_size)")
        gradient = self.gradient if isinstance(self.gradient, str | ImplicitGradient) else "?"
        if gradient not in ("jfb", "implicit", "unroll") and not isinstance(gradient, ImplicitGradient):
            raise ValueError(
                f"gradient is {self.gradient!r}; expected 'jfb', 'implicit', 'unroll' or ImplicitGradient(...)"
            )
        if not isinstance(self.starts, str) or self.starts not in ("single", "global"):
            raise ValueError(f"starts is {self.starts!r}; expected 'single' or 'global'")
        numbers = (self.max_iterations, WHOLE), (self.jfb_steps, WHOLE), (self.tolerance, REAL)
        counts = all(isinstance(value, kind) for value, kind in numbers)
        counts = counts and (not isinstance(self.tolerance, int) or self.tolerance <= MOST)
        if not (counts and 0 <= self.max_iterations <= MOST and 1 <= self.jfb_steps <= MOST and self.tolerance >= 0):
            raise ValueError(
                f"max_iterations={self.max_iterations}, jfb_steps={self.jfb_steps}, tolerance={self.tolerance}; "
                "expected >= 0, >= 1, >= 0"
            )
