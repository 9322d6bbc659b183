"""The Crazyflie 2.1 Brushless in SI units: a rigid body under four motor forces, from anywhere in a box to a point."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .attitude import attitude_rate, upward, yaw_pitch_roll
from .fields import number, plain_fields
from .problem import Problem
from .quadratic import QuadraticHamiltonian
from .scene import Scene, quadrotor_scene

MIXING = ((-1.0, -1.0, 1.0, 1.0), (-1.0, 1.0, 1.0, -1.0), (-1.0, 1.0, -1.0, 1.0))
"""Signs of the torques of motors 1 to 4 about x, y, z: front right, rear right, rear left, front left."""


@dataclasses.dataclass(frozen=True)
class Crazyflie(Problem):
    """Be at rest at ``target`` after two seconds, from up to 2 m away, turned by up to 45°, at up to 1 m/s.

    | index | state | unit | | index | control | bounds |
    |---|---|---|---|---|---|---|
    | 0-2 | position p, world frame | m | | 0-3 | motor forces F₁ .. F₄ | [0.0214, 0.2] N |
    | 3-5 | attitude a = 4 tan(φ/4) n | rad | | | | |
    | 6-8 | velocity v, world frame | m/s | | | | |
    | 9-11 | rates ω, body frame | rad/s | | | | |
    | 12-15 | motor forces, where ``rotor_lag`` > 0 | N | | | | |

    Motors 1 to 4 are front right, rear right, rear left and front left; x points to the front, y to the left, z up.

        ṗ = v        m v̇ = R(a) e₃ ΣF - m g e₃ - R(a) D R(a)ᵀ v      D = diag(d, d, d₃)
        ȧ = [(1 - |a|²/16) I + ½ [a]× + ⅛ a aᵀ] ω        α = J⁻¹ τ(F)        ω̇ = α - J⁻¹ (ω × J ω)
        τ = (ℓ (-F₁ - F₂ + F₃ + F₄), ℓ (-F₁ + F₂ + F₃ - F₄), κ (-F₁ + F₂ - F₃ + F₄))
        L = ½ ((ΣF/(m g) - 1)/thrust_scale)² + ½ |α|²/acceleration_scale² + ½ |ω|²/rate_scale²
        G = ½ |p - target|²/(5 cm)² + ½ |a|²/(0.1 rad)² + ½ |v|²/(0.1 m/s)² + ½ |ω|²/(0.5 rad/s)²

    L is zero in hover and there alone, and each term is ½ where its size is usual: 20 % of thrust, 15 rad/s², 1 rad/s.
    G is ½ at 5 cm, the radius within which a flight has arrived.

    The attitude is the modified Rodrigues vector times 4, which is the vector of rotation (angle times axis, rad) to
    1.3 % at 45° and to 5.5 % at 90°. It neither wraps nor locks before a full turn, is three numbers without any
    constraint, and its kinematics are polynomials: no branch near zero, nothing that an export would not know.

    With ``rotor_lag`` τ the forces are states: F' = (u - F)/τ, and u is what is asked for; 1/15.1 s is measured.

    Parameters: cf21B_500 of drone-models 0.1.0 (PyPI; ``data/params.toml``): mass, arm ℓ (along an axis), inertia J, κ,
    thrust range, drag, rotor lag (``thrust_dyn_coef``). Left out: the gyroscopic torque of the propellers, and the
    curves of thrust and torque over the speed of a motor, which are marked as provisional there.
    """

    horizon: float = 2.0
    steps: int = 100
    mass: float = 0.04338
    arm: float = 0.035355
    inertia: tuple[float, float, float] = (25e-6, 28e-6, 49e-6)
    thrust_to_torque: float = 0.00593893393599368
    thrust_low: float = 0.02136263065537499
    thrust_high: float = 0.2
    drag: tuple[float, float] = (0.02149163, 0.02359736)
    gravity: float = 9.81
    rotor_lag: float = 0.0
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    initial_position: float = 2.0
    initial_angle: float = math.pi / 4
    initial_speed: float = 1.0
    initial_rate: float = 1.0
    thrust_scale: float = 0.2
    acceleration_scale: float = 15.0
    rate_scale: float = 1.0

    control_dim = 4
    success_radius = 0.05
    position_states = (0, 1, 2)

    def __post_init__(self) -> None:
        plain_fields(self)
        for field, size in (("inertia", 3), ("drag", 2), ("target", 3)):
            values = getattr(self, field)
            if not isinstance(values, tuple | list) or len(values) != size:
                raise ValueError(f"Crazyflie.{field} is {values!r}; expected {size} finite numbers")
            object.__setattr__(self, field, tuple(number(x, f"Crazyflie.{field}") for x in values))
        for field in ("mass", "arm", "thrust_to_torque", "gravity", "thrust_scale", "acceleration_scale", "rate_scale"):
            if not getattr(self, field) > 0:
                raise ValueError(f"Crazyflie.{field} is {getattr(self, field)!r}; expected a positive number")
        for field in ("rotor_lag", "initial_position", "initial_speed", "initial_rate", "thrust_low"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"Crazyflie.{field} is {getattr(self, field)!r}; expected a number >= 0")
        if not 0 <= self.initial_angle < math.pi:
            raise ValueError(f"Crazyflie.initial_angle is {self.initial_angle!r}; expected an angle in [0, pi)")
        if not min(self.inertia) > 0 or not min(self.drag) >= 0:
            raise ValueError(f"Crazyflie.inertia is {self.inertia}, drag {self.drag}; expected > 0 and >= 0")
        if not self.thrust_low < self.hover < self.thrust_high:
            raise ValueError(
                f"Crazyflie.thrust_low and thrust_high are {self.thrust_low} and {self.thrust_high} N; expected hover, "
                f"{self.hover:.4g} N a motor, between them"
            )
        super().__post_init__()

    @property
    def hover(self) -> float:
        """Force of each motor in hover, N."""
        return self.mass * self.gravity / 4

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        return 16 if self.rotor_lag > 0 else 12

    @property
    def control_low(self) -> float:  # type: ignore[override]
        return self.thrust_low

    @property
    def control_high(self) -> float:  # type: ignore[override]
        return self.thrust_high

    @property
    def state_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        return self._sized((1.0,) * 3 + (0.5,) * 3 + (1.0,) * 3 + (2.0,) * 3, self.hover)

    @property
    def state_bound(self) -> tuple[float, ...]:  # type: ignore[override]
        return self._sized((100.0,) * 3 + (20.0,) * 3 + (100.0,) * 6, 10.0)

    @property
    def state_names(self) -> tuple[str, ...]:  # type: ignore[override]
        kinds = (("", "m"), ("rotation_", "rad"), ("velocity_", "m/s"), ("rate_", "rad/s"))
        names = tuple(f"{kind}{axis} ({unit})" for kind, unit in kinds for axis in "xyz")
        return names + (self.control_names if self.rotor_lag > 0 else ())

    @property
    def control_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"force_{k} (N)" for k in ("front_right", "rear_right", "rear_left", "front_left"))

    def _sized(self, body: tuple[float, ...], force: float) -> tuple[float, ...]:
        return body + ((force,) * 4 if self.rotor_lag > 0 else ())

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        attitude, velocity, rates = z.narrow(-1, 3, 3), z.narrow(-1, 6, 3), z.narrow(-1, 9, 3)
        forces = z.narrow(-1, 12, 4) if self.rotor_lag > 0 else u
        up = upward(attitude)
        along = (up * velocity).sum(-1, keepdim=True)  # R D Rᵀ v = d v + (d₃ - d) (v · R e₃) R e₃
        pull = (forces.sum(-1, keepdim=True) - (self.drag[1] - self.drag[0]) * along) * up - self.drag[0] * velocity
        lift = pull / self.mass - _row(z, (0.0, 0.0, self.gravity))
        x, y, w = rates.unbind(-1)
        j1, j2, j3 = self.inertia
        gyroscopic = torch.stack([(j3 - j2) / j1 * y * w, (j1 - j3) / j2 * w * x, (j2 - j1) / j3 * x * y], -1)
        parts = [velocity, attitude_rate(attitude, rates), lift, self.angular_acceleration(forces) - gyroscopic]
        return torch.cat([*parts, *([(u - forces) / self.rotor_lag] if self.rotor_lag > 0 else [])], -1)

    def control_hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> QuadraticHamiltonian:
        """-p·f - L is quadratic in the motor forces."""
        turns, share = np.array(self._turns()), 1 / (4 * self.hover)
        curvature = np.full((4, 4), (share / self.thrust_scale) ** 2) + turns.T @ turns / self.acceleration_scale**2
        if self.rotor_lag > 0:
            pull = p.narrow(-1, 12, 4) / self.rotor_lag
        else:
            lift = (p.narrow(-1, 6, 3) * upward(z.narrow(-1, 3, 3))).sum(-1, keepdim=True) / self.mass
            pull = lift + p.narrow(-1, 9, 3) @ _row(z, self._turns())
        slope = share / self.thrust_scale**2 - pull
        exact = (torch.from_numpy(x).to(z.device) for x in (curvature, np.linalg.inv(curvature)))
        return QuadraticHamiltonian(slope, *exact)

    def _turns(self) -> tuple[tuple[float, ...], ...]:
        """α by motor force, 3 rows of 4, rad/s² per N."""
        levers = zip((self.arm, self.arm, self.thrust_to_torque), self.inertia, MIXING, strict=True)
        return tuple(tuple(lever / inertia * sign for sign in row) for lever, inertia, row in levers)

    def angular_acceleration(self, forces: Tensor) -> Tensor:
        """α = J⁻¹ τ(F), ``(.., 3)``, rad/s²."""
        return forces @ _row(forces, self._turns()).mT

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        lift = ((u.sum(-1, keepdim=True) / (4 * self.hover) - 1) / self.thrust_scale).squeeze(-1)
        turning = (self.angular_acceleration(u) / self.acceleration_scale).square().sum(-1)
        return 0.5 * (lift.square() + turning + (z.narrow(-1, 9, 3) / self.rate_scale).square().sum(-1))

    def terminal_cost(self, z: Tensor) -> Tensor:
        goal = _row(z, self.target + (0.0,) * 9)
        near = _row(z, (0.05,) * 3 + (0.1,) * 6 + (0.5,) * 3)
        return 0.5 * ((z.narrow(-1, 0, 12) - goal) / near).square().sum(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        return (z.narrow(-1, 0, 3) - _row(z, self.target)).norm(dim=-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Position and rates uniform in a box, velocity too; the axis of the rotation uniform, its angle, too."""
        box = 2 * torch.rand(batch, 10, generator=generator) - 1
        axis = torch.nn.functional.normalize(torch.randn(batch, 3, generator=generator), dim=-1)
        attitude = 4 * torch.tan(0.25 * self.initial_angle * box[:, 9:]) * axis
        position = torch.tensor(self.target) + self.initial_position * box[:, :3]
        parts = [position, attitude, self.initial_speed * box[:, 3:6], self.initial_rate * box[:, 6:9]]
        return torch.cat(parts + ([torch.full((batch, 4), self.hover)] if self.rotor_lag > 0 else []), -1)

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        """``tilt``: of the thrust from the vertical, rad; ``speed``, m/s."""
        upright = upward(z.narrow(-1, 3, 3))[..., 2]
        return {"tilt": torch.acos(upright.clamp(-1, 1)), "speed": z.narrow(-1, 6, 3).norm(dim=-1)}

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        pose = np.concatenate([z[:3], yaw_pitch_roll(np.array(z[3:6], float)), z[6:12]])
        forces = z[12:16] if self.rotor_lag > 0 else u
        return quadrotor_scene(pose, np.array([forces.sum() / (4 * self.hover)]), self.target)


def _row(like: Tensor, values: Any) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)
