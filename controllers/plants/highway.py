"""The bicycles as cars of highway-env: its vehicles on open ground, reference point the centre, Euler steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.extras import optional
from ...envs.problem import Problem
from ...envs.scene import hue_circle
from .vehicles import car_scale, slip, to_center, to_rear

Array = NDArray[np.float64]
OVERSAMPLING = 2
GROUND = (232, 233, 236)


class HighwayBicycles:
    """A ``Plant``: N of highway-env's vehicles, driven by its actions ``steering`` and ``acceleration``.

    highway-env moves the *centre* of a vehicle, at the speed v_c in the direction θ + β, tanβ = ½ tanδ, and turns it
    with θ̇ = v_c sinβ / (L/2), L = 5 m the vehicle's length. That is the problem's bicycle, whose point is the rear
    wheel and whose wheelbase ℓ is L, seen from its centre (``controllers.vehicles.to_center``). Where δ changes,
    v = v_c cosβ would jump, because highway-env keeps v_c; a bicycle keeps v. So the acceleration of each step is the
    one that brings v_c to (v + a h) / cosβ, an inner loop on the speed through the simulator's own action. Its y axis
    points down the screen: y, θ and δ change sign.

    A collision is highway-env's own: its vehicles lose control and stop. ``touched`` says whether it has happened.

    Args:
        problem: a ``MultiBicycle``; ℓ becomes 5 m.
        time_scale: seconds that a unit of time takes.
        frequency: steps per second; highway-env integrates by Euler's method, so many of them.
        size: of the frames.

    Raises:
        ImportError: without highway-env, with the line that installs it.
        ValueError: for another problem, or a number that is not positive.
    """

    def __init__(
        self, problem: Problem, time_scale: float = 6.0, frequency: float = 200.0, size: tuple[int, int] = (480, 480)
    ) -> None:
        kinematics = optional("highway_env.vehicle.kinematics", "highway")
        self._vehicle: Any = kinematics.Vehicle
        self.problem, self.scale = car_scale(problem, "HighwayBicycles", self._vehicle.LENGTH, time_scale)
        if not (math.isfinite(frequency) and frequency > 0):
            raise ValueError(f"frequency is {frequency!r}; expected a positive number of steps per second")
        self.frequency, self.size = frequency, size
        self.road: Any = None
        self._u = np.zeros((self.problem.num_agents, 2))
        self._steering = np.zeros(self.problem.num_agents)
        self._trails: list[Array] = []

    def reset(self, z0: Array) -> None:
        """See ``Plant``."""
        rows = np.array(z0, float).reshape(-1, 4) * self._units()
        self._u, self._steering = np.zeros((len(rows), 2)), np.zeros(len(rows))
        center = to_center(rows, self._steering, self._vehicle.LENGTH)
        self.road, self._trails = self._open_ground(), []
        for (x, y, heading, speed), color in zip(center, hue_circle(len(rows)), strict=True):
            car = self._vehicle(self.road, [x, -y], -heading, speed)
            car.color = tuple(color.tolist())
            self.road.vehicles.append(car)

    def read_state(self) -> Array:
        """See ``Plant``; highway-env does not wrap its headings."""
        rows: Array = to_rear(self._centers(), self._steering, self._vehicle.LENGTH) / self._units()
        return rows.ravel()

    def write_control(self, u: Array) -> None:
        """See ``Plant``; cut off at the problem's bounds."""
        low, high = np.array(self.problem.control_low), np.array(self.problem.control_high)
        self._u = np.clip(u, low, high).reshape(-1, 2)

    def advance(self, dt: float) -> None:
        """See ``Plant``: equal Euler steps of 1 / ``frequency`` seconds or a little less."""
        seconds = dt * self.scale.time
        count = max(1, math.ceil(seconds * self.frequency - 1e-9))
        h = seconds / count
        steering, wanted = self._u[:, 0], self._u[:, 1] * self.scale.acceleration
        for _ in range(count):
            now = self._centers()[:, 3]
            speed = now * np.cos(slip(self._steering)) + wanted * h
            acceleration = (speed / np.cos(slip(steering)) - now) / h
            for car, angle, push in zip(self.road.vehicles, steering, acceleration, strict=True):
                car.act({"steering": -float(angle), "acceleration": float(push)})
            self.road.step(h)
            self._steering = steering
        self._trails.append(self._centers()[:, :2])

    @property
    def touched(self) -> bool:
        """Whether highway-env has seen two vehicles collide since ``reset``."""
        return any(car.crashed for car in self.road.vehicles)

    def frame(self) -> NDArray[np.uint8]:
        """See ``Plant``: by highway-env's own graphics, without a display."""
        import pygame

        graphics = optional("highway_env.road.graphics", "highway")
        stage = np.concatenate([self.problem.start_points, self.problem.target_points]) * self.scale.length
        low, high = stage.min(0), stage.max(0)
        size = tuple(OVERSAMPLING * s for s in self.size)
        surface = graphics.WorldSurface(size, 0, pygame.Surface(size))
        surface.GREY, surface.centering_position = GROUND, [0.5, 0.5]
        surface.scaling = float((np.array(size) / (high - low + 4 * self._vehicle.LENGTH)).min())
        surface.move_display_window_to(0.5 * (low + high) * (1, -1))
        graphics.RoadGraphics.display(self.road, surface)
        self._draw_ground(surface)
        graphics.RoadGraphics.display_traffic(self.road, surface, simulation_frequency=self.frequency, offscreen=True)
        small = pygame.transform.smoothscale(surface, self.size)
        return pygame.surfarray.array3d(small).swapaxes(0, 1).astype(np.uint8)

    def _centers(self) -> Array:
        """Rows (x, y, θ, v_c), metres and seconds, y up."""
        return np.array([[c.position[0], -c.position[1], -c.heading, c.speed] for c in self.road.vehicles])

    def _units(self) -> Array:
        return np.array([self.scale.length, self.scale.length, 1.0, self.scale.speed])

    def _open_ground(self) -> Any:
        """A road without lines, which vehicles leave at will."""
        lane = optional("highway_env.road.lane", "highway")
        road = optional("highway_env.road.road", "highway")
        net, line = road.RoadNetwork(), (lane.LineType.NONE, lane.LineType.NONE)
        net.add_lane("west", "east", lane.StraightLane([-500.0, 0.0], [500.0, 0.0], line_types=line, width=1000.0))
        return road.Road(network=net, np_random=np.random.RandomState(0), record_history=False)

    def _draw_ground(self, surface: Any) -> None:
        """Under highway-env's vehicles: a ring at each target and the ways so far, in the vehicles' colours."""
        import pygame

        colors = hue_circle(self.problem.num_agents).tolist()
        ways = np.array([*self._trails, self._centers()[:, :2]]).swapaxes(0, 1)
        goals = self.problem.target_points * self.scale.length
        for goal, way, color in zip(goals, ways, colors, strict=True):
            pixels = [surface.pos2pix(x, -y) for x, y in way]
            if len(pixels) > 1:
                pale = [round(0.45 * c + 0.55 * g) for c, g in zip(color, GROUND, strict=True)]
                pygame.draw.lines(surface, pale, False, pixels, 2 * OVERSAMPLING)
            place = surface.pos2pix(goal[0], -goal[1])
            pygame.draw.circle(surface, color, place, surface.pix(2.0), 2 * OVERSAMPLING)
            pygame.draw.circle(surface, color, place, surface.pix(0.5))
