"""Path constraints g(t, z, u) <= 0 as a smooth price in L, and how far a flight was beyond them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from .fields import number
from .integrate import Trajectory

Constraint: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""g(t, z, u), ``(B, c)``: kept where it is at most 0."""


def penalty(excess: Tensor, width: float = 0.1) -> Tensor:
    """½ (width · softplus(excess / width))², elementwise: ½ max(excess, 0)² made smooth over about ``width``.

    It has every derivative, is convex and never 0: half of (width log 2)² = 0.24 width² on the border, and falling by
    e² with each ``width`` inside it. Times a weight w in L, it lets a constraint be passed by about λ/w, λ being its
    multiplier: raise w until ``violation`` is small enough, and w · width² stays small.

    Raises:
        ValueError: if ``width`` is no positive number.
    """
    if number(width, "width") <= 0:
        raise ValueError(f"width is {width!r}; expected a positive number")
    return 0.5 * (width * torch.nn.functional.softplus(excess / width)) ** 2


@dataclasses.dataclass(frozen=True)
class Violation:
    """How a batch of flights kept its constraints.

    Attributes:
        worst: ``(B, c)`` largest max(g, 0) on a flight, in the unit of g.
        share: ``(B, c)`` share of the moments at which g > 0.
    """

    worst: Tensor
    share: Tensor


def violation(constraint: Constraint, trajectory: Trajectory) -> Violation:
    """g at the beginning of each control step, and at T with the last control.

    Args:
        constraint: such as the method ``excess`` of a problem that has one.
        trajectory: what ``rollout``, ``evaluate`` or ``solve_optimum`` came to.

    Raises:
        ValueError: if g is no tensor ``(B, c)``.
    """
    u, count = torch.cat([trajectory.u, trajectory.u[-1:]]), trajectory.z.shape[1]
    moments = zip(trajectory.t, trajectory.z, u, strict=True)
    values = [constraint(t, z, v) for t, z, v in moments]
    if not all(isinstance(g, Tensor) and g.ndim == 2 and len(g) == count for g in values):
        came = f"shape {tuple(values[0].shape)}" if isinstance(values[0], Tensor) else f"a {type(values[0]).__name__}"
        raise ValueError(f"the constraint returned {came}; expected ({count}, c): one column for each, .unsqueeze(-1)")
    beyond = torch.stack(values).clamp_min(0.0)
    return Violation(beyond.amax(0), (beyond > 0).to(beyond.dtype).mean(0))
