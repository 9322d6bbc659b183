"""What may lie between a controller and its system, and what is believed of the state behind it: Kalman's filter."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..envs.fields import number, whole
from ..envs.integrate import advance
from ..envs.problem import Bound, Problem, vector

LATEST = 5
"""Control steps by which a control is suspected to be late, at most."""
LAGS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6)
"""Time constants of actuators that are suspected, in control steps."""
NOISES = (0.01, 0.03, 0.1)
"""And noises, as a share of how far a state goes."""
DRIFT, GALE = 0.03, 0.3
"""Standard deviation of what the model does not know of a rate, as such a share in a unit of time: of every suspect,
and of the one that trusts what it sees."""
ROUNDING = 1e-6
"""What is not known of a step where nothing is said to be, as such a share."""
TAIL = 4.0
"""Degrees of freedom of Student's t, in which surprises are counted: one that is large, a push, does not decide."""


@dataclasses.dataclass(frozen=True)
class Channel:
    """What lies between a controller and the system.

    Attributes:
        delay: control steps by which controls arrive late; until then the first one acts.
        lag: time constant of the actuators, u' = (asked - u) / lag, in the unit of the horizon.
        noise: standard deviation of white noise on what is seen; a number or one for each state.
        drift: standard deviation of rates that the model does not know, held over a control step, likewise.

    Raises:
        ValueError: if one is negative or not finite, or ``delay`` is not whole.
    """

    delay: int = 0
    lag: float = 0.0
    noise: Bound = 0.0
    drift: Bound = 0.0

    def __post_init__(self) -> None:
        whole(self.delay, "delay", 0)
        for name in ("lag", "noise", "drift"):
            value: Any = getattr(self, name)
            several = name != "lag" and np.ndim(value) == 1
            entries = tuple(number(x, name) for x in np.asarray(value).tolist()) if several else number(value, name)
            if min(entries if isinstance(entries, tuple) else (entries,)) < 0:
                raise ValueError(f"{name} is {value!r}; expected 0 or above")
            object.__setattr__(self, name, entries)


def suspects(problem: Problem) -> tuple[Channel, ...]:
    """What an ``Observer`` tells apart by itself: nothing, late or slow controls, noise, a model that is off.

    One thing at a time; of two that explain a flight equally well the first is believed.
    """
    scale = typical(problem, torch.zeros((), dtype=torch.float64))
    drift, gale = (tuple((x * scale).tolist()) for x in (DRIFT, GALE))
    return (
        Channel(drift=drift),
        *(Channel(delay=k, drift=drift) for k in range(1, min(LATEST, problem.steps - 1) + 1)),
        *(Channel(lag=x * problem.time_step, drift=drift) for x in LAGS),
        *(Channel(noise=tuple((x * scale).tolist()), drift=drift) for x in NOISES),
        Channel(drift=gale),
    )


class Tables(NamedTuple):
    """Channels as tensors, H of them: ``delay (H,)``, ``lag (H, 1)``, variances ``noise (H, n)`` of what is seen and
    standard deviations ``drift (H, n)`` of a rate."""

    delay: Tensor
    lag: Tensor
    noise: Tensor
    drift: Tensor

    @classmethod
    def of(cls, problem: Problem, channels: tuple[Channel, ...], like: Tensor) -> Tables:
        """For states like ``like``."""
        return cls(
            torch.tensor([c.delay for c in channels], device=like.device),
            torch.tensor([[c.lag] for c in channels], dtype=like.dtype, device=like.device),
            torch.stack([vector(c.noise, problem.state_dim, like) ** 2 for c in channels]),
            torch.stack([vector(c.drift, problem.state_dim, like) for c in channels]),
        )

    def share(self, dt: float) -> Tensor:
        """Of the way to what is asked, what an actuator goes in dt, ``(H, 1)``."""
        return torch.where(self.lag > 0, 1 - torch.exp(-dt / self.lag.clamp_min(1e-9)), 1.0)


class Belief(NamedTuple):
    """What is believed of B flights under each of H channels.

    Attributes:
        state: the estimate, ``(B, H, n)``.
        spread: its covariance by agent, ``(B, H, N, b, b)``.
        score: log-likelihood of what was seen, ``(B, H)``.
        asked: the last D + 1 controls that were asked for, the latest last, ``(B, D + 1, m)``.
        acting: the control that acts, ``(B, H, m)``.
        time: of the last answer, ``(B,)``.
    """

    state: Tensor
    spread: Tensor
    score: Tensor
    asked: Tensor
    acting: Tensor
    time: Tensor

    @property
    def best(self) -> Tensor:
        """The likeliest channel, ``(B,)``."""
        return self.score.argmax(-1)


def first_belief(problem: Problem, tables: Tables, t: Tensor, y: Tensor) -> Belief:
    """Before anything was asked: what is seen, ``y (B, n)``, with its noise."""
    count, m, n = len(tables.delay), problem.control_dim, problem.state_dim
    spread = torch.diag_embed(tables.noise.unflatten(-1, (-1, agent_size(problem, y)))).expand(len(y), -1, -1, -1, -1)
    latest = int(tables.delay.max()) + 1
    return Belief(
        y.unsqueeze(1).expand(-1, count, n), spread, y.new_zeros(len(y), count), y.new_zeros(len(y), latest, m),
        y.new_zeros(len(y), count, m), t,
    )  # fmt: skip


