"""What a policy that flies follows, remembered within an episode: chosen ten times, and kept in between."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .adapter import asked
from .argmax import Solution
from .carried import Carried
from .value import FlownValue, Plan, control_step, planned, replanned

if TYPE_CHECKING:
    from .policy import ImplicitPolicy

CHOICES = 10
"""Of an episode. To choose is to fly along every optimum; to choose at every step costs as many times more, and comes
to the same: whoever follows the cheapest flight is on it still at the next step."""

TRIES, FIRST = 8, 5
"""Flights that are swept at the beginning of an episode, of which the cheapest becomes the plan; and how many times as
often as later: the cheapest before is not always the cheapest after, and a family once left is not found again."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What is followed, by row of a batch.

    Attributes:
        member: who speaks, as ``FlownValue.speaker`` has it, ``(B, ..)``.
        step: of which control step that is the choice, ``(B,)``.
        plan: the flights that were swept; ``None`` where none are.
    """

    member: Tensor
    step: Tensor
    plan: Plan | None = None

    def anew(self, last: Chosen | None) -> Tensor:
        """Which rows have another choice than ``last``, ``(B,)``."""
        if last is None or last.step.shape != self.step.shape or last.member.shape != self.member.shape:
            return torch.ones_like(self.step, dtype=torch.bool)
        return (self.step != last.step) | (self.member != last.member).reshape(len(self.step), -1).any(-1)

    @property
    def tables(self) -> tuple[Tensor, ...]:
        """All of it."""
        return self.member, self.step, *(() if self.plan is None else vars(self.plan).values())

    @classmethod
    def of(cls, tables: list[Tensor]) -> Chosen | None:
        """From ``tables``; ``None`` where it is something else."""
        if len(tables) not in (2, 6):
            return None
        member, step, *plan = tables
        return cls(member, step, Plan(*plan) if plan else None)


def chosen(value: FlownValue, t: Tensor, z: Tensor, last: Chosen | None, begins: Tensor | None = None) -> Chosen:
    """The last choice where it is younger than a tenth of the episode, and of this one; a new one elsewhere.

    Where ``value`` sweeps, the flights of the new ones are, or what is left of the old plan, if that is cheaper; where
    there is no old plan several, and the cheapest is followed. A plan that is settled is kept as long as the state is
    on it.

    Args:
        value: phi, which chooses.
        t: time, ``()`` or ``(B,)``.
        z: states, ``(B, n)``.
        last: what was chosen before; ``None`` where nothing was.
        begins: rows ``(B,)`` that begin an episode.
    """
    problem = value.problem
    step = control_step(problem, t, z)
    if last is None or not _fits(value, last, z):
        last, new = None, torch.ones_like(step, dtype=torch.bool)
        due = new
    else:
        new = step < last.step if begins is None else (step < last.step) | begins
        due = step - last.step >= -(-problem.steps // CHOICES)
        due = new | (due if last.plan is None else due & ~last.plan.holds(step, z))
    rows = due.nonzero().ravel()
    if last is not None and not len(rows):
        return last
    count = TRIES if value.sweeps and bool(new.any()) else 1
    many = value.foremost(t[rows] if t.ndim else t, z[rows], count)
    member = many[:, 0]
    found = Chosen(member, step[rows], _plan(value, step[rows], z[rows], many, last, rows, new[rows]))
    if last is None:
        return found
    plan = None if last.plan is None or found.plan is None else last.plan.replaced(rows, found.plan)
    return Chosen(last.member.index_copy(0, rows, member), last.step.index_copy(0, rows, found.step), plan)


def failed(tables: list[Tensor], count: int, device: torch.device) -> Tensor:
    """Which of ``count`` rows remember what is not finite: a plan that failed is no place to begin, ``(B,)``."""
    lost = torch.zeros(count, dtype=torch.bool, device=device)
    for part in (x for x in tables if x.ndim and len(x) == count):
        lost = lost | ~part.isfinite().reshape(count, -1).all(-1)
    return lost


def _fits(value: FlownValue, last: Chosen, z: Tensor) -> bool:
    """Whether that can be a memory of these rows: what a caller passes may be anything."""
    problem, most = value.problem, value.state.shape[1]
    agents = problem.state_dim // problem.state_block
    row: tuple[int, ...] = (1 + agents,) if value.alike else ()
    known = last.member[:, 0] if value.alike and last.member.ndim == 2 else last.member
    if last.member.shape != (len(z), *row) or last.step.shape != (len(z),) or (last.plan is None) == (value.sweeps > 0):
        return False
    if bool((known < 0).any() | (known >= most).any() | (last.step < 0).any() | (last.step >= problem.steps).any()):
        return False
    n, m, steps, plan = problem.state_dim, problem.control_dim, problem.steps, last.plan
    return plan is None or (
        plan.state.shape == (len(z), steps + 1, n)
        and plan.control.shape == (len(z), steps, m)
        and plan.settled.shape == (len(z),)
        and tuple(plan.gain.shape) in [(len(z), steps, g, m // g, n // g) for g in (1, agents)]
    )


def _plan(
    value: FlownValue, step: Tensor, z: Tensor, many: Tensor, last: Chosen | None, rows: Tensor, new: Tensor
) -> Plan | None:
    """Plans of the states z, which are ``rows`` of ``last``, those apart that are ``new``."""
    if not value.sweeps:
        return None
    parts, order = [], []
    for k in step.unique().tolist():
        for fresh in (True, False):
            at = ((step == k) & (new == fresh)).nonzero().ravel()
            if len(at):
                if fresh or last is None or last.plan is None:
                    plan = planned(value.problem, value, k, z[at], many[at], FIRST * value.sweeps)
                else:
                    old = last.plan.rows(rows[at])
                    plan = replanned(value.problem, value, k, z[at], many[at, 0], value.sweeps, old)
                parts.append(plan)
                order.append(at)
    whole = Plan(*(torch.cat(tables) for tables in zip(*(vars(p).values() for p in parts), strict=True)))
    return whole.rows(torch.cat(order).argsort())


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
        u, self.last, _ = followed(self.policy, t, z, self.last)
        return u

    def held_over(self, dt: float) -> Flight:
        """It goes on, with answers that are held for ``dt``; see ``ImplicitPolicy``."""
        self.policy = self.policy.held_over(dt)
        return self

    def solve(self, t: Tensor | float, z: Tensor) -> Solution:
        """That answer, with the residual and status of H_dt there."""
        u = self(t, z)
        assert self.last is not None
        return self.policy.solve(t, z, u, member=self.last.member)


def followed(
    policy: ImplicitPolicy,
    t: Tensor | float,
    z: Tensor,
    last: Chosen | None,
    begins: Tensor | None = None,
    carried: Carried | None = None,
) -> tuple[Tensor, Chosen, Carried | None]:
    """What the policy answers that goes on with ``last``, and what it then follows; with ``carried``, as ``go_on`` has
    it, beside the plan where there is one: that is where the search begins, and without iterations the answer."""
    value, (t, z) = policy.value, asked(policy.problem, t, z)
    assert isinstance(value, FlownValue)
    with torch.no_grad():
        fine = z.detach().to(value.scale)
        time = torch.as_tensor(t).to(fine)
        choice = chosen(value, time, fine, last, begins)
        u0 = None if choice.plan is None else choice.plan.answer(value.problem, time, fine)
    if u0 is not None and not policy.max_iterations:
        return u0.to(z.dtype), choice, carried
    if carried is None:
        return policy.solve(t, z, u0, choice.member).control, choice, None
    carried = carried.over(choice.anew(last))
    found, carried = policy.go_on(time, fine, carried, u0, choice.member)
    return found.control.to(z.dtype), choice, carried
