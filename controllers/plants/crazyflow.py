"""Crazyflow under our controllers: a Crazyflie from first principles, rotors that lag, hundreds of flights at once."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.attitude import attitude_quaternion, quaternion_attitude
from ...envs.crazyflie import Crazyflie
from ...envs.extras import optional
from ...envs.fields import whole
from ...envs.problem import Problem

Array = NDArray[np.float64]


class CrazyflowDrone:
    """A ``BatchedPlant``: the cf21B of the package crazyflow (JAX), one world for each flight.

    Its first-principles dynamics have what ``Crazyflie`` leaves out: rotors whose speed follows with a lag of about
    60 ms, curves of thrust and torque over that speed, the gyroscopic torque of the propellers. It has a floor, so our
    z = 0 lies at ``height``. Where the problem has the motor forces as states, they are those of the rotors' speeds.

    Args:
        problem: a ``Crazyflie``.
        mass_error: of the drone, as a share; a number, or one for each flight.
        height: of our origin above the floor, m.
        freq: steps of the simulator in a second.

    Raises:
        ValueError: if the problem is another, or a share, a height or a frequency makes no sense.
        ImportError: if crazyflow is not installed (Python 3.11 or newer), or SciPy was imported before it without
            SCIPY_ARRAY_API=1 in the environment, which crazyflow needs.
    """

    batched = True
    size = (640, 480)

    def __init__(
        self, problem: Problem, mass_error: float | Array = 0.0, height: float = 10.0, freq: int = 500
    ) -> None:
        if not isinstance(problem, Crazyflie):
            raise ValueError(f"crazyflow flies a Crazyflie; got a {type(problem).__name__}")
        share = np.asarray(mass_error, float)
        if share.ndim > 1 or not np.isfinite(share).all() or not (share > -1).all():
            raise ValueError(f"mass_error is {mass_error!r:.100}; expected shares above -1, one or one for each flight")
        if not (math.isfinite(height) and height > 0):
            raise ValueError(f"height is {height!r}; expected a positive number of metres")
        _import()
        self.problem, self.share, self.height, self.freq = problem, share, height, whole(freq, "freq")
        self._sim: Any = None

    def reset(self, z0: Array) -> None:
        """Begin anew in the states z0, ``(B, n)``, the rotors at the speed of the forces there, or of hover.

        Raises:
            ValueError: if ``mass_error`` is for another number of flights.
        """
        count = len(z0)
        if self.share.ndim and len(self.share) != count:
            raise ValueError(f"mass_error has {len(self.share)} shares; expected {count}, one for each flight")
        if self._sim is None or self._sim.n_worlds != count:
            self._build(count)
        self._sim.reset()
        forces = z0[:, 12:] if self.problem.rotor_lag > 0 else np.full((count, 4), self.problem.hover)
        lifted = z0[:, :3] + (0.0, 0.0, self.height)
        begun = {
            "pos": lifted, "quat": attitude_quaternion(z0[:, 3:6]), "vel": z0[:, 6:9], "ang_vel": z0[:, 9:12],
            "rotor_vel": self._speed(forces),
        }  # fmt: skip
        rows = {name: self._rows(values) for name, values in begun.items()}
        data = self._sim.data
        self._sim.data = data.replace(states=data.states.replace(**rows))
        self.write_control(forces)

    def read_state(self) -> Array:
        """The states now, ``(B, n)``."""
        states = self._sim.data.states
        parts = {name: np.asarray(getattr(states, name), float)[:, 0] for name in ("pos", "quat", "vel", "ang_vel")}
        place = parts["pos"] - (0.0, 0.0, self.height)
        z = [place, quaternion_attitude(parts["quat"]), parts["vel"], parts["ang_vel"]]
        if self.problem.rotor_lag > 0:
            speed = np.asarray(states.rotor_vel, float)[:, 0]
            c, b, a = self._curve
            z.append(c + b * speed + a * speed**2)
        return np.concatenate(z, -1)

    def write_control(self, u: Array) -> None:
        """Ask the rotors for the speeds that pull u, ``(B, 4)``, once they are there; crazyflow keeps their limits."""
        self._sim.rotor_vel_control(self._rows(self._speed(u)))

    def advance(self, dt: float) -> None:
        """Let dt pass, a multiple of a step.

        Raises:
            ValueError: if it is none.
        """
        steps = round(dt * self.freq)
        if steps < 1 or abs(steps - dt * self.freq) > 1e-3:
            raise ValueError(
                f"dt is {dt:g} s; crazyflow makes steps of {1 / self.freq:g} s: expected a whole number of them, by a "
                "rate and a latency that fit"
            )
        self._sim.step(steps)

    def frame(self) -> NDArray[np.uint8]:
        """The first world, ``(height, width, 3)``."""
        width, height = self.size
        place = np.asarray(self._sim.data.states.pos)[0, 0]
        camera = {"lookat": place + (0.0, 0.0, 0.4), "distance": 2.6, "elevation": -15.0}  # of the first picture
        picture: NDArray[np.uint8] = self._sim.render("rgb_array", width=width, height=height, cam_config=camera)
        return picture

    def _build(self, count: int) -> None:
        from crazyflow.control import Control
        from crazyflow.drones import Drone
        from crazyflow.dynamics import Dynamics
        from crazyflow.sim import Sim

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MuJoCo's, about names in the scene of crazyflow
            self._sim = Sim(
                n_worlds=count, drone=Drone.cf21B_500, dynamics=Dynamics.first_principles, control=Control.rotor_vel,
                freq=self.freq,
            )  # fmt: skip
        data = self._sim.data
        params = data.params
        self._curve: tuple[float, float, float] = tuple(np.asarray(params.rpm2thrust, float).ravel().tolist())
        mass = np.asarray(params.mass) * (1 + self.share.reshape(-1, 1, 1) if self.share.ndim else 1 + self.share)
        self._sim.data = data.replace(params=params.replace(mass=np.asarray(mass, np.float32)))
        self._sim.default_data = self._sim.build_default_data()

    def _speed(self, forces: Array) -> Array:
        """Speeds of the rotors in rpm for forces: the larger root of c + b ω + a ω² = F."""
        c, b, a = self._curve
        return (-b + np.sqrt(np.maximum(b**2 - 4 * a * (c - forces), 0.0))) / (2 * a)

    @staticmethod
    def _rows(values: Array) -> Any:
        """One drone in each world, float32."""
        import jax.numpy as jnp

        return jnp.asarray(values[:, None], jnp.float32)


def _import() -> None:
    """Import crazyflow, or say what is missing: it refuses to be where SciPy was imported without its array API."""
    try:
        optional("crazyflow", "crazyflow")
    except RuntimeError as error:
        raise ImportError(f"set SCIPY_ARRAY_API=1 in the environment before Python starts: {error}") from error
