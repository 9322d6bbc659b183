"""The one discretisation: the control is held over dt while (z, ∫L) advance together by Runge-Kutta steps."""

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
    """(z, ∫L) with u held over dt: returns ``z(t + dt)`` and the cost of the step, ``(B,)``.

    ``problem.substeps`` classical Runge-Kutta steps of h = dt / substeps, local error O(h^5): z' = f(t, z, u),
    c' = L(t, z, u),  z + h/6 (k1 + 2 k2 + 2 k3 + k4).
    """
    h = dt / problem.substeps
    z, spent = runge_kutta(problem, t, z, u, h)
    for k in range(1, problem.substeps):
        z, cost = runge_kutta(problem, t + k * h, z, u, h)
        spent = spent + cost
    return z, spent


def runge_kutta(problem: Problem, t: Tensor, z: Tensor, u: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
    """One of them."""
    half = t + 0.5 * h
    k1, l1 = problem.dynamics(t, z, u), problem.running_cost(t, z, u)
    for method, x, shape in (("dynamics", k1, z.shape), ("running_cost", l1, z.shape[:-1])):
        _check_shape(problem, method, x, shape)
    z2 = z + (0.5 * h) * k1
    k2, l2 = problem.dynamics(half, z2, u), problem.running_cost(half, z2, u)
    z3 = z + (0.5 * h) * k2
    k3, l3 = problem.dynamics(half, z3, u), problem.running_cost(half, z3, u)
    z4 = z + h * k3
    k4, l4 = problem.dynamics(t + h, z4, u), problem.running_cost(t + h, z4, u)
    return z + (h / 6) * (k1 + 2 * (k2 + k3) + k4), (h / 6) * (l1 + 2 * (l2 + l3) + l4)


def _check_shape(problem: Problem, method: str, x: object, shape: tuple[int, ...]) -> None:
    """Refuse what would be broadcast to something else without a word."""
    if not isinstance(x, Tensor) or x.shape != shape:
        came = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        hint = ", one value per sample: .sum(-1)" if len(shape) == 1 else ""
        raise ValueError(f"{type(problem).__name__}.{method} returned {came}; expected {tuple(shape)}{hint}")


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
    end = problem.terminal_cost(z)
    _check_shape(problem, "terminal_cost", end, z.shape[:-1])
    return Trajectory(times, torch.stack(states), torch.stack(controls), running, end)
