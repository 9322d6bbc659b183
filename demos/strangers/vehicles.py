"""On wheels and rotors: a car that parks, unicycles and robots that change sides, a quadrotor in SI units."""

from dataclasses import dataclass
from math import cos, pi, sin

import torch

import pontryagin


@dataclass(frozen=True)
class Car(pontryagin.Problem):
    """z = (x, y, heading θ, speed v of the front wheels), u = (front wheel angle w, acceleration a).

        x' = v cosw cosθ    y' = v cosw sinθ    θ' = v sinw / 2    v' = a    |w| <= 0.5    |a| <= 2
        L = (0.01 w² + 1e-4 a² + 1e-3 (h(x, 0.1) + h(y, 0.1))) / 0.03              h(s, p) = √(s² + p²) - p
        G = 0.1 h(x, 0.01) + 0.1 h(y, 0.01) + h(θ, 0.01) + 0.3 h(v, 1)

    Source: Tassa, Mansard and Todorov, "Control-limited differential dynamic programming", ICRA 2014, car parking: 500
    steps of 0.03 s there, and costs added up by step. T = 15 s. rho_0: N((1, 1, 3π/2, 0), (0.3, 0.3, 0.3, 0.1)²); the
    source starts from the mean.
    """

    state_dim: int = 4
    control_dim: int = 2
    horizon: float = 15.0
    steps: int = 100
    control_low = (-0.5, -2.0)
    control_high = (0.5, 2.0)
    state_names = ("x (m)", "y (m)", "heading (rad)", "speed (m/s)")
    control_names = ("steering (rad)", "acceleration (m/s^2)")

    def dynamics(self, t, z, u):
        heading, speed, wheel = z[..., 2], z[..., 3], u[..., 0]
        ahead = speed * torch.cos(wheel)
        turn = speed * torch.sin(wheel) / 2.0
        return torch.stack([ahead * torch.cos(heading), ahead * torch.sin(heading), turn, u[..., 1]], -1)

    def running_cost(self, t, z, u):
        near = (torch.sqrt(z[..., :2] ** 2 + 0.01) - 0.1).sum(-1)
        return (0.01 * u[..., 0] ** 2 + 1e-4 * u[..., 1] ** 2 + 1e-3 * near) / 0.03

    def terminal_cost(self, z):
        weight = torch.tensor([0.1, 0.1, 1.0, 0.3], dtype=z.dtype, device=z.device)
        width = torch.tensor([0.01, 0.01, 0.01, 1.0], dtype=z.dtype, device=z.device)
        return (weight * (torch.sqrt(z**2 + width**2) - width)).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([0.3, 0.3, 0.3, 0.1]) * torch.randn(batch, 4, generator=generator)
        return torch.tensor([1.0, 1.0, 1.5 * pi, 0.0]) + spread


