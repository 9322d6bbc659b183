"""Which of several optima is followed, remembered within an episode: chosen a few times, and kept in between."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .argmax import Solution
from .value import FlownValue

if TYPE_CHECKING:
    from .policy import ImplicitPolicy

CHOICES = 10
"""Of an episode. To choose is to fly along every optimum; to choose at every step costs as many times more, and comes
to the same: whoever follows the cheapest flight is on it still at the next step."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What a policy remembers of each row of a batch.

    Attributes:
        member: who speaks, as ``FlownValue.speaker`` has it, ``(B, ..)``.
        step: of which control step that is the choice, ``(B,)``.
    """

    member: Tensor
    step: Tensor


def chosen(value: FlownValue, t: Tensor, z: Tensor, last: Chosen | None, begins: Tensor | None = None) -> Chosen:
    """The last choice where it is younger than a tenth of the episode, and of this one; a new one elsewhere.

    Args:
        value: phi, which chooses.
        t: time, ``()`` or ``(B,)``.
        z: states, ``(B, n)``.
        last: what was chosen before; ``None`` where nothing was.
        begins: rows ``(B,)`` that begin an episode.
    """
    problem = value.problem
    step = (t / problem.time_step + 1e-3).long().clamp(0, problem.steps - 1).expand(len(z))
    if last is None or len(last.step) != len(z):
        return Chosen(_speaker(value, t, z), step)
    old = (step < last.step) | (step - last.step >= -(-problem.steps // CHOICES))
    due = (old if begins is None else old | begins).nonzero().ravel()
    if not len(due):
        return last
    fresh = _speaker(value, t[due] if t.ndim else t, z[due])
    return Chosen(last.member.index_copy(0, due, fresh), last.step.index_copy(0, due, step[due]))


def _speaker(value: FlownValue, t: Tensor, z: Tensor) -> Tensor:
    found = value.speaker(t, z)
    return torch.zeros(len(z), dtype=torch.long, device=z.device) if found is None else found


class Flight:
    """One episode of a policy that chooses among flights: a controller (t, z) -> u of one batch, in the order of time.

    Args:
        policy: whose phi is a ``FlownValue``.
    """

    def __init__(self, policy: ImplicitPolicy) -> None:
        self.policy = policy
        self.last: Chosen | None = None

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``."""
        return self.solve(t, z).control

    def solve(self, t: Tensor | float, z: Tensor) -> Solution:
        """The argmax under the optimum that was chosen, with its residual and status."""
        value = self.policy.value
        assert isinstance(value, FlownValue)
        with torch.no_grad():
            fine = z.detach().to(value.scale)
            self.last = chosen(value, torch.as_tensor(t).to(fine), fine, self.last)
        return self.policy.solve(t, z, member=self.last.member)