def seen(problem: Problem, tables: Tables, last: Belief, t: Tensor, y: Tensor, dt: float) -> Belief:
    """One step of the extended Kalman filter of each channel: from ``dt`` before ``t (B,)`` to what is seen at t.

        a <- a + share (u_{k-1-delay} - a),   x⁻ = F(x, a),   P⁻ = A P Aᵀ + Q,   K = P⁻ (P⁻ + R)⁻¹
        x = x⁻ + K (y - x⁻),   P = (1 - K) P⁻,   score += Σ_i log t_4((y - x⁻)_i / √S_ii) - ½ log S_ii

    A = ∂F/∂x by agent, by central differences. What is asked at t itself is ``remembered`` afterwards.
    """
    count, heard = len(tables.delay), last.asked[:, last.asked.shape[1] - 1 - tables.delay]
    acting = last.acting + tables.share(dt) * (heard - last.acting)
    before = (t - dt).clamp_min(0.0).repeat_interleave(count)
    after, slope = _linearised(problem, before, last.state.flatten(0, 1), acting.flatten(0, 1), dt)
    after, slope = after.unflatten(0, (-1, count)), slope.unflatten(0, (-1, count))
    b = slope.shape[-1]
    unknown = (tables.drift * dt) ** 2 + (ROUNDING * typical(problem, y)) ** 2
    spread = slope @ last.spread @ slope.mT + torch.diag_embed(unknown.unflatten(-1, (-1, b)))
    whole_spread = spread + torch.diag_embed(tables.noise.unflatten(-1, (-1, b)))
    gain = torch.linalg.solve(whole_spread, spread).mT
    surprise = y.unsqueeze(1) - after
    state = after + (gain @ surprise.unflatten(-1, (-1, b)).unsqueeze(-1)).squeeze(-1).flatten(-2)
    variance = whole_spread.diagonal(dim1=-2, dim2=-1).flatten(-2)
    likely = -0.5 * (TAIL + 1) * torch.log1p(surprise**2 / (TAIL * variance)) - 0.5 * variance.log()
    return Belief(state, spread - gain @ spread, last.score + likely.sum(-1), last.asked, acting, t)


def remembered(belief: Belief, u: Tensor, begins: Tensor) -> Belief:
    """With the control that is asked for now; where a flight ``begins (B,)`` it acts at once, late or slow as it is."""
    new, first = u.unsqueeze(1), begins.reshape(-1, 1, 1)
    return belief._replace(
        asked=torch.where(first, new, torch.cat([belief.asked[:, 1:], new], 1)),
        acting=torch.where(first, new, belief.acting),
    )


class Ahead(NamedTuple):
    """Where a control that is asked for now will act, by flight: the time ``(B,)``, the state ``(B, n)``, what acts
    before it ``(B, m)``, and the share of the way from that to it that is gone in a step, ``(B, 1)``."""

    t: Tensor
    state: Tensor
    acting: Tensor
    share: Tensor


def ahead(problem: Problem, tables: Tables, belief: Belief, t: Tensor, dt: float) -> Ahead:
    """The state under the likeliest channel, carried over the controls that are under way: Smith's predictor."""
    rows, best = torch.arange(len(t), device=t.device), belief.best
    delay, share = tables.delay[best], tables.share(dt)[best]
    x, acting = belief.state[rows, best], belief.acting[rows, best]
    latest = belief.asked.shape[1]
    for j in range(int(tables.delay.max())):
        late = (j < delay).unsqueeze(-1)
        coming = belief.asked[rows, (latest - delay + j).clamp(0, latest - 1)]
        acts = acting + share * (coming - acting)
        moved = advance(problem, t + j * dt, x, acts, dt)[0]
        x, acting = torch.where(late, moved, x), torch.where(late, acts, acting)
    return Ahead(t + delay * dt, x, acting, share)


def typical(problem: Problem, like: Tensor) -> Tensor:
    """How far each state goes, ``(n,)``."""
    size = problem.state_scale if problem.fine_scale is None else problem.fine_scale
    return vector(size, problem.state_dim, like)


def agent_size(problem: Problem, z: Tensor) -> int:
    """The states of an agent, where it is known that each moves by itself; else all of them."""
    t = torch.zeros((), dtype=z.dtype, device=z.device)
    return problem.state_dim if problem.coupling(t, z[:1]) is None else problem.state_block


def _linearised(problem: Problem, t: Tensor, x: Tensor, u: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """F(t, x, u), ``(R, n)``, and ∂F/∂x by agent, ``(R, N, b, b)``."""
    b = agent_size(problem, x)
    step = torch.finfo(x.dtype).eps ** (1 / 3) * typical(problem, x)
    seeds = torch.eye(b, dtype=x.dtype, device=x.device).repeat(1, x.shape[-1] // b) * step
    away = torch.cat([seeds.new_zeros(1, x.shape[-1]), seeds, -seeds]).unsqueeze(1)
    many, rows = len(away), len(x)
    moved = advance(problem, t.repeat(many), (x + away).flatten(0, 1), u.repeat(many, 1), dt)[0]
    after, up, down = moved.unflatten(0, (many, rows)).split([1, b, b])
    rise = (up - down).unflatten(-1, (-1, b)).movedim(0, -1)
    return after.squeeze(0), rise / (2 * step.unflatten(-1, (-1, 1, b)))
