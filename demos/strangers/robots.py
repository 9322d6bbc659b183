"""Pendulums with one motor for two joints: an acrobot and a pendulum of Furuta, swung up."""

from dataclasses import dataclass
from math import pi

import torch

import pontryagin


@dataclass(frozen=True)
class Acrobot(pontryagin.Problem):
    """z = (q₁, q₂, their rates): angles of both links from hanging, in rad; u a torque between them, |u| <= 25 N m.

        2 l² q₁'' + l² cosΔ q₂'' + l² sinΔ q₂'² + 2 g l sin q₁ = -u                   Δ = q₁ - q₂
        l² cosΔ q₁'' + l² q₂'' - l² sinΔ q₁'² + g l sin q₂ = u
        L = u²    G = 2000 |(q₁ - π, q₂ - π)|² + 200 |(q₁', q₂')|²

    Two masses of 1 kg at the ends of links of l = 0.5 m; g = 9.81 m/s².

    Source: OptimTraj, demo acrobot (Kelly, "An introduction to trajectory optimization", SIAM Review 59, 2017), after
    Spong, "The swing up control problem for the acrobot", IEEE Control Systems 15 (1995), 49-55. T = 2.5 s; there the
    end is met exactly, from rest. rho_0: N(0, 0.1²).
    """

    state_dim: int = 4
    control_dim: int = 1
    horizon: float = 2.5
    steps: int = 75
    control_low = -25.0
    control_high = 25.0
    state_names = ("shoulder (rad)", "elbow (rad)", "shoulder_rate (rad/s)", "elbow_rate (rad/s)")
    control_names = ("torque (N m)",)

    def dynamics(self, t, z, u):
        q1, q2, w1, w2 = z.unbind(-1)
        torque = u[..., 0]
        sine, cosine = torch.sin(q1 - q2), torch.cos(q1 - q2)
        first = -torque - 0.25 * sine * w2**2 - 9.81 * torch.sin(q1)
        second = torque + 0.25 * sine * w1**2 - 4.905 * torch.sin(q2)
        det = 0.125 - (0.25 * cosine) ** 2
        a1 = (0.25 * first - 0.25 * cosine * second) / det
        a2 = (0.5 * second - 0.25 * cosine * first) / det
        return torch.stack([w1, w2, a1, a2], -1)

    def running_cost(self, t, z, u):
        return (u**2).sum(-1)

    def terminal_cost(self, z):
        return 2000.0 * ((z[..., :2] - pi) ** 2).sum(-1) + 200.0 * (z[..., 2:] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return 0.1 * torch.randn(batch, 4, generator=generator)


@dataclass(frozen=True)
class Flip(pontryagin.Problem):
    """Furuta's pendulum: z = (arm α, pendulum β from hanging, their rates), u a torque on the arm, |u| <= 0.4 N m.

        (J₀ + J₂ sin²β) α'' + k cosβ β'' = u + k sinβ β'² - J₂ sin2β α' β' - b₁ α'
        k cosβ α'' + J₂ β'' = ½ J₂ sin2β α'² - b₂ β' - m g l sinβ
        L = 50 u² + 0.1 α²    G = 100 (α² + (β - π)²) + 10 |(α', β')|²

    J₀ = 0.0373, J₂ = 0.0055 kg m², k = m l 0.278 m with m = 0.075 kg, l = 0.148 m, b = (1e-4, 2.8e-4) N m s.

    Source: Cazzolato and Prime, "On the dynamics of the Furuta pendulum", J. Control Science and Engineering 2011,
    528341, model and parameters; costs and bound are ours. T = 4 s. rho_0: N(0, 0.2²).
    """

    state_dim: int = 4
    control_dim: int = 1
    horizon: float = 4.0
    steps: int = 100
    control_low = -0.4
    control_high = 0.4
    state_names = ("arm (rad)", "pendulum (rad)", "arm_rate (rad/s)", "pendulum_rate (rad/s)")
    control_names = ("torque (N m)",)

    def dynamics(self, t, z, u):
        _, beta, turn, swing = z.unbind(-1)
        sine, cosine = torch.sin(beta), torch.cos(beta)
        pull = 0.075 * 0.148 * 0.278
        first = u[..., 0] + pull * sine * swing**2 - 2 * 0.0055 * sine * cosine * turn * swing - 1e-4 * turn
        second = 0.0055 * sine * cosine * turn**2 - 2.8e-4 * swing - 0.075 * 9.81 * 0.148 * sine
        arm = 0.0373 + 0.0055 * sine**2
        det = arm * 0.0055 - (pull * cosine) ** 2
        speed_up = (0.0055 * first - pull * cosine * second) / det
        swing_up = (arm * second - pull * cosine * first) / det
        return torch.stack([turn, swing, speed_up, swing_up], -1)

    def running_cost(self, t, z, u):
        return 50.0 * u[..., 0] ** 2 + 0.1 * z[..., 0] ** 2

    def terminal_cost(self, z):
        miss = z[..., 0] ** 2 + (z[..., 1] - pi) ** 2
        return 100.0 * miss + 10.0 * (z[..., 2:] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return 0.2 * torch.randn(batch, 4, generator=generator)
