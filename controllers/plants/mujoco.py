"""The quadrotor as a rigid body in MuJoCo: thrust and torques, or four rotors and a mixer; wrong on request."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.drawing import fit_camera
from ...envs.extras import optional
from ...envs.problem import Problem
from ...envs.quadrotor import Quadrotor
from .euler import angle_rates, angles_near, body_rates, body_torque, rotation
from .mujoco_model import ARM, REACTION, ROTOR_HIGH, mjcf, rotor_places

Array = NDArray[np.float64]
TRAIL = 240
"""Points of the path that a frame shows."""


@dataclasses.dataclass(frozen=True)
class PlantMismatch:
    """How the plant differs from the model that the controller believes in. Nothing differs by default.

    Attributes:
        mass_error: the body weighs (1 + mass_error) m, and its inertia is larger by the same factor.
        drag: c of a force -c (ẋ - wind), in mass per time.
        wind: velocity of the air, world axes.
        motor_lag: time constant of a first-order lag of every actuator, in the problem's time.
    """

    mass_error: float = 0.0
    drag: float = 0.0
    wind: tuple[float, float, float] = (0.0, 0.0, 0.0)
    motor_lag: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mass_error) and self.mass_error > -1):
            raise ValueError(f"PlantMismatch.mass_error is {self.mass_error!r}; expected a number above -1")
        for field in ("drag", "motor_lag"):
            if not (math.isfinite(getattr(self, field)) and getattr(self, field) >= 0):
                raise ValueError(f"PlantMismatch.{field} is {getattr(self, field)!r}; expected a number >= 0")
        if len(self.wind) != 3 or not np.isfinite(self.wind).all():
            raise ValueError(f"PlantMismatch.wind is {self.wind!r}; expected three finite velocities")


class MujocoQuadrotor:
    """A ``Plant``: MuJoCo's rigid-body dynamics in the coordinates of ``Quadrotor``.

    z = (x, η, ẋ, η̇) with η = (ψ, θ, φ). MuJoCo keeps x and ẋ in the world's axes, the attitude as a quaternion (w, x,
    y, z), and ω in the body's axes; R, ω and η̇ are as derived in ``controllers.euler``: R = Rz(ψ) Ry(θ) Rx(φ), and

        ω = E η̇,   E = (Rxᵀ Ryᵀ e_z, Rxᵀ e_y, e_x).

    The model's control is a thrust along the body's third axis and the accelerations η̈ of the angles. What moves a body
    is the torque that Euler's equation asks for it,

        M = J ω̇ + ω × Jω = J (E η̈ + Ė η̇) + ω × Jω.

    The plant holds u and computes M anew at each step of MuJoCo, which is what an autopilot's inner loop does.

    Gravity and mass are the problem's. Its controls are the accelerations η̈, inertia divided out, so that J is free: it
    cancels where M is applied as it is, and matters to what the rotors must give, and where the plant is heavier than
    the model. It is diagonal, m arm² (¼, ¼, ½), about that of a small quadrotor.

    With ``rotors=True`` four rotors at ±45° on arms of length 0.25 share the work: (u₁, M) = mixer · forces, rotor i
    turning the body by ±κ fᵢ about its axis. The least force of a rotor is ``rotor_low``, 0 for one that cannot
    reverse: what would be less is raised to it by adding the same force to all four, so that M keeps its value and the
    thrust grows. The model knows no such thing: where its thrust is 0, torques are still free.

    Args:
        problem: whose mass, gravity, target and bounds are used.
        rotors: four rotors and a mixer in place of thrust and torques.
        rotor_low: least force of a rotor; below 0 it is reversible.
        mismatch: in what the plant differs from the model.
        time_step: of MuJoCo, at most; an eighth of the problem's control step unless given.
        size: of the frames, width and height in pixels.

    Raises:
        ImportError: without mujoco, with the line that installs it.
        ValueError: for a problem that is not a ``Quadrotor``, or a step that is not positive.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        rotors: bool = False,
        rotor_low: float = 0.0,
        mismatch: PlantMismatch | None = None,
        time_step: float | None = None,
        size: tuple[int, int] = (640, 480),
    ) -> None:
        if not isinstance(problem, Quadrotor):
            raise ValueError(f"MujocoQuadrotor is a plant for Quadrotor; got {type(problem).__name__}")
        time_step = problem.time_step / 8 if time_step is None else time_step
        if not time_step > 0:
            raise ValueError(f"time_step is {time_step!r}; expected a positive time")
        self.problem, self.rotors, self.time_step, self.size = problem, rotors, time_step, size
        self.rotor_low = rotor_low
        self.mismatch = PlantMismatch() if mismatch is None else mismatch
        self.inertia = problem.mass * ARM**2 * np.array([0.25, 0.25, 0.5])
        self._mujoco = load_mujoco()
        factor, lag = 1 + self.mismatch.mass_error, self.mismatch.motor_lag
        source = mjcf(problem, factor * problem.mass, factor * self.inertia, rotors, lag, size)
        self.model: Any = self._mujoco.MjModel.from_xml_string(source)
        self.data: Any = self._mujoco.MjData(self.model)
        self.low, self.high = (np.array(bound, float) for bound in (problem.control_low, problem.control_high))
        self._unmix = np.linalg.inv(mixer())
        self._u = np.zeros(4)
        self._angles = np.zeros(3)
        self._path: list[Array] = []
        self._renderer: Any = None

    def reset(self, z0: Array) -> None:
        """See ``Plant``."""
        self._mujoco.mj_resetData(self.model, self.data)
        position, angles, velocity, rates = np.split(np.asarray(z0, float), 4)
        self.data.qpos[:3], self.data.qvel[:3] = position, velocity
        self._mujoco.mju_mat2Quat(self.data.qpos[3:7], rotation(angles).ravel())
        self.data.qvel[3:6] = body_rates(angles, rates)
        self._angles, self._u, self._path = angles, np.zeros(4), [position]
        self._mujoco.mj_forward(self.model, self.data)

    def read_state(self) -> Array:
        """See ``Plant``; the angles are those next to the last ones read."""
        self._angles = angles_near(self._rotation(), self._angles)
        rates = angle_rates(self._angles, np.array(self.data.qvel[3:6]))
        return np.concatenate([self.data.qpos[:3], self._angles, self.data.qvel[:3], rates])

    def write_control(self, u: Array) -> None:
        """See ``Plant``; cut off at the problem's bounds."""
        self._u = np.clip(u, self.low, self.high)

    def advance(self, dt: float) -> None:
        """See ``Plant``: equal steps of ``time_step`` or a little less, Runge-Kutta of fourth order."""
        count = max(1, math.ceil(dt / self.time_step - 1e-9))
        self.model.opt.timestep = dt / count
        wind = np.array(self.mismatch.wind)
        for _ in range(count):
            self.data.ctrl[:] = self.actuators()
            self.data.xfrc_applied[1, :3] = self.mismatch.drag * (wind - self.data.qvel[:3])
            self._mujoco.mj_step(self.model, self.data)
        self._path = [*self._path[-TRAIL:], np.array(self.data.qpos[:3])]

    def actuators(self) -> Array:
        """What the inner loop asks of the actuators now: (thrust, M), or the forces of the four rotors, ``(4,)``."""
        state = self.read_state()
        torque = body_torque(state[3:6], state[9:12], self._u[1:], self.inertia)
        wanted = np.concatenate([self._u[:1], torque])
        if not self.rotors:
            return wanted
        forces = self._unmix @ wanted
        return np.clip(forces + max(0.0, self.rotor_low - float(forces.min())), self.rotor_low, ROTOR_HIGH)

    def frame(self) -> NDArray[np.uint8]:
        """See ``Plant``: offscreen; with EGL where there is no display and MUJOCO_GL does not say otherwise.

        Raises:
            RuntimeError: where no OpenGL is to be had.
        """
        if self._renderer is None:
            self._renderer = self._open_renderer()
        goal = np.array(self.problem.target)
        low, high = np.minimum(goal, 0.0) - 0.5, np.maximum(goal, 0.0) + (0.6, 0.6, 0.8)
        eye = fit_camera("perspective", low, high, self.size)
        camera = self._mujoco.MjvCamera()
        camera.lookat[:] = 0.5 * (low + high) - (0.0, 0.0, 0.12)
        camera.distance = float(np.linalg.norm(eye.origin - 0.5 * (low + high)))
        camera.azimuth, camera.elevation = 180.0 - 58.0, -17.0  # where the analytic scene is seen from
        self._renderer.update_scene(self.data, camera)
        self._draw_path(self._renderer.scene)
        pixels: NDArray[np.uint8] = self._renderer.render().copy()
        return pixels

    def close(self) -> None:
        """Free the renderer, if there is one; twice is fine."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _open_renderer(self) -> Any:
        try:
            return self._mujoco.Renderer(self.model, self.size[1], self.size[0])
        except self._mujoco.FatalError as error:
            raise RuntimeError(
                f"MuJoCo cannot draw ({error}): set MUJOCO_GL=egl or MUJOCO_GL=osmesa before mujoco is first imported"
            ) from error

    def _rotation(self) -> Array:
        flat = np.zeros(9)
        self._mujoco.mju_quat2Mat(flat, self.data.qpos[3:7])
        return flat.reshape(3, 3)

    def _draw_path(self, scene: Any) -> None:
        """The way so far, as a tube that fades towards its beginning."""
        kind, room = self._mujoco.mjtGeom.mjGEOM_CAPSULE, scene.maxgeom - scene.ngeom
        pieces = list(zip(self._path[:-1], self._path[1:], strict=True))[-room:]
        for i, (begin, end) in enumerate(pieces):
            geom = scene.geoms[scene.ngeom]
            color = np.array([0.15, 0.41, 0.77, 0.15 + 0.85 * (i + 1) / len(pieces)], np.float32)
            self._mujoco.mjv_initGeom(geom, kind, np.zeros(3), np.zeros(3), np.eye(3).ravel(), color)
            self._mujoco.mjv_connector(geom, kind, 0.012, begin, end)
            scene.ngeom += 1


def mixer() -> Array:
    """(thrust, M) = mixer · forces, ``(4, 4)``: Σ fᵢ, Σ yᵢ fᵢ, -Σ xᵢ fᵢ, Σ ±κ fᵢ."""
    x, y, spin = rotor_places().T
    return np.stack([np.ones(4), y, -x, REACTION * spin])


def load_mujoco() -> ModuleType:
    """MuJoCo; where no display is at hand it will render with EGL.

    Raises:
        ImportError: if it is missing, with the line that installs it.
    """
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
    return optional("mujoco", "mujoco")
