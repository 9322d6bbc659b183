"""The quadrotor of Gelphman et al. (arXiv:2510.00359): 12 states, 4 controls, exponential control cost."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from .fields import number, plain_fields
from .problem import Problem
from .scene import Scene, quadrotor_scene


@dataclasses.dataclass(frozen=True)
class Quadrotor(Problem):
    """Fly to a point and be at rest there at time T, with a control cost that has no closed-form maximiser.

    | index | state | unit | | index | control | bounds |
    |---|---|---|---|---|---|---|
    | 0-2 | position x, y, z | length | | 0 | thrust u₁ | [thrust_low, 3] |
    | 3-5 | yaw ψ, pitch θ, roll φ | rad | | 1-3 | angular accelerations τ_ψ, τ_θ, τ_φ | [-2, 2] |
    | 6-11 | their rates | per time | | | | |

        ẍ = (u₁/m)(sinψ sinφ + cosψ sinθ cosφ)      ψ̈ = τ_ψ
        ÿ = (u₁/m)(-cosψ sinφ + sinψ sinθ cosφ)     θ̈ = τ_θ
        z̈ = (u₁/m) cosθ cosφ - g                    φ̈ = τ_φ
        L = exp(cost_exponent · |u|²)               G = terminal_weight · ½ |z(T) - target|²

    Non-dimensional: m = 0.5, g = 1, T = 4.5. Start: N(0, initial_scale²) on position and angles, rates 0.
    ``cost_exponent=1`` is the variant L = exp(|u|²) of the slides.

    Rotors do not push down, so ``thrust_low`` is 0, and that bound is active on the optimal paths: the optimal cost
    from z0 = 0 is 15.4445 in 160 steps. The literature has no bound; ``thrust_low=-3`` is that problem, with 13.6900.
    """

    horizon: float = 4.5
    steps: int = 160
    mass: float = 0.5
    gravity: float = 1.0
    cost_exponent: float = 0.5
    terminal_weight: float = 1000.0
    initial_scale: float = 0.1
    target: tuple[float, float, float] = (2.0, 2.0, 1.0)
    thrust_low: float = 0.0

    state_dim = 12
    control_dim = 4
    control_high = (3.0, 2.0, 2.0, 2.0)
    state_scale = (2.0, 2.0, 1.0) + (0.5,) * 3 + (1.0,) * 6
    state_bound = (100.0,) * 3 + (50.0,) * 3 + (100.0,) * 6
    success_radius = 0.1
    position_states = (0, 1, 2)
    state_names = (
        *("x (length)", "y (length)", "z (length)", "yaw (rad)", "pitch (rad)", "roll (rad)"),
        *("x_rate (length/time)", "y_rate (length/time)", "z_rate (length/time)"),
        *("yaw_rate (rad/time)", "pitch_rate (rad/time)", "roll_rate (rad/time)"),
    )
    control_names = (
        "thrust (mass*length/time^2)",
        *("yaw_acceleration (rad/time^2)", "pitch_acceleration (rad/time^2)", "roll_acceleration (rad/time^2)"),
    )

    def __post_init__(self) -> None:
        plain_fields(self)
        super().__post_init__()
        for field in ("mass", "cost_exponent", "terminal_weight"):
            if not getattr(self, field) > 0:
                raise ValueError(f"Quadrotor.{field} is {getattr(self, field)!r}; expected a positive number")
        if not self.thrust_low < 3:
            raise ValueError(f"Quadrotor.thrust_low is {self.thrust_low!r}; expected a number below 3")
        if not self.initial_scale >= 0:
            raise ValueError(f"Quadrotor.initial_scale is {self.initial_scale!r}; expected a number >= 0")
        if not isinstance(self.target, tuple | list) or len(self.target) != 3:
            raise ValueError(f"Quadrotor.target is {self.target!r}; expected three finite coordinates")
        object.__setattr__(self, "target", tuple(number(x, "Quadrotor.target") for x in self.target))

    @property
    def control_low(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.thrust_low, -2.0, -2.0, -2.0)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        thrust, torques = u.split([1, 3], -1)
        weight = torch.as_tensor((0.0, 0.0, self.gravity), dtype=z.dtype, device=z.device)
        lift = thrust / self.mass * thrust_direction(z) - weight
        return torch.cat([z.narrow(-1, 6, 6), lift, torques], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.exp(self.cost_exponent * (u * u).sum(-1))

    def terminal_cost(self, z: Tensor) -> Tensor:
        goal = torch.as_tensor(self.target + (0.0,) * 9, dtype=z.dtype, device=z.device)
        return 0.5 * self.terminal_weight * ((z - goal) ** 2).sum(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        goal = torch.as_tensor(self.target, dtype=z.dtype, device=z.device)
        return (z.narrow(-1, 0, 3) - goal).norm(dim=-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        pose = self.initial_scale * torch.randn(batch, 6, generator=generator)
        return torch.cat([pose, torch.zeros(batch, 6)], -1)

    def control_hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> ExponentialHamiltonian:
        low, _ = self.control_bounds(z)
        _, p_velocity, p_rates = p.split([6, 3, 3], -1)
        thrust = (p_velocity * thrust_direction(z)).sum(-1, keepdim=True) / self.mass
        return ExponentialHamiltonian(torch.cat([thrust, p_rates], -1), self.cost_exponent, low == 0)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return quadrotor_scene(z, u, self.target)


def thrust_direction(z: Tensor) -> Tensor:
    """Unit vector of the thrust in the world frame, ``(..., 3)``: third column of Rz(ψ) Ry(θ) Rx(φ)."""
    angles = z.narrow(-1, 3, 3)
    sin_yaw, sin_pitch, sin_roll = torch.sin(angles).unbind(-1)
    cos_yaw, cos_pitch, cos_roll = torch.cos(angles).unbind(-1)
    tilt = sin_pitch * cos_roll
    return torch.stack(
        [sin_yaw * sin_roll + cos_yaw * tilt, sin_yaw * tilt - cos_yaw * sin_roll, cos_pitch * cos_roll], -1
    )


@dataclasses.dataclass(frozen=True)
class ExponentialHamiltonian:
    """u -> -q·u - exp(a |u|²), one block, concave; q = f_uᵀ p, a > 0. Unbounded maximiser: 2a u exp(a |u|²) = -q.

    ``rest`` says which controls have the lower bound 0.
    """

    q: Tensor
    a: float
    rest: Tensor

    def start(self) -> Tensor:
        """-q/|q| · r with 2a r² = W(|q|²/(2a)) to 2 %, by Winitzki's W(x) ≈ l (1 - log(1 + l)/(2 + l)), l = log(1 + x).

        Controls that cannot fall below 0 and would (q > 0) begin at 0, so that the others get their right size.
        """
        q = torch.where(self.rest & (self.q > 0), 0.0, self.q)
        size = q.norm(dim=-1, keepdim=True).clamp_min(1e-30)
        log = torch.log1p(size * size / (2 * self.a))
        length = (log * (1 - torch.log1p(log) / (2 + log)) / (2 * self.a)).sqrt()
        return q * (-length / size)

    def value(self, u: Tensor) -> Tensor:
        return -((self.q * u).sum(-1) + torch.exp(self.a * (u * u).sum(-1))).unsqueeze(-1)

    def gradient(self, u: Tensor) -> Tensor:
        return -self.q - (2 * self.a) * u * torch.exp(self.a * (u * u).sum(-1, keepdim=True))

    def hessian(self, u: Tensor) -> Tensor:
        growth = torch.exp(self.a * (u * u).sum(-1, keepdim=True)).unsqueeze(-1)
        outer = u.unsqueeze(-1) * u.unsqueeze(-2)
        identity = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        return ((-2 * self.a) * growth * (identity + (2 * self.a) * outer)).unsqueeze(-3)
