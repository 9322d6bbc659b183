"""The bicycles under commonroad-vehicle-models: its kinematic single track, whose input is the rate of steering."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.drawing import PAPER
from ...envs.extras import optional
from ...envs.problem import Problem
from ...envs.render import Renderer
from .vehicles import car_scale, touching

Array = NDArray[np.float64]


class CommonRoadBicycles:
    """A ``Plant``: ``vehicle_dynamics_ks`` of commonroad-vehicle-models for each agent, integrated by RK4.

    Its state is (x, y, δ, v, θ) of the rear axle, its input (δ̇, a), and it cuts off what the car cannot do: |δ|, |δ̇|,
    a, v. Between the controller, which wants an angle, and the input is an inner loop,

        δ̇ = (δ* - δ) / ``servo``,

    which the car limits to 0.4 rad/s. Vehicle 2, a BMW 320i: wheelbase 2.58 m, 4.51 m × 1.61 m, |δ| <= 1.066 rad.

    Args:
        problem: a ``MultiBicycle``; ℓ becomes the wheelbase of the car.
        time_scale: seconds that a unit of time takes.
        vehicle: number of the car, 1 to 3.
        servo: time constant of the inner loop, s.
        step: of the integration, s, at most; not above ``servo``.
        size: of the frames.

    Raises:
        ImportError: without commonroad-vehicle-models, with the line that installs it.
        ValueError: for another problem, or a number that makes no sense.
    """

    def __init__(
        self,
        problem: Problem,
        time_scale: float = 6.0,
        vehicle: int = 2,
        servo: float = 0.05,
        step: float = 0.02,
        size: tuple[int, int] = (480, 480),
    ) -> None:
        if vehicle not in (1, 2, 3):
            raise ValueError(f"vehicle is {vehicle!r}; expected 1, 2 or 3")
        if not 0 < step <= servo:
            raise ValueError(f"step={step!r}, servo={servo!r}; expected 0 < step <= servo, in seconds")
        made = optional(f"vehiclemodels.parameters_vehicle{vehicle}", "highway")
        self.parameters: Any = getattr(made, f"parameters_vehicle{vehicle}")()
        dynamics = optional("vehiclemodels.vehicle_dynamics_ks", "highway")
        self._dynamics: Callable[..., list[float]] = dynamics.vehicle_dynamics_ks
        wheelbase = float(self.parameters.a + self.parameters.b)
        self.problem, self.scale = car_scale(problem, "CommonRoadBicycles", wheelbase, time_scale)
        self.wheelbase, self.servo, self.step, self.size = wheelbase, servo, step, size
        self.touched = False
        """Whether two cars have overlapped since ``reset``, at any step."""
        self._x = np.zeros((self.problem.num_agents, 5))
        self._u = np.zeros((self.problem.num_agents, 2))
        self._time = 0.0
        self._renderer = Renderer("rgb_array", size)

    def reset(self, z0: Array) -> None:
        """See ``Plant``; the wheels stand straight."""
        x, y, heading, speed = np.array(z0, float).reshape(-1, 4).T
        length, straight = self.scale.length, np.zeros(len(x))
        self._x = np.stack([length * x, length * y, straight, self.scale.speed * speed, heading], -1)
        self._u, self._time = np.zeros((len(x), 2)), 0.0
        self.touched = self._touching()
        self._renderer.clear()

    def read_state(self) -> Array:
        """See ``Plant``."""
        x, y, _, speed, heading = self._x.T
        length = self.scale.length
        return np.stack([x / length, y / length, heading, speed / self.scale.speed], -1).ravel()

    def write_control(self, u: Array) -> None:
        """See ``Plant``; the car itself cuts off what it cannot do."""
        self._u = np.array(u, float).reshape(-1, 2)

    def advance(self, dt: float) -> None:
        """See ``Plant``."""
        seconds = dt * self.scale.time
        count = max(1, math.ceil(seconds / self.step - 1e-9))
        h = seconds / count
        for _ in range(count):
            k1 = self._rates(self._x)
            k2 = self._rates(self._x + 0.5 * h * k1)
            k3 = self._rates(self._x + 0.5 * h * k2)
            k4 = self._rates(self._x + h * k3)
            self._x = self._x + h / 6 * (k1 + 2 * (k2 + k3) + k4)
            self.touched = self.touched or self._touching()
        self._time += dt

    def frame(self) -> NDArray[np.uint8]:
        """See ``Plant``: the problem's own scene of this state; the library draws nothing."""
        z, shown = self.read_state(), np.stack([self._x[:, 2], self._u[:, 1]], -1).ravel()
        frame = self._renderer.draw(
            self.problem.scene(self._time, z, shown), time=self._time, horizon=self.problem.horizon, cost=None,
            title="", state=z,
        )  # fmt: skip
        assert frame is not None
        frame[: round(0.13 * self.size[1])] = PAPER  # room for the caption of whoever shows it
        return frame

    def _rates(self, x: Array) -> Array:
        """The library's right-hand side for each car, with the inner loop before its input."""
        wanted, push = self._u.T
        rate, acceleration = (wanted - x[:, 2]) / self.servo, push * self.scale.acceleration
        inputs = zip(x.tolist(), rate.tolist(), acceleration.tolist(), strict=True)
        return np.array([self._dynamics(state, [turn, gas], self.parameters) for state, turn, gas in inputs])

    def _touching(self) -> bool:
        """Rectangles of the car's length and width about the middle of the wheelbase."""
        heading = self._x[:, 4]
        middle = self._x[:, :2] + 0.5 * self.wheelbase * np.stack([np.cos(heading), np.sin(heading)], -1)
        return touching(middle, heading, float(self.parameters.l), float(self.parameters.w))
