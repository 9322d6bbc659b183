"""In air and space: a transfer from the Earth's orbit to that of Mars, a rocket that lands, a hang glider."""

from dataclasses import dataclass
from math import sqrt

import torch

import pontryagin

MARS = 1.5237
"""Radius of its orbit in AU."""


@dataclass(frozen=True)
class Orbit(pontryagin.Problem):
    """z = (radius r, radial speed v, tangential speed w, mass m), u its thrust in both directions, |u_i| <= 0.1405.

        r' = v    v' = w² / r - 1 / r² + u₁ / m    w' = -v w / r + u₂ / m    m' = -|u| / 1.8766
        L = |u| / 1.8766    G = 50 ((r - 1.5237)² + v² + (w - 1.5237^-½)²)

    Mass is 1 at the start, gravity 1 at 1 AU: a unit of time is 58.13 days. |u| is √(u₁² + u₂² + 1e-4), smooth at 0.

    Source: Bryson and Ho, "Applied optimal control", 1975, section 2.5: from the Earth's orbit to the largest in 3.32
    with all thrust, which is that of Mars. Here the least propellant for a given orbit. T = 4, 233 days. rho_0: the
    Earth's orbit (1, 0, 1, 1) with N(0, 0.03²) on radius and speeds.
    """

    state_dim: int = 4
    control_dim: int = 2
    horizon: float = 4.0
    steps: int = 80
    control_low = -0.1405
    control_high = 0.1405
    state_names = ("radius (AU)", "radial_speed (AU/unit)", "tangential_speed (AU/unit)", "mass (share)")
    control_names = ("radial_thrust (unit)", "tangential_thrust (unit)")

    def burnt(self, u):
        return torch.sqrt((u**2).sum(-1) + 1e-4) / 1.8766

    def dynamics(self, t, z, u):
        radius, out, around, mass = z.unbind(-1)
        outwards = around**2 / radius - 1.0 / radius**2 + u[..., 0] / mass
        forwards = -out * around / radius + u[..., 1] / mass
        return torch.stack([out, outwards, forwards, -self.burnt(u)], -1)

    def running_cost(self, t, z, u):
        return self.burnt(u)

    def terminal_cost(self, z):
        goal = torch.tensor([MARS, 0.0, 1 / sqrt(MARS)], dtype=z.dtype, device=z.device)
        return 50.0 * ((z[..., :3] - goal) ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([0.03, 0.03, 0.03, 0.0]) * torch.randn(batch, 4, generator=generator)
        return torch.tensor([1.0, 0.0, 1.0, 1.0]) + spread


@dataclass(frozen=True)
class Lander(pontryagin.Problem):
    """z = (x, y, their rates, tilt θ, its rate ω), u = (gimbal γ, thrust F), |γ| <= 7°, 2 <= F <= 5.

        x'' = F sin(θ + γ) / 2    y'' = F cos(θ + γ) / 2 - 1    θ'' = -F sinγ
        L = 0.05 F² + γ²    G = 50 |(x, y)|² + 50 |(x', y')|² + 20 θ² + 20 ω²

    Mass 2, gravity 1, and a lever over inertia of 1. The least thrust bears the weight: it cannot wait and fall.

    Source: the planar rocket of EmbersArc/SCvx, after Szmuk and Acikmese, "Successive convexification for 6-DoF Mars
    rocket powered landing with free-final-time", AIAA SciTech 2018: there a soft landing is a constraint, and time is
    free. T = 8. rho_0: N((4, 4, -2, -1, 0, 0), (0.5, 0.5, 0.2, 0.2, 0.1, 0.1)²); the source starts from the mean.
    """

    state_dim: int = 6
    control_dim: int = 2
    horizon: float = 8.0
    steps: int = 80
    control_low = (-0.1222, 2.0)
    control_high = (0.1222, 5.0)
    state_names = ("x (UL)", "y (UL)", "x_rate (UL/UT)", "y_rate (UL/UT)", "tilt (rad)", "tilt_rate (rad/UT)")
    control_names = ("gimbal (rad)", "thrust (UF)")

    def dynamics(self, t, z, u):
        gimbal, thrust = u.unbind(-1)
        leans = z[..., 4] + gimbal
        aside, up = 0.5 * thrust * torch.sin(leans), 0.5 * thrust * torch.cos(leans) - 1.0
        turned = torch.stack([aside, up, z[..., 5], -thrust * torch.sin(gimbal)], -1)
        return torch.cat([z[..., 2:4], turned], -1)

    def running_cost(self, t, z, u):
        return u[..., 0] ** 2 + 0.05 * u[..., 1] ** 2

    def terminal_cost(self, z):
        return 50.0 * (z[..., :4] ** 2).sum(-1) + 20.0 * (z[..., 4:] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([0.5, 0.5, 0.2, 0.2, 0.1, 0.1]) * torch.randn(batch, 6, generator=generator)
        return torch.tensor([4.0, 4.0, -2.0, -1.0, 0.0, 0.0]) + spread


@dataclass(frozen=True)
class Glider(pontryagin.Problem):
    """z = (x, height y, their rates), u the lift coefficient c in [0, 1.4]; nothing is paid on the way, L = 0.

        x'' = -(lift · s + drag · x') / |v|    y'' = (lift · x' - drag · s) / |v| - g    s = y' - up(x)    v = (x', s)
        lift = ½ ρ S c |v|² / m    drag = ½ ρ S (0.034 + 0.069662 c²) |v|² / m
        up = 2.5 (1 - X) exp(-X)    X = (x / 100 - 2.5)²
        G = -x + 5 (y - 900)² + 50 ((x' - 13.2276)² + (y' + 1.2875)²)

    m = 100 kg, S = 14 m², ρ = 1.13 kg/m³, g = 9.80665 m/s². With 100 steps some optima gain their height from an error
    of one Runge-Kutta step.

    Source: Bulirsch, Nerz, Pesch and von Stryk, "Combining direct and indirect methods in optimal control: range
    maximization of a hang glider", 1993: 1248 m in 98.4 s, which are free, with y(T), x'(T), y'(T) met exactly. T =
    100 s. rho_0: N((0, 1000, 13.2276, -1.2875), (20, 5, 0.5, 0.3)²); the source starts from the mean.
    """

    state_dim: int = 4
    control_dim: int = 1
    horizon: float = 100.0
    steps: int = 200
    control_low = 0.0
    control_high = 1.4
    state_names = ("x (m)", "height (m)", "x_rate (m/s)", "climb (m/s)")
    control_names = ("lift_coefficient (1)",)

    def dynamics(self, t, z, u):
        x, _, ahead, climb = z.unbind(-1)
        near = (x / 100.0 - 2.5) ** 2
        sink = climb - 2.5 * (1.0 - near) * torch.exp(-near)
        air = 0.5 * 1.13 * 14.0 / 100.0 * torch.sqrt(ahead**2 + sink**2)
        lift, drag = air * u[..., 0], air * (0.034 + 0.069662 * u[..., 0] ** 2)
        return torch.stack([ahead, climb, -lift * sink - drag * ahead, lift * ahead - drag * sink - 9.80665], -1)

    def running_cost(self, t, z, u):
        return 0.0 * z[..., 0]

    def terminal_cost(self, z):
        missed = (z[..., 2] - 13.2276) ** 2 + (z[..., 3] + 1.2875) ** 2
        return -z[..., 0] + 5.0 * (z[..., 1] - 900.0) ** 2 + 50.0 * missed

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([20.0, 5.0, 0.5, 0.3]) * torch.randn(batch, 4, generator=generator)
        return torch.tensor([0.0, 1000.0, 13.2276, -1.2875]) + spread
