"""What a step of the training rollout is, and what a controller answers in it, whichever controller it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from torch import Tensor


class Step(NamedTuple):
    """One controlled step, by sample: next state, its cost, argmax residual, the rate of the weighted penalties."""

    z: Tensor
    cost: Tensor
    residual: Tensor
    penalty: Tensor


class Answer(NamedTuple):
    """The control at (t, z), ``(B, m)``, with its graph; argmax residual, and the rate of the weighted penalties."""

    control: Tensor
    residual: Tensor
    penalty: Tensor


StepFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Step]
"""(t, z, dt) -> the step."""
AnswerFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Answer]
"""(t, z, dt) -> the answer, to be held for dt."""
