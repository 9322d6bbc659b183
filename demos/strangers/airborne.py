"""A spacecraft that turns, a jet that recovers from a stall, a lander on the moon."""

from dataclasses import dataclass

import torch

import pontryagin


@dataclass(frozen=True)
class Slew(pontryagin.Problem):
    """z = (attitude quaternion q = (s, v), body rates ω), u torques, |u_i| <= 1.5 N m.

        s' = -½ v·ω    v' = ½ (s ω + v × ω)    J ω' = u - ω × J ω
        L = ½ |u|²    G = 200 (|v|² + |ω|²)

    J = diag(10, 6.3, 8.5) kg m²; T = 10 s. Both q and -q are the attitude that is asked for.

    Source: Bilimoria and Wie, "Time-optimal three-axis reorientation of a rigid spacecraft", Journal of Guidance,
    Control, and Dynamics 16 (1993), 446-452; here with the least effort, and numbers of its own. rho_0: turned by about
    145°, each component with N(0, 0.3²), and rates of N(0, 0.1²).
    """

    state_dim: int = 7
    control_dim: int = 3
    horizon: float = 10.0
    steps: int = 100
    control_low = -1.5
    control_high = 1.5
    state_names = ("s", "v1", "v2", "v3", "rate1 (rad/s)", "rate2 (rad/s)", "rate3 (rad/s)")
    control_names = ("torque1 (N m)", "torque2 (N m)", "torque3 (N m)")

    def dynamics(self, t, z, u):
        s, v, w = z[..., :1], z[..., 1:4], z[..., 4:]
        inertia = torch.tensor([10.0, 6.3, 8.5], dtype=z.dtype, device=z.device)
        turning = torch.cat([-(v * w).sum(-1, keepdim=True), s * w + torch.linalg.cross(v, w)], -1)
        return torch.cat([0.5 * turning, (u - torch.linalg.cross(w, inertia * w)) / inertia], -1)

    def running_cost(self, t, z, u):
        return 0.5 * (u**2).sum(-1)

    def terminal_cost(self, z):
        return 200.0 * (z[..., 1:] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        turned = torch.tensor([0.3, 0.5, 0.6, 0.5]) + 0.3 * torch.randn(batch, 4, generator=generator)
        turned = turned / turned.norm(dim=-1, keepdim=True)
        return torch.cat([turned, 0.1 * torch.randn(batch, 3, generator=generator)], -1)


@dataclass(frozen=True)
class Stall(pontryagin.Problem):
    """z = (angle of attack α, pitch θ, pitch rate q) of an F-8 Crusader, u its elevator, |u| <= 0.236 rad.

        α' = q - 0.877 α - 0.088 α q + 0.47 α² - 0.019 θ² - α² q + 3.846 α³
             - 0.215 u + 0.28 α² u + 0.47 α u² + 0.63 u³    θ' = q
        q' = -4.208 α - 0.396 q - 0.47 α² - 3.564 α³ - 20.967 u + 6.265 α² u + 46 α u² + 61.4 u³
        L = α² + 0.1 θ² + 0.1 q² + 0.01 u²    G = 10 |z|²

    From an α above 0.45 the cubic term wins, and it is lost. T = 6 s.

    Source: Garrard and Jordan, "Design of nonlinear automatic flight control systems", Automatica 13 (1977), 497-505;
    the cost is this file's own. rho_0: α uniform in [0.1, 0.45], θ and q in [-0.3, 0.3].
    """

    state_dim: int = 3
    control_dim: int = 1
    horizon: float = 6.0
    steps: int = 120
    control_low = -0.236
    control_high = 0.236
    state_names = ("attack (rad)", "pitch (rad)", "pitch_rate (rad/s)")
    control_names = ("elevator (rad)",)

    def dynamics(self, t, z, u):
        a, pitch, q = z.unbind(-1)
        u = u[..., 0]
        lift = q - 0.877 * a - 0.088 * a * q + 0.47 * a**2 - 0.019 * pitch**2 - a**2 * q + 3.846 * a**3
        lift = lift - 0.215 * u + 0.28 * a**2 * u + 0.47 * a * u**2 + 0.63 * u**3
        moment = -4.208 * a - 0.396 * q - 0.47 * a**2 - 3.564 * a**3
        moment = moment - 20.967 * u + 6.265 * a**2 * u + 46.0 * a * u**2 + 61.4 * u**3
        return torch.stack([lift, q, moment], -1)

    def running_cost(self, t, z, u):
        return z[..., 0] ** 2 + 0.1 * (z[..., 1:] ** 2).sum(-1) + 0.01 * (u**2).sum(-1)

    def terminal_cost(self, z):
        return 10.0 * (z**2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        low, high = torch.tensor([0.1, -0.3, -0.3]), torch.tensor([0.45, 0.3, 0.3])
        return low + (high - low) * torch.rand(batch, 3, generator=generator)


@dataclass(frozen=True)
class Moon(pontryagin.Problem):
    """z = (height h, speed v, mass m), u the thrust in [0, 3]: down in one piece, with the least fuel.

        h' = v    v' = -1 + u / m    m' = -0.3 u    L = u    G = 500 (h² + v²)

    Units in which the moon's gravity is 1; T = 3. H is linear in u: full thrust or none.

    Source: Meditch, "On the problem of optimal thrust programming for a lunar soft landing", IEEE Transactions on
    Automatic Control 9 (1964), 477-484, there with free T. rho_0: (1.5, -0.5, 1), standard deviations 0.4, 0.4, 0.03.
    """

    state_dim: int = 3
    control_dim: int = 1
    horizon: float = 3.0
    steps: int = 90
    control_low = 0.0
    control_high = 3.0
    state_names = ("height (1)", "speed (1)", "mass (share)")
    control_names = ("thrust (1)",)

    def dynamics(self, t, z, u):
        return torch.stack([z[..., 1], u[..., 0] / z[..., 2] - 1.0, -0.3 * u[..., 0]], -1)

    def running_cost(self, t, z, u):
        return u[..., 0]

    def terminal_cost(self, z):
        return 500.0 * (z[..., :2] ** 2).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([0.4, 0.4, 0.03]) * torch.randn(batch, 3, generator=generator)
        return torch.tensor([1.5, -0.5, 1.0]) + spread
