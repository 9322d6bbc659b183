"""Any controller behind a belief of its state: it asks for what is right where its control will act."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
        sizes = {len(x) for c in self.channels for x in (c.noise, c.drift) if not isinstance(x, int | float)}
        if not sizes <= {n}:
            raise ValueError(
                f"noise or drift has {sorted(sizes)} entries; expected a number or {n}, as {name} has states"
            )
        self.dt = self.problem.time_step
        self.belief: Belief | None = None

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; of one state ``(n,)``: ``(m,)``. Before ``begin``: as at the beginning of a flight."""
        t, batch = asked(self.problem, t, z)
        u, belief = self._answer(t, batch, self.belief)
        self.belief = belief if self._flying else None
        return answered(u, z)

    _flying = False

    def begin(self) -> Observer:
        """One episode, in the order of time."""
        other = copy.copy(self)
        other.policy, other.belief, other._flying = begun(self.policy), None, True
        return other

    def held_over(self, dt: float) -> Observer:
        """The same where each answer is held for ``dt``, by the model, too."""
        other = copy.copy(self)
        other.policy, other.dt = held_over(self.policy, dt), dt
        return other

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u(t, z), and what is believed, asked for and under way."""
        weight = next(self.policy.parameters(), seen) if isinstance(self.policy, nn.Module) else seen
        t, z = seen[:, -1].to(weight.device), seen[:, :-1].to(weight.device)
        begins = torch.ones(len(z), dtype=torch.bool)
        if state is not None and len(state) == len(Belief._fields):
            given = episode_start if episode_start is not None else False
            begins = torch.as_tensor(given, dtype=torch.bool).expand(len(z))
        u, belief = z.new_empty(len(z), self.problem.control_dim), None
        for at in (begins.nonzero().ravel(), (~begins).nonzero().ravel()):
            if not len(at):
                continue
            known = (
                None if begins[at[0]] else Belief(*(torch.from_numpy(part)[at].to(z.device) for part in state or ()))
            )
            u[at], new = self._answer(t[at], z[at], known)
            blank = Belief(*(x.new_zeros(len(z), *x.shape[1:]) for x in new)) if belief is None else belief
            belief = Belief(*(x.index_copy(0, at, part) for x, part in zip(blank, new, strict=True)))
        return u.cpu(), tuple(x.cpu().numpy() for x in belief or ())

    @torch.no_grad()
    def _answer(self, t: Tensor | float, z: Tensor, last: Belief | None) -> tuple[Tensor, Belief]:
        """The control, and what is believed with it."""
        y = z.detach().double()
        times = torch.as_tensor(t, dtype=y.dtype, device=y.device).expand(len(y))
        tables = Tables.of(self.problem, self.channels, self.dt, y)
        if last is None or last.state.shape != (len(y), len(self.channels), self.problem.state_dim):
            u = self._asked(times, z).to(y)
            return u.to(z), remembered(first_belief(self.problem, tables, y), u, True)
        belief = seen(self.problem, tables, last, times, y, self.dt)
        there = ahead(self.problem, tables, belief, times, self.dt)
        acts = there.t.clamp_max(self.problem.horizon - self.dt).maximum(times)  # later than T nothing acts
        wanted = self._asked(acts, there.state.to(z)).to(y)
        low, high = self.problem.control_bounds(y)
        u = (there.acting + (wanted - there.acting) / there.share).maximum(low).minimum(high)
        return u.to(z), remembered(belief, u, False)

    def _asked(self, t: Tensor, z: Tensor) -> Tensor:
        """The policy's answer; at one time where all are of one time."""
        u: Tensor = self.policy(t[0].to(z) if len(t) and bool((t == t[0]).all()) else t.to(z), z)
        return u
