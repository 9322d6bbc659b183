"""What goes wrong outside the model, seeded, for any controller: gusts, a push, lag, delay, noise, masses, starts."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..envs.bicycle import MultiBicycle
from ..envs.crazyflie import Crazyflie
from ..envs.integrate import Controller, begun
from ..envs.problem import Problem, vector
from ..envs.quadrotor import Quadrotor

CORRELATION = 0.5
"""Time over which a gust forgets itself."""
SEED = 4_201
"""Of the mean of rho_0."""


class Forced(Problem):
    """``problem`` with a rate ``force (B, n)`` added to f, which whoever flies sets before each control step."""

    def __init__(self, problem: Problem) -> None:
        self.inner, self.force = problem, torch.zeros(1, problem.state_dim)
        self.state_dim, self.control_dim = problem.state_dim, problem.control_dim
        self.horizon, self.steps, self.substeps = problem.horizon, problem.steps, problem.substeps
        self.control_low, self.control_high = problem.control_low, problem.control_high
        self.success_radius, self.lost_cost = problem.success_radius, problem.lost_cost
        super().__post_init__()

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.inner.dynamics(t, z, u) + self.force.to(z)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.inner.running_cost(t, z, u)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return self.inner.terminal_cost(z)

    def terminal_error(self, z: Tensor) -> Tensor:
        return self.inner.terminal_error(z)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample_initial_state(batch, generator)


@dataclasses.dataclass(frozen=True)
class Case:
    """What is flown: a plant that need not be the problem, a controller that need not see or do all, from where."""

    problem: Problem
    controller: Controller
    z0: Tensor


Level: TypeAlias = "float | Tensor"
"""A strength: one for all flights, or ``(B, 1)``, one for each."""
Change: TypeAlias = Callable[[Case, Level, torch.Generator], Case]


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """One way in which a flight may differ from the model.

    Attributes:
        title: for figures, with the unit of a level.
        levels: strengths, mild to severe; the undisturbed flight, ``calm``, is not among them.
        calm: the strength that changes nothing.
        change: makes the disturbed case of a level, with random numbers from the generator alone.
    """

    title: str
    levels: tuple[float, ...]
    change: Change
    calm: float = 0.0

    def apply(self, problem: Problem, controller: Controller, z0: Tensor, level: Level, seed: int = 0) -> Case:
        """The case to fly with ``rollout``; every controller meets the same random numbers."""
        return self.change(Case(problem, begun(controller), z0), level, torch.Generator().manual_seed(seed))


def blown(problem: Problem) -> tuple[int, ...]:
    """The states whose rates a gust or a push changes: velocities; of bicycles, which slip, positions; else all."""
    if isinstance(problem, Forced):
        return blown(problem.inner)
    if isinstance(problem, Quadrotor | Crazyflie):
        return (6, 7, 8)
    if isinstance(problem, MultiBicycle):
        return tuple(4 * i + k for i in range(problem.num_agents) for k in (0, 1))
    return tuple(range(problem.state_dim))


def gusts(case: Case, level: Level, generator: torch.Generator) -> Case:
    """An Ornstein-Uhlenbeck force of standard deviation ``level`` and correlation time ½, held over a control step."""
    states, problem = blown(case.problem), case.problem
    memory = math.exp(-problem.time_step / CORRELATION)
    noise = torch.randn(problem.steps, len(case.z0), len(states), generator=generator)
    force = torch.zeros(problem.steps, len(case.z0), problem.state_dim)
    gust = noise[0]
    for k in range(problem.steps):
        gust = memory * gust + math.sqrt(1 - memory**2) * noise[k] if k else gust
        force[k, :, states] = level * gust
    return _forced(case, force)


def push(case: Case, level: Level, generator: torch.Generator) -> Case:
    """At half time a kick of length ``level`` in a random direction, within one control step."""
    states, problem = blown(case.problem), case.problem
    direction = torch.randn(len(case.z0), len(states), generator=generator)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    force = torch.zeros(problem.steps, len(case.z0), problem.state_dim)
    force[problem.steps // 2, :, states] = level / problem.time_step * direction
    return _forced(case, force)


def _forced(case: Case, force: Tensor) -> Case:
    """``force (K, B, n)`` acts from step to step."""
    plant, inner = Forced(case.problem), case.controller

    def fly(t: Tensor, z: Tensor) -> Tensor:
        plant.force = force[_step(plant, t)]
        return inner(t, z)

    return dataclasses.replace(case, problem=plant, controller=fly)


def lag(case: Case, level: Level, generator: torch.Generator) -> Case:
    """Actuators that follow with the time constant ``level``: u' = (asked - u) / level, from what is asked at t = 0."""
    inner = case.controller
    share = 1 - torch.exp(-case.problem.time_step / torch.as_tensor(level, dtype=case.z0.dtype)).to(case.z0)
    last: list[Tensor] = []

    def fly(t: Tensor, z: Tensor) -> Tensor:
        asked = inner(t, z)
        applied = asked if _step(case.problem, t) == 0 else last[0] + share * (asked - last[0])
        last[:] = [applied]
        return applied

    return dataclasses.replace(case, controller=fly)


