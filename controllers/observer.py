"""Any controller behind a belief of its state: it asks for what is right where its control will act."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ..envs.fields import check_callable
from ..envs.integrate import begun
from .adapter import Memory, Predictor, answered, asked
from .channel import Belief, Channel, Tables, ahead, first_belief, remembered, seen, suspects
from .waypoints import held_over, own_problem


class Observer(Predictor):
    """A controller behind the model's own estimate of the state, carried on to where its control will act.

        x = E[z(t) | what was seen and asked for],   z⁺ = x after the controls under way,   u = policy(t + delay dt, z⁺)

    The optimum of a system whose controls come ``delay`` steps late is the optimum of the same system, from the state
    at which they act: a policy for the one is one for the other, and nothing is trained anew. Slow actuators are asked
    for as much more as brings them to u within the step, if the bounds allow. Noise goes through Kalman's filter over
    the model. Which of several channels it is, is found out from what is seen, flight by flight.

    Args:
        policy: a controller (t, z) -> u of ``policy.problem``; one behind channels of several delays is asked with a
            t of ``(B,)``.
        channels: what lies between it and the system: one ``Channel``, or several of which the likeliest is believed,
            at the beginning the first. ``None``: those of ``suspects``.

    It remembers within an episode: ``rollout``, ``evaluate`` and ``simulate`` begin one; a loop of your own flies what
    ``begin`` returns, in the order of time, and ``predict`` is given the ``state`` that it returned.

    Raises:
        ValueError: if policy is no controller with a problem, or channels are none.
    """

    def __init__(self, policy: Any, channels: Channel | Sequence[Channel] | None = None) -> None:
        check_callable(policy)
        self.policy, self.problem = policy, own_problem(policy)
        several = suspects(self.problem) if channels is None else channels
        self.channels = (several,) if isinstance(several, Channel) else tuple(several)
        if not self.channels or not all(isinstance(c, Channel) for c in self.channels):
            raise ValueError(f"channels is {channels!r:.80}; expected one Channel or more")
        late = max(c.delay for c in self.channels)
        if late >= self.problem.steps:
            raise ValueError(f"delay is {late}; expected less than the {self.problem.steps} control steps of a flight")
        n, name = self.problem.state_dim, type(self.problem).__name__
        sizes = {len(x) for c in self.channels for x in (c.noise, c.drift) if isinstance(x, tuple)}
        if not sizes <= {n}:
            raise ValueError(
                f"noise or drift has {sorted(sizes)} entries; expected a number or {n}, as {name} has states"
            )
        self.flying, self.belief = False, cast("Belief | None", None)

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; of one state ``(n,)``: ``(m,)``. Before ``begin``: as at the beginning of a flight."""
        t, batch = asked(self.problem, t, z)
        times = torch.as_tensor(t).to(batch).expand(len(batch))
        last = self.belief
        wanted = self._begin(times, batch) if last is None else self._look(times, batch, last)
        at = wanted.t[0] if len(batch) and bool((wanted.t == wanted.t[0]).all()) else wanted.t
        u, belief = self._asked(wanted, self.policy(at.to(batch), wanted.state.to(batch)))
        self.belief = belief if self.flying and len(batch) else None
        return answered(u.to(batch), z)

    def begin(self) -> Observer:
        """One episode, in the order of time; a time that is not later than the last begins another."""
        other = copy.copy(self)
        other.policy, other.belief, other.flying = begun(self.policy), None, True
        return other

    def held_over(self, dt: float) -> Observer:
        """The same, its policy's answers held for ``dt``; what has begun goes on."""
        other = self if self.flying else copy.copy(self)
        other.policy = held_over(self.policy, dt)
        return other

    @torch.no_grad()
    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u(t, z), and what is believed, asked for and under way; and what the policy remembers."""
        if not len(seen):
            return seen.new_zeros(0, self.problem.control_dim), state
        t, z, size = seen[:, -1].double(), seen[:, :-1].double(), len(Belief._fields)
        begins = torch.zeros(len(z), dtype=torch.bool)
        if episode_start is not None:
            begins = torch.as_tensor(episode_start, dtype=torch.bool).expand(len(z))
        wanted = self._begin(t, z)
        if state is not None:
            parts = [torch.from_numpy(part) for part in state[:size]]
            if [part.shape for part in parts] != [part.shape for part in wanted.belief]:
                raise ValueError("state is of another observer, or of a policy; expected what the last call returned")
            wanted = self._look(t, z, Belief(*parts), begins)
        if isinstance(self.policy, Predictor):
            there = torch.cat([wanted.state, wanted.t.unsqueeze(-1)], -1).float()
            u, inner = self.policy.respond(there, (state or ())[size:] or None, wanted.begins.numpy())
        else:
            u, inner = self.policy(wanted.t.to(seen), wanted.state.to(seen)), None
        u, belief = self._asked(wanted, u)
        return u.float(), (*(part.numpy() for part in belief), *(inner or ()))

    def _begin(self, t: Tensor, z: Tensor) -> Wanted:
        """Nothing is under way."""
        y = z.detach().double()
        t = t.detach().to(y)
        belief = first_belief(self.problem, Tables.of(self.problem, self.channels, y), t, y)
        begins = torch.ones(len(y), dtype=torch.bool, device=y.device)
        return Wanted(t, y, belief, belief.acting[:, 0], y.new_ones(len(y), 1), begins)

    @torch.no_grad()
    def _look(self, t: Tensor, z: Tensor, last: Belief, begins: Tensor | None = None) -> Wanted:
        """What is believed by now, and where the next control will act; rows that begin, or go back in time, anew."""
        first = self._begin(t, z)
        if last.state.shape != first.belief.state.shape:
            return first
        begins = (first.t <= last.time) if begins is None else begins | (first.t <= last.time)
        if bool(begins.all()):
            return first
        dt = float((first.t - last.time)[~begins].median())
        tables = Tables.of(self.problem, self.channels, first.state)
        belief = seen(self.problem, tables, last, first.t, first.state, dt)
        there = ahead(self.problem, tables, belief, first.t, dt)
        acts = there.t.clamp_max(self.problem.horizon - dt).maximum(first.t)  # later than T nothing acts
        mixed = Belief(*(_where(begins, a, b) for a, b in zip(first.belief, belief, strict=True)))
        t, state = _where(begins, first.t, acts), _where(begins, first.state, there.state)
        return Wanted(t, state, mixed, there.acting, there.share, begins)

    def _asked(self, wanted: Wanted, u: Tensor) -> tuple[Tensor, Belief]:
        """What brings the actuators to the policy's u, within the bounds; and what is remembered with it."""
        goal = u.detach().to(wanted.state)
        u = torch.where(wanted.begins.unsqueeze(-1), goal, wanted.acting + (goal - wanted.acting) / wanted.share)
        low, high = self.problem.control_bounds(u)
        u = u.maximum(low).minimum(high)
        return u, remembered(wanted.belief, u, wanted.begins)


class Wanted(NamedTuple):
    """What a policy is asked, by flight, and what its answer is for: the time ``(B,)`` and state ``(B, n)`` at which it
    will act, what is believed, what acts before it, how far the actuators come in a step, which flights begin."""

    t: Tensor
    state: Tensor
    belief: Belief
    acting: Tensor
    share: Tensor
    begins: Tensor


def _where(rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(rows.reshape(-1, *[1] * (no.ndim - 1)), yes, no)
