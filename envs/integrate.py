"""The one discretisation: the control is held over dt while (z, ∫L) advance together by one RK4 step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from .fields import check_callable, whole
from .problem import Problem
from .states import as_states

Controller: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""u = controller(t, z): any callable; t is a 0-d tensor, z is ``(B, n)``, u is ``(B, m)``."""


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """A batch of paths. Times in the unit of ``problem.horizon``.

    Attributes:
        t: ``(K + 1,)`` times.
        z: ``(K + 1, B, n)`` states.
        u: ``(K, B, m)`` controls, ``u[k]`` held over ``[t[k], t[k + 1]]``.
        running_cost: ``(B,)`` ∫ L dt.
        terminal_cost: ``(B,)`` G(z(T)).
    """

    t: Tensor
    z: Tensor
    u: Tensor
    running_cost: Tensor
    terminal_cost: Tensor

    @property
    def cost(self) -> Tensor:
        """J = ∫ L dt + G(z(T)), ``(B,)``."""
        return self.running_cost + self.terminal_cost


def advance(problem: Problem, t: Tensor, z: Tensor, u: Tensor, dt: float | Tensor) -> tuple[Tensor, Tensor]:
    """One classical Runge-Kutta step of (z, ∫L) with u held: returns ``z(t + dt)`` and the cost of the step, ``(B,)``.

    z' = f(t, z, u), c' = L(t, z, u):  z + dt/6 (k1 + 2 k2 + 2 k3 + k4), local error O(dt^5).
    """
    half = t + 0.5 * dt
    k1, l1 = problem.dynamics(t, z, u), problem.running_cost(t, z, u)
    z2 = z + (0.5 * dt) * k1
    k2, l2 = problem.dynamics(half, z2, u), problem.running_cost(half, z2, u)
    z3 = z + (0.5 * dt) * k2
    k3, l3 = problem.dynamics(half, z3, u), problem.running_cost(half, z3, u)
    z4 = z + dt * k3
    k4, l4 = problem.dynamics(t + dt, z4, u), problem.running_cost(t + dt, z4, u)
    return z + (dt / 6) * (k1 + 2 * (k2 + k3) + k4), (dt / 6) * (l1 + 2 * (l2 + l3) + l4)


def begun(controller: Controller) -> Controller:
    """What flies one episode: the controller itself, or what its method ``begin`` returns, if it has one."""
    begin = getattr(controller, "begin", None)
    return begin() if callable(begin) else controller


def rollout(problem: Problem, controller: Controller, z0: Tensor, steps: int | None = None) -> Trajectory:
    """Fly ``controller`` from ``z0`` over the whole horizon.

    The controller is called exactly once per control step, with (t, z). Gradients flow if they are enabled. One that
    has a method ``begin`` remembers within an episode: what that returns is flown.

    Args:
        problem: what to control.
        controller: any callable (t, z) -> u.
        z0: ``(B, n)`` initial states; dtype and device of everything follow it. NumPy's and lists are taken, too.
        steps: control steps over the horizon; ``problem.steps`` unless given.

    Raises:
        ValueError: if z0 or the controller's answer has the wrong shape, or z0 is not finite.
    """
    z0 = as_states(problem, z0, "z0")
    check_callable(controller)
    controller = begun(controller)
    steps = problem.steps if steps is None else whole(steps, "steps")
    dt = problem.horizon / steps
    times = torch.arange(steps + 1, dtype=z0.dtype, device=z0.device) * dt
    z, running = z0, z0.new_zeros(len(z0))
    states, controls = [z], []
    for t in times.unbind()[:-1]:
        u = controller(t, z)
        if not isinstance(u, Tensor) or u.shape != (len(z), problem.control_dim):
            came = f"shape {tuple(u.shape)}" if isinstance(u, Tensor) else f"a {type(u).__name__}"
            raise ValueError(f"the controller returned {came}; expected ({len(z)}, {problem.control_dim})")
        z, cost = advance(problem, t, z, u, dt)
        running = running + cost
        states.append(z)
        controls.append(u)
    return Trajectory(times, torch.stack(states), torch.stack(controls), running, problem.terminal_cost(z))