def delayed(case: Case, level: Level, generator: torch.Generator) -> Case:
    """Controls that arrive ``level`` steps late, to the nearest whole one; until then what is asked for at t = 0."""
    inner = case.controller
    late = torch.as_tensor(level).round().to(case.z0.device)
    most = int(late.max())
    asked: list[Tensor] = []

    def fly(t: Tensor, z: Tensor) -> Tensor:
        if _step(case.problem, t) == 0:
            asked.clear()
        asked.append(inner(t, z))
        del asked[: -most - 1]
        applied = asked[-1]
        for steps in range(1, most + 1):
            applied = torch.where(late >= steps, asked[-min(steps + 1, len(asked))], applied)
        return applied

    return dataclasses.replace(case, controller=fly)


def noisy(case: Case, level: Level, generator: torch.Generator) -> Case:
    """White noise of standard deviation ``level`` on every state that the controller sees."""
    inner = case.controller
    noise = torch.randn(case.problem.steps, *case.z0.shape, generator=generator)

    def fly(t: Tensor, z: Tensor) -> Tensor:
        return inner(t, z + (level * noise[_step(case.problem, t)]).to(z))

    return dataclasses.replace(case, controller=fly)


def other_mass(case: Case, level: Level, generator: torch.Generator) -> Case:
    """A plant whose mass (of a bicycle: whose wheelbase) is ``level`` times that of the model."""
    problem = case.problem
    if isinstance(problem, Quadrotor | Crazyflie):
        return dataclasses.replace(case, problem=_with(problem, "mass", level * problem.mass))
    if isinstance(problem, MultiBicycle):
        return dataclasses.replace(case, problem=_with(problem, "wheelbase", level * problem.wheelbase))
    raise ValueError(f"{type(problem).__name__} has no mass and no wheelbase to change")


def _with(problem: Problem, name: str, value: Level) -> Problem:
    """``problem`` with another parameter; one for each flight is set past its checks, which are for numbers."""
    if not isinstance(value, Tensor):
        changed: Problem = dataclasses.replace(problem, **{name: value})  # type: ignore[type-var]
        return changed
    many = copy.copy(problem)
    object.__setattr__(many, name, value)
    return many


def far_starts(case: Case, level: Level, generator: torch.Generator) -> Case:
    """Initial states ``level`` times as far from the mean of rho_0."""
    mean = case.problem.sample_initial_state(1024, torch.Generator().manual_seed(SEED)).mean(0).to(case.z0)
    return dataclasses.replace(case, z0=mean + torch.as_tensor(level).to(case.z0) * (case.z0 - mean))


def disturbances(problem: Problem) -> dict[str, Disturbance]:
    """The disturbances that make sense for a problem, by name."""
    scale = 1.0
    if not isinstance(problem, Quadrotor | Crazyflie | MultiBicycle):
        typical = vector(problem.state_scale, problem.state_dim, torch.zeros(()))
        scale = float(typical.median())
    bicycle = isinstance(problem, MultiBicycle)
    found = {
        "wind": Disturbance(
            "gusts: slip velocity"
            if bicycle
            else "gusts: acceleration"
            if isinstance(problem, Quadrotor | Crazyflie)
            else "gusts",
            tuple(x * scale for x in (0.05, 0.1, 0.2, 0.4)),
            gusts,
        ),
        "push": Disturbance(
            "push at half time: distance" if bicycle else "push at half time: change of velocity",
            tuple(x * scale for x in (0.1, 0.25, 0.5, 1.0)),
            push,
        ),
        "lag": Disturbance("actuator lag: time constant", (0.02, 0.05, 0.1, 0.2), lag),
        "delay": Disturbance("controls that arrive late: control steps", (1.0, 2.0, 3.0, 4.0), delayed),
        "noise": Disturbance("observation noise: σ", tuple(x * scale for x in (0.005, 0.01, 0.02, 0.05)), noisy),
        "starts": Disturbance("spread of the starts, × rho_0", (1.5, 2.0, 3.0, 5.0), far_starts, calm=1.0),
    }
    if isinstance(problem, Quadrotor | Crazyflie | MultiBicycle):
        title = "wheelbase, × the model's" if bicycle else "mass, × the model's"
        found["mass"] = Disturbance(title, (0.8, 0.9, 1.1, 1.2), other_mass, calm=1.0)
    return found


def _step(problem: Problem, t: Tensor) -> int:
    """The control step that begins at t."""
    return min(round(float(t) / problem.time_step), problem.steps - 1)
