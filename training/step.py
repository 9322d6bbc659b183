"""What a step of the training rollout is, whichever controller makes it."""

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


StepFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Step]
