"""Things that hang together: a double pendulum on a cart, a chain that is pulled at its end, an arm that draws."""

from dataclasses import dataclass
from math import pi

import torch

import pontryagin


@dataclass(frozen=True)
class DoublePole(pontryagin.Problem):
    """z = (cart x, poles a and b from hanging, their rates), u a force on the cart, |u| <= 60 N.

        M(q) q'' = (u + (m₁+m₂) l a'² sin a + m₂ l b'² sin b - 0.1 x',
                    -m₂ l² b'² sin(a-b) - (m₁+m₂) g l sin a - 0.01 a',   m₂ l² a'² sin(a-b) - m₂ g l sin b - 0.01 b')
        L = 0.01 u²    G = 300 |(x, a - π, b - π)|² + 30 |q'|²

    A cart of 1 kg, point masses of m₁ = m₂ = 0.3 kg at the ends of rods of l = 0.5 m; T = 3 s.

    Source: Graichen, Treuer and Zeitz, "Swing-up of the double pendulum on a cart by feedforward and feedback control
    with experimental validation", Automatica 43 (2007), 63-71; numbers of its own. rho_0: N(0, 0.1²) about hanging.
    """

    state_dim: int = 6
    control_dim: int = 1
    horizon: float = 3.0
    steps: int = 150
    control_low = -60.0
    control_high = 60.0
    state_names = ("cart (m)", "first (rad)", "second (rad)", "cart_rate (m/s)", "first_rate (rad/s)",
                   "second_rate (rad/s)")  # fmt: skip
    control_names = ("force (N)",)

    def dynamics(self, t, z, u):
        _, a, b, speed, rate_a, rate_b = z.unbind(-1)
        m, rod, g = 0.3, 0.5, 9.81
        cos_a, cos_b, cos_d = 2 * m * rod * torch.cos(a), m * rod * torch.cos(b), m * rod**2 * torch.cos(a - b)
        one, sine = torch.ones_like(a), m * rod**2 * torch.sin(a - b)
        inertia = torch.stack([(1 + 2 * m) * one, cos_a, cos_b, cos_a, 2 * m * rod**2 * one, cos_d, cos_b, cos_d,
                               m * rod**2 * one], -1).unflatten(-1, (3, 3))  # fmt: skip
        pulled = u[..., 0] + 2 * m * rod * torch.sin(a) * rate_a**2 + m * rod * torch.sin(b) * rate_b**2 - 0.1 * speed
        first = -sine * rate_b**2 - 2 * m * g * rod * torch.sin(a) - 0.01 * rate_a
        second = sine * rate_a**2 - m * g * rod * torch.sin(b) - 0.01 * rate_b
        return torch.cat([z[..., 3:], torch.linalg.solve(inertia, torch.stack([pulled, first, second], -1))], -1)

    def running_cost(self, t, z, u):
        return 0.01 * (u**2).sum(-1)

    def terminal_cost(self, z):
        upright = torch.tensor([0.0, pi, pi], dtype=z.dtype, device=z.device)
        return 300.0 * ((z[..., :3] - upright) ** 2).sum(-1) + 30.0 * (z[..., 3:] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return 0.1 * torch.randn(batch, 6, generator=generator)


@dataclass(frozen=True)
class Chain(pontryagin.Problem):
    """z = (x₁ .. x₄, end e; v₁ .. v₄) in three dimensions, u the velocity of e, |u_i| <= 1 m/s; x₀ = 0 is fixed.

        x_i'' = (F_i+1 - F_i) / m - g    F_i = D (1 - l / |d_i|) d_i,  d_i = x_i - x_i-1    e' = u
        L = 2.5 |e - (1, 0, 0)|² + |v|² + 0.1 |u|²    G = 0

    Balls of m = 0.03 kg on springs of D = 1 N/m and l = 0.033 m; T = 8 s.

    Source: Wirsching, Bock and Diehl, "Fast NMPC of a chain of masses connected by springs", CCA 2006, 591-596, and
    its example in acados. rho_0: nearly at rest, the end within 0.3 m of (1, 0, 0), speeds N(0, 0.2²).
    """

    state_dim: int = 27
    control_dim: int = 3
    horizon: float = 8.0
    steps: int = 40
    substeps: int = 3
    control_low = -1.0
    control_high = 1.0
    state_names = (
        *(f"{axis}{ball} (m)" for ball in ("1", "2", "3", "4", "_end") for axis in "xyz"),
        *(f"v{axis}{ball} (m/s)" for ball in range(1, 5) for axis in "xyz"),
    )
    control_names = ("vx_end (m/s)", "vy_end (m/s)", "vz_end (m/s)")

    def dynamics(self, t, z, u):
        places, speeds = z[..., :15].unflatten(-1, (5, 3)), z[..., 15:].unflatten(-1, (4, 3))
        along = torch.cat([places[..., :1, :], places[..., 1:, :] - places[..., :-1, :]], -2)
        length = torch.sqrt((along**2).sum(-1, keepdim=True) + 1e-9)
        force = (1 - 0.033 / length) * along
        gravity = torch.tensor([0.0, 0.0, -9.81], dtype=z.dtype, device=z.device)
        pulled = (force[..., 1:, :] - force[..., :-1, :]) / 0.03 + gravity
        return torch.cat([speeds.flatten(-2), u, pulled.flatten(-2)], -1)

    def running_cost(self, t, z, u):
        goal = torch.tensor([1.0, 0.0, 0.0], dtype=z.dtype, device=z.device)
        off = 2.5 * ((z[..., 12:15] - goal) ** 2).sum(-1)
        return off + (z[..., 15:] ** 2).sum(-1) + 0.1 * (u**2).sum(-1)

    def terminal_cost(self, z):
        return 0.0 * z[..., 0]

    def sample_initial_state(self, batch, generator=None):
        share = torch.arange(1.0, 6.0)
        hanging = torch.stack([share / 5, 0 * share, 0.03 * 9.81 / 2 * share * (share - 5)], -1)
        away = 0.6 * (torch.rand(batch, 1, 3, generator=generator) - 0.5) * share.reshape(-1, 1) / 5
        speeds = 0.2 * torch.randn(batch, 12, generator=generator)
        return torch.cat([(hanging + away).flatten(-2), speeds], -1)


@dataclass(frozen=True)
class Arm(pontryagin.Problem):
    """z = (shoulder, elbow, their rates), u torques, |u_i| <= 10 N m: the hand follows a circle in time.

        M(q) q'' + C(q, q') + B q' = u    L = 1000 |hand(q) - (0, 0.4) - 0.1 (cos πt, sin πt)|² + 0.05 |u|²    G = |q'|²

    Source: Li and Todorov, "Iterative linear quadratic regulator design for nonlinear biological movement systems",
    ICINCO 2004, 222-229: their arm of 0.3 m and 0.33 m, for another task. T = 2 s. rho_0: (0.8, 1.2, 0, 0), standard
    deviations of 0.4, 0.5, 1 and 1.
    """

    state_dim: int = 4
    control_dim: int = 2
    horizon: float = 2.0
    steps: int = 100
    control_low = -10.0
    control_high = 10.0
    state_names = ("shoulder (rad)", "elbow (rad)", "shoulder_rate (rad/s)", "elbow_rate (rad/s)")
    control_names = ("shoulder_torque (N m)", "elbow_torque (N m)")

    def dynamics(self, t, z, u):
        _, elbow, w1, w2 = z.unbind(-1)
        turned, sine = 0.045 + 0.048 * torch.cos(elbow), 0.048 * torch.sin(elbow)
        both = 0.07 + 2 * turned
        first = u[..., 0] + sine * w2 * (2 * w1 + w2) - 0.05 * w1 - 0.025 * w2
        second = u[..., 1] - sine * w1**2 - 0.025 * w1 - 0.05 * w2
        det = 0.045 * both - turned**2
        return torch.stack(
            [w1, w2, (0.045 * first - turned * second) / det, (both * second - turned * first) / det], -1
        )

    def running_cost(self, t, z, u):
        q1, both = z[..., 0], z[..., 0] + z[..., 1]
        x = 0.3 * torch.cos(q1) + 0.33 * torch.cos(both) - 0.1 * torch.cos(pi * t)
        y = 0.3 * torch.sin(q1) + 0.33 * torch.sin(both) - 0.4 - 0.1 * torch.sin(pi * t)
        return 1000.0 * (x**2 + y**2) + 0.05 * (u**2).sum(-1)

    def terminal_cost(self, z):
        return (z[..., 2:] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([0.4, 0.5, 1.0, 1.0]) * torch.randn(batch, 4, generator=generator)
        return torch.tensor([0.8, 1.2, 0.0, 0.0]) + spread
