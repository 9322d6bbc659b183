"""Other people's simulators under our controllers: the protocol ``Plant``, and ``simulate``, the one loop around it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...envs.fields import check_callable
from ...envs.integrate import Controller, Trajectory, begun
from ...envs.problem import Problem
from ...envs.states import as_states
from ..chosen import Flight
from ..observer import Observer
from ..policy import ImplicitPolicy
from ..waypoints import Towards, Waypoints


class Plant(Protocol):
    """A system that is not ours, in the coordinates of a ``Problem``: states z, controls u, times in its unit.

    A plant holds the last control it was given (zero-order hold) and integrates with a step of its own.
    """

    def reset(self, z0: NDArray[np.float64]) -> None:
        """Begin anew in the state z0, ``(n,)``, at t = 0, with nothing remembered."""

    def read_state(self) -> NDArray[np.float64]:
        """The state now, z ``(n,)``. Angles are continuous in time: no jumps by 2π."""

    def write_control(self, u: NDArray[np.float64]) -> None:
        """Hold u, ``(m,)``, from now on; what the actuators cannot do is cut off by the plant."""

    def advance(self, dt: float) -> None:
        """Let dt pass."""

    def frame(self) -> NDArray[np.uint8]:
        """A picture of the present moment, ``(height, width, 3)``."""


class BatchedPlant(Protocol):
    """A ``Plant`` that makes many flights at once: the same, with an axis of flights before states and controls."""

    batched: bool
    """True."""

    def reset(self, z0: NDArray[np.float64]) -> None:
        """Begin anew in the states z0, ``(B, n)``."""

    def read_state(self) -> NDArray[np.float64]:
        """The states now, ``(B, n)``."""

    def write_control(self, u: NDArray[np.float64]) -> None:
        """Hold u, ``(B, m)``, from now on."""

    def advance(self, dt: float) -> None:
        """Let dt pass."""

    def frame(self) -> NDArray[np.uint8]:
        """A picture of the first flight."""


class _Alone:
    """A ``Plant`` as one of a single flight at once."""

    def __init__(self, plant: Plant) -> None:
        self.plant, self.advance = plant, plant.advance

    def reset(self, z0: NDArray[np.float64]) -> None:
        self.plant.reset(z0[0])

    def read_state(self) -> NDArray[np.float64]:
        return np.asarray(self.plant.read_state())[None]

    def write_control(self, u: NDArray[np.float64]) -> None:
        self.plant.write_control(u[0])


Watch = Callable[[float, Any], None]


@dataclasses.dataclass(frozen=True)
class Timetable:
    """What happens when, the same for every flight.

    Attributes:
        times: ``(K + 1,)`` moments, 0 first and the horizon last.
        asks: ``(K,)`` whether the controller is asked at the moment.
        applies: ``(K,)`` which answer takes effect, -1 for none.
        period: from one question to the next.
    """

    times: tuple[float, ...]
    asks: tuple[bool, ...]
    applies: tuple[int, ...]
    period: float


def timetable(horizon: float, rate: float, latency: float) -> Timetable:
    """The answer to the question at k / rate takes effect at k / rate + latency and is held until the next one does."""
    count = math.ceil(horizon * rate - 1e-9)
    asked = {round(k / rate, 12): k for k in range(count)}
    arrived = {round(k / rate + latency, 12): k for k in range(count) if k / rate + latency < horizon - 1e-9}
    times = sorted(asked.keys() | arrived.keys())
    asks, applies = tuple(t in asked for t in times), tuple(arrived.get(t, -1) for t in times)
    return Timetable((*times, horizon), asks, applies, 1 / rate)


@torch.no_grad()
def simulate(
    problem: Problem,
    plant: Plant | BatchedPlant,
    controller: Controller,
    z0: Tensor,
    *,
    rate: float | None = None,
    latency: float = 0.0,
    watch: Watch | None = None,
) -> Trajectory:
    """Fly ``controller`` in ``plant`` from each row of ``z0``: one after the other, in a ``BatchedPlant`` at once.

    The controller is asked at the times k / rate; its answer takes effect ``latency`` later and is held until the next
    one does. Before the first, the control is the admissible one nearest to 0. The running cost is that of the problem
    along the path that was flown, ∫ L(t, z, u) dt by Simpson's rule over each interval of the returned grid.

    Args:
        problem: whose coordinates and costs are used.
        plant: what is flown.
        controller: any callable (t, z) -> u; asked with z ``(1, n)``, or ``(B, n)`` where all fly at once, dtype and
            device of ``z0``. A policy of the held Hamiltonian is told how long its answer will be held: 1 / rate, or
            what is left of the horizon.
        z0: initial states, ``(B, n)``.
        rate: questions per unit of time; that of the problem, steps / horizon, unless given.
        latency: time between a question and the effect of its answer; it may be longer than 1 / rate.
        watch: called with (t, plant) at every moment of the grid and at the end, e.g. to keep ``plant.frame()``.

    Returns:
        A ``Trajectory`` on the grid of all moments at which the control may change: the questions, and with a latency
        the effects of their answers. ``u[k]`` is what was in effect over ``[t[k], t[k + 1]]``.

    Raises:
        ValueError: if z0, rate, latency or an answer makes no sense, or a flight leaves the finite numbers.
    """
    z0 = as_states(problem, z0, "z0")
    check_callable(controller)
    if lacking := [name for name in ("reset", "read_state", "write_control", "advance") if not hasattr(plant, name)]:
        raise ValueError(f"plant is a {type(plant).__name__} without {', '.join(lacking)}; expected a pontryagin.Plant")
    rate = problem.steps / problem.horizon if rate is None else rate
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate is {rate!r}; expected a positive number of answers per unit of time")
    if not 0 <= latency < problem.horizon:
        raise ValueError(f"latency is {latency!r}; expected a time in [0, {problem.horizon})")
    plan = timetable(problem.horizon, rate, latency)
    together = bool(getattr(plant, "batched", False))
    inner: Any = plant if together else _Alone(plant)

    def told(t: float) -> None:
        if watch is not None:
            watch(t, plant)

    groups = [z0] if together else z0.split(1)
    flights = [_flight(problem, inner, controller, rows, plan, told, index) for index, rows in enumerate(groups)]
    z, middle, u = (torch.cat(parts, 1) for parts in zip(*flights, strict=True))
    t = torch.tensor(plan.times, dtype=z0.dtype, device=z0.device)
    running = _integral(problem, t, z, middle, u)
    return Trajectory(t, z, u, running, problem.terminal_cost(z[-1]))


def _flight(
    problem: Problem, plant: Any, controller: Controller, z0: Tensor, plan: Timetable, told: Callable[[float], None],
    index: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """States ``(K + 1, B, n)``, those in the middle of the intervals ``(K, B, n)``, and controls ``(K, B, m)``."""
    low, high = problem.control_bounds(z0)
    held = z0.new_zeros(len(z0), len(low)).clamp(low, high)
    plant.reset(z0.double().cpu().numpy())
    plant.write_control(held.double().cpu().numpy())
    answers: list[Tensor] = []
    controller = begun(controller)
    states, middles, controls = [_look(plant, z0, index)], [], []
    for k, (asks, applied) in enumerate(zip(plan.asks, plan.applies, strict=True)):
        told(plan.times[k])
        if asks:
            answers.append(_ask(problem, controller, plan.times[k], states[-1], plan.period))
        if applied >= 0:
            held = answers[applied]
            plant.write_control(held.double().cpu().numpy())
        half = 0.5 * (plan.times[k + 1] - plan.times[k])
        plant.advance(half)
        middles.append(_look(plant, z0, index))
        plant.advance(half)
        states.append(_look(plant, z0, index))
        controls.append(held)
    told(plan.times[-1])
    return torch.stack(states), torch.stack(middles), torch.stack(controls)


def _ask(problem: Problem, controller: Controller, t: float, z: Tensor, period: float) -> Tensor:
    if isinstance(controller, ImplicitPolicy | Flight | Observer | Towards | Waypoints):
        controller = controller.held_over(min(period, problem.horizon - t))
    u = controller(torch.tensor(t, dtype=z.dtype, device=z.device), z)
    if u.shape != (len(z), problem.control_dim):
        raise ValueError(f"the controller returned shape {tuple(u.shape)}; expected {(len(z), problem.control_dim)}")
    if not bool(u.isfinite().all()):
        bad = u[int((~u.isfinite().all(-1)).nonzero()[0])]
        raise ValueError(f"the controller returned {bad.tolist()} at t = {t:.4g}; expected finite controls")
    return u.to(z).clamp(*problem.control_bounds(z))


def _look(plant: Any, like: Tensor, index: int) -> Tensor:
    z = plant.read_state()
    fits = z.shape == like.shape
    if not fits or not np.isfinite(z).all():
        row = int((~np.isfinite(z).all(-1)).argmax()) if fits else 0
        raise ValueError(
            f"flight {index + row} reached the state {z[row] if z.ndim > 1 else z} in "
            f"{type(getattr(plant, 'plant', plant)).__name__}; expected {like.shape[1]} finite numbers"
        )
    return torch.as_tensor(z, dtype=like.dtype, device=like.device)


def _integral(problem: Problem, t: Tensor, z: Tensor, middle: Tensor, u: Tensor) -> Tensor:
    """∫ L dt by flight, ``(B,)``: Simpson's rule, exact for a path that is cubic over an interval."""
    width = (t[1:] - t[:-1]).repeat_interleave(z.shape[1])
    begin, end = t[:-1].repeat_interleave(z.shape[1]), t[1:].repeat_interleave(z.shape[1])
    rows = [x.flatten(0, 1) for x in (z[:-1], middle, z[1:], u)]
    first, mid, last = (
        problem.running_cost(when, where, rows[3])
        for when, where in zip((begin, begin + 0.5 * width, end), rows[:3], strict=True)
    )
    return (width / 6 * (first + 4 * mid + last)).unflatten(0, (-1, z.shape[1])).sum(0)