@dataclass(frozen=True)
class Agents(pontryagin.Problem):
    """z = (x, y, θ, v) of each of three unicycles, u = (turn ω, acceleration a) of each, |ω| <= 2, |a| <= 2.

        x' = v cosθ    y' = v sinθ    θ' = ω    v' = a
        L = ½ |u|² + 40 Σ_i<j penalty(1 - |x_i - x_j|²)    G = 50 Σ_i |x_i - goal_i|² + 10 |v|²

    They stand on a circle of 2 m, face its centre, and each goes to the other side: all would meet in the middle.

    Source: unicycles with a price on proximity after Fridovich-Keil, Ratner, Peters, Dragan and Tomlin, "Efficient
    iterative linear-quadratic approximations for nonlinear multi-player general-sum differential games", ICRA 2020,
    with one cost for all in place of a game; places and weights are ours. T = 5 s. rho_0: N((place, heading, 0), 0.2²).
    """

    state_dim: int = 12
    control_dim: int = 6
    horizon: float = 5.0
    steps: int = 50
    control_low = -2.0
    control_high = 2.0
    state_names = tuple(x for i in "123" for x in (f"x{i} (m)", f"y{i} (m)", f"heading{i} (rad)", f"speed{i} (m/s)"))
    control_names = tuple(x for i in "123" for x in (f"turn{i} (rad/s)", f"acceleration{i} (m/s^2)"))

    def dynamics(self, t, z, u):
        _, _, heading, speed = z.unflatten(-1, (3, 4)).unbind(-1)
        turn, push = u.unflatten(-1, (3, 2)).unbind(-1)
        return torch.stack([speed * torch.cos(heading), speed * torch.sin(heading), turn, push], -1).flatten(-2)

    def running_cost(self, t, z, u):
        place = z.unflatten(-1, (3, 4))[..., :2]
        apart = ((place - place.roll(1, -2)) ** 2).sum(-1)
        return 0.5 * (u**2).sum(-1) + 40.0 * pontryagin.penalty(1.0 - apart).sum(-1)

    def terminal_cost(self, z):
        each = z.unflatten(-1, (3, 4))
        goal = torch.tensor([[-2 * cos(a), -2 * sin(a)] for a in (0, 2 * pi / 3, 4 * pi / 3)]).to(z)
        return 50.0 * ((each[..., :2] - goal) ** 2).sum((-2, -1)) + 10.0 * (each[..., 3] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        start = [[2 * cos(a), 2 * sin(a), a - pi, 0.0] for a in (0, 2 * pi / 3, 4 * pi / 3)]
        return torch.tensor(start).flatten() + 0.2 * torch.randn(batch, 12, generator=generator)


@dataclass(frozen=True)
class Quad(pontryagin.Problem):
    """z = (position, velocity, Euler angles φ θ ψ (roll, pitch, yaw), body rates ω), u = (thrust F, torques τ).

        x'' = R(φ, θ, ψ) e₃ F / m - g e₃    (φ, θ, ψ)' = W(φ, θ) ω    I ω' = τ - ω x Iω
        L = 0.1 (F - mg)² + 20 |τ|² + ½ |x|²    G = 50 |x|² + 10 |v|² + 10 |angles|² + |ω|²

    m = 0.65 kg, I = (7.5, 7.5, 13) g m². T = 3 s; 0 <= F <= 2 mg; |τ| <= 0.3 N m in roll and pitch, 0.05 in yaw.

    Source: the OS4 of Bouabdallah, "Design and control of quadrotors with application to autonomous flying", thesis,
    EPFL 2007, mass and inertias; costs and bounds are ours. rho_0: positions uniform in ±2 m, all else N(0, 0.1²).
    """

    state_dim: int = 12
    control_dim: int = 4
    horizon: float = 3.0
    steps: int = 60
    control_low = (0.0, -0.3, -0.3, -0.05)
    control_high = (12.75, 0.3, 0.3, 0.05)
    state_names = (
        *("x (m)", "y (m)", "z (m)", "x_rate (m/s)", "y_rate (m/s)", "z_rate (m/s)", "roll (rad)", "pitch (rad)"),
        *("yaw (rad)", "p (rad/s)", "q (rad/s)", "r (rad/s)"),
    )
    control_names = ("thrust (N)", "roll_torque (N m)", "pitch_torque (N m)", "yaw_torque (N m)")

    def dynamics(self, t, z, u):
        (sx, sy, sz), (cx, cy, cz) = torch.sin(z[..., 6:9]).unbind(-1), torch.cos(z[..., 6:9]).unbind(-1)
        p, q, r = z[..., 9:].unbind(-1)
        push = u[..., 0] / 0.65
        ahead, aside = push * (cx * sy * cz + sx * sz), push * (cx * sy * sz - sx * cz)
        side = q * sx + r * cx
        angles = [p + side * sy / cy, q * cx - r * sx, side / cy]
        inertia = torch.tensor([7.5e-3, 7.5e-3, 13e-3], dtype=z.dtype, device=z.device)
        spin = (u[..., 1:] - torch.linalg.cross(z[..., 9:], inertia * z[..., 9:])) / inertia
        speeds = torch.stack([ahead, aside, push * cx * cy - 9.81, *angles], -1)
        return torch.cat([z[..., 3:6], speeds, spin], -1)

    def running_cost(self, t, z, u):
        effort = 0.1 * (u[..., 0] - 0.65 * 9.81) ** 2 + 20.0 * (u[..., 1:] ** 2).sum(-1)
        return effort + 0.5 * (z[..., :3] ** 2).sum(-1)

    def terminal_cost(self, z):
        place, speed, angles, rates = (z**2).unflatten(-1, (4, 3)).sum(-1).unbind(-1)
        return 50.0 * place + 10.0 * speed + 10.0 * angles + rates

    def sample_initial_state(self, batch, generator=None):
        place = 4.0 * torch.rand(batch, 3, generator=generator) - 2.0
        return torch.cat([place, 0.1 * torch.randn(batch, 9, generator=generator)], -1)


@dataclass(frozen=True)
class Crossing(pontryagin.Problem):
    """z = (x, y, vx, vy) of each of eight robots on a circle, u their accelerations, |u_i| <= 4 m/s².

        x_i'' = u_i - 0.2 x_i'    L = ½ |u|² + 5 Σ_i≠j exp(-|x_i - x_j|² / (2 · 0.15²))
        G = Σ_i 50 |x_i - goal_i|² + 10 |v_i|²

    Each goes to the opposite point of a circle of 1.5 m; all would meet in the middle. T = 3 s.

    Source: the circle of van den Berg, Guy, Lin and Manocha, "Reciprocal n-body collision avoidance", Robotics Research
    (2011), 3-19, with a cost in the place of velocity obstacles. rho_0: on the circle, N(0, 0.1²) on all states.
    """

    state_dim: int = 32
    control_dim: int = 16
    horizon: float = 3.0
    steps: int = 60
    control_low = -4.0
    control_high = 4.0
    state_names = tuple(f"{name} of {i}" for i in range(8) for name in ("x (m)", "y (m)", "vx (m/s)", "vy (m/s)"))
    control_names = tuple(f"a{name} of {i} (m/s²)" for i in range(8) for name in "xy")

    def circle(self, like):
        angle = torch.arange(8, dtype=like.dtype, device=like.device) * (pi / 4)
        return 1.5 * torch.stack([torch.cos(angle), torch.sin(angle)], -1)

    def dynamics(self, t, z, u):
        speed = z.unflatten(-1, (8, 4))[..., 2:]
        return torch.cat([speed, u.unflatten(-1, (8, 2)) - 0.2 * speed], -1).flatten(-2)

    def running_cost(self, t, z, u):
        place = z.unflatten(-1, (8, 4))[..., :2]
        away = ((place.unsqueeze(-2) - place.unsqueeze(-3)) ** 2).sum(-1)
        return 0.5 * (u**2).sum(-1) + 5.0 * (torch.exp(-away / (2 * 0.15**2)).sum((-1, -2)) - 8.0)

    def terminal_cost(self, z):
        place, speed = z.unflatten(-1, (8, 4)).split(2, -1)
        return 50.0 * ((place + self.circle(z)) ** 2).sum((-1, -2)) + 10.0 * (speed**2).sum((-1, -2))

    def sample_initial_state(self, batch, generator=None):
        around = torch.cat([self.circle(torch.zeros(())), torch.zeros(8, 2)], -1)
        return (around + 0.1 * torch.randn(batch, 8, 4, generator=generator)).flatten(-2)
