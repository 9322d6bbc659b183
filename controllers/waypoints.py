"""One policy, many targets: the same flight to another point, through a list of points, and on after the horizon.

Where f and L depend neither on the time nor on where in the world the system is, and G on the position only by its
distance from the target, a policy for one target is one for every target: shift the positions, ask, fly.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..envs.fields import check_callable, finite, number
from ..envs.integrate import Controller, begun
from ..envs.problem import Problem, check_kind
from .adapter import Memory, Predictor, answered, asked

Then: TypeAlias = "Controller | Literal['again'] | None"
ROUNDING = 1e-5
"""Share of a leg by which a time may be short of the next one and still count as in it."""


class Towards(Predictor):
    """A policy that flies to ``target`` instead of the target of its problem: u(t, z) = policy(t, z - shift).

    Args:
        policy: a controller with a ``problem`` that has a ``target`` and says which states are positions.
        target: where to, in the coordinates of the problem.

    Attributes:
        problem: that of the policy with the new target: for ``rollout``, ``evaluate``, an environment or a plant.

    Raises:
        ValueError: if the problem has no target or no positions, the target is none, or costs or dynamics change
            where positions are shifted.
    """

    def __init__(self, policy: Any, target: Sequence[float]) -> None:
        check_callable(policy)
        self.policy, own = policy, own_problem(policy)
        self.problem = moved(own, target)
        shift = torch.zeros(own.state_dim, dtype=torch.float64)
        there, here = (torch.tensor(_target(p), dtype=torch.float64) for p in (self.problem, own))
        shift[list(own.position_states)] = there - here
        self.shift = shift

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; of one state ``(n,)``: ``(m,)``."""
        t, batch = asked(self.problem, t, z)
        return answered(self.policy(t, batch - self.shift.to(batch)), z)

    def begin(self) -> Towards:
        """One episode, of a policy that remembers; see ``ImplicitPolicy``."""
        other = copy.copy(self)
        other.policy = begun(self.policy)
        return other

    def held_over(self, dt: float) -> Towards:
        """The same where each answer is held for ``dt``, which only a policy of the held Hamiltonian minds."""
        other = copy.copy(self)
        other.policy = held_over(self.policy, dt)
        return other

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u(t, z), and what the policy remembers."""
        seen = torch.cat([seen[:, :-1] - self.shift.to(seen), seen[:, -1:]], -1)
        if isinstance(self.policy, Predictor):
            return self.policy.respond(seen, state, episode_start)
        return self.policy(seen[:, -1], seen[:, :-1]), state


class Waypoints(Predictor):
    """Flies to one point after the other, T for each, the clock of the policy begun anew at every one.

        u(t, z) = policy(t - k T, z - shift_k)   for k T <= t < (k + 1) T

    Args:
        policy: as for ``Towards``, of a problem that does not depend on the time.
        points: targets, in the order in which they are flown.
        then: what flies on after the last point, for ``stay``. ``None``: nothing, and a later time is refused.
            ``"again"``: the policy, its clock turned back to 0 every T. A controller: it, asked with a clock that
            begins at 0 every T, in the coordinates of ``policy.problem``, as if the last point were its target.
        stay: how long, a multiple of the control step.

    Attributes:
        problem: that of the policy with the last target and the horizon of the whole flight.

    Raises:
        ValueError: as ``Towards``; without points; if the problem depends on the time; if only one of ``then`` and
            ``stay`` is given.
    """

    def __init__(self, policy: Any, points: Sequence[Sequence[float]], then: Then = None, stay: float = 0.0) -> None:
        check_callable(policy)
        own = own_problem(policy)
        if isinstance(points, str) or not len(points):
            raise ValueError(f"points is {points!r}; expected one target or more")
        steps = round(number(stay, "stay") / own.time_step)
        if stay < 0 or abs(steps * own.time_step - stay) > ROUNDING * own.horizon or (then is None) != (steps == 0):
            raise ValueError(
                f"stay is {stay!r} and then is {then!r:.60}; expected both or neither, and of stay a multiple of the "
                f"control step, {own.time_step:g}"
            )
        if then != "again" and then is not None:
            check_callable(then)
        check_timeless(own)
        self.legs = [Towards(policy, point) for point in points]
        self.after: Any = policy if then == "again" else then
        self.leg = own.horizon
        last = self.legs[-1].problem
        whole: dict[str, Any] = {"horizon": len(points) * own.horizon + stay, "steps": len(points) * own.steps + steps}
        self.problem = dataclasses.replace(last, **whole)  # type: ignore[type-var]

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; of one state ``(n,)``: ``(m,)``."""
        t, batch = asked(self.problem, t, z)
        times = torch.as_tensor(t, dtype=torch.float64).cpu().expand(len(batch))
        turns = torch.floor(times / self.leg + ROUNDING).long()
        if self.after is None:  # the end of the last leg is its own
            turns = turns.clamp_max(len(self.legs) - 1)
        clock = (times - turns * self.leg).clamp(0.0, self.leg).to(batch)
        u = batch.new_empty(len(batch), self.problem.control_dim)
        for k in turns.unique().tolist():
            rows = turns == k
            u[rows] = self._leg(k, clock[rows], batch[rows])
        return answered(u, z)

    def _leg(self, k: int, clock: Tensor, z: Tensor) -> Tensor:
        """Controls of flight k, ``(B, m)``; all of its clocks are equal where all states are of one time."""
        time = clock[0] if bool((clock == clock[0]).all()) else clock
        if k < len(self.legs):
            return self.legs[k](time, z)
        u = self.after(time, z - self.legs[-1].shift.to(z))
        low, high = self.problem.control_bounds(z)
        return torch.maximum(torch.minimum(u.to(z), high), low)

    def begin(self) -> Waypoints:
        """One flight past all points; see ``Towards``."""
        other = copy.copy(self)
        other.legs = [leg.begin() for leg in self.legs]
        other.after = begun(self.after)
        return other

    def held_over(self, dt: float) -> Waypoints:
        """The same where each answer is held for ``dt``; see ``Towards``."""
        other = copy.copy(self)
        other.legs = [leg.held_over(dt) for leg in self.legs]
        other.after = held_over(self.after, dt)
        return other

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u(t, z), and the state as it came."""
        with torch.no_grad():
            return self(seen[:, -1], seen[:, :-1].double()).float(), state


def moved(problem: Problem, target: Sequence[float]) -> Problem:
    """``problem`` with another target.

    Raises:
        ValueError: if it has none or no positions, or is not the same problem, shifted.
    """
    here = _target(problem)
    given = torch.as_tensor(target, dtype=torch.float64).tolist() if not isinstance(target, str) else []
    if not isinstance(given, list) or len(given) != len(here) or not all(map(finite, given)):
        raise ValueError(f"target is {target!r}; expected {len(here)} finite coordinates")
    there: Problem = dataclasses.replace(problem, target=tuple(given))  # type: ignore[type-var]
    shift = torch.zeros(problem.state_dim, dtype=torch.float64)
    shift[list(problem.position_states)] = torch.tensor(given, dtype=torch.float64) - torch.tensor(here).double()
    t, z, u = _samples(problem)
    pairs = (
        (problem.dynamics(t, z, u), there.dynamics(t, z + shift, u)),
        (problem.running_cost(t, z, u), there.running_cost(t, z + shift, u)),
        (problem.terminal_cost(z), there.terminal_cost(z + shift)),
    )
    if not all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in pairs):
        raise ValueError(
            f"{type(problem).__name__} depends on where it is: a policy for one target is none for another"
        )
    return there


def check_timeless(problem: Problem) -> None:
    """Refuse f and L that depend on the time: a clock begun anew would mean another problem.

    Raises:
        ValueError: naming the problem.
    """
    t, z, u = _samples(problem)
    later = t + 0.37 * problem.horizon
    for f in (problem.dynamics, problem.running_cost):
        if not torch.allclose(f(t, z, u), f(later, z, u), rtol=1e-6, atol=1e-9):
            raise ValueError(f"{type(problem).__name__} depends on the time: its clock cannot be begun anew")


def _samples(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = problem.sample_initial_state(8, generator).double()
    low, high = problem.control_bounds(z)
    u = low + torch.rand(8, problem.control_dim, generator=generator, dtype=torch.float64) * (high - low)
    return torch.zeros((), dtype=torch.float64), z, u


def held_over(policy: Any, dt: float) -> Any:
    return policy.held_over(dt) if hasattr(policy, "held_over") else policy


def own_problem(policy: Any) -> Problem:
    problem: Any = getattr(policy, "problem", None)
    if problem is None:
        raise ValueError(f"policy is a {type(policy).__name__} without a problem; expected one, or a ControllerPolicy")
    check_kind(problem)
    own: Problem = problem
    return own


def _target(problem: Problem) -> tuple[float, ...]:
    """The target of a problem that has one.

    Raises:
        ValueError: if it has none, or does not say which states are positions.
    """
    target, positions = getattr(problem, "target", None), problem.position_states
    if not dataclasses.is_dataclass(problem) or not positions or np.shape(target) != (len(positions),):
        raise ValueError(
            f"{type(problem).__name__} has no target that could be moved; expected a field target, and position_states "
            "that say which states are its coordinates"
        )
    found = tuple(float(x) for x in target)
    assert all(map(math.isfinite, found))
    return found
