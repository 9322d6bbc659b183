"""A bicycle's Hamiltonian in its controls: not concave in the steering angle, whose best value jumps to its bound."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

STEERING = math.pi / 2 - 0.25
"""Largest steering angle, rad."""


@dataclasses.dataclass(frozen=True)
class BicycleHamiltonian:
    """u -> Σ_i -(q tanδ + ½δ² + r a + ½a²), q = p_θ v / wheelbase, r = p_v; each ``(B, N)``.

    By symmetry let s = -q > 0. In δ there is a local maximum where δ cos²δ = s, which exists up to s = 0.412, and one
    at the bound D; the bound is the higher one from s ≈ 0.2297 on.
    """

    q: Tensor
    r: Tensor

    def start(self) -> Tensor:
        """The global maximiser to about 1e-4: the bound past ``JUMP``, else the root of δ cos²δ = s by its series."""
        s = self.q.abs()
        square = s * s
        root = s * (1 + square * (1 + square * (8 / 3 + square * (422 / 45))))
        size = torch.where(s > JUMP, STEERING, root)
        steering = torch.where(self.q > 0, -size, size)  # copysign has no counterpart in ONNX
        return torch.stack([steering, -self.r], -1).flatten(-2)

    def value(self, u: Tensor) -> Tensor:
        steering, acceleration = u.unflatten(-1, (-1, 2)).unbind(-1)
        turning = self.q * torch.tan(steering) + 0.5 * steering * steering
        return -(turning + (self.r + 0.5 * acceleration) * acceleration)

    def gradient(self, u: Tensor) -> Tensor:
        steering, acceleration = u.unflatten(-1, (-1, 2)).unbind(-1)
        secant = 1 + torch.tan(steering).square()
        return torch.stack([-(self.q * secant + steering), -(self.r + acceleration)], -1).flatten(-2)

    def hessian(self, u: Tensor) -> Tensor:
        steering = u.unflatten(-1, (-1, 2)).select(-1, 0)
        tangent = torch.tan(steering)
        bend = -(2 * self.q * tangent * (1 + tangent * tangent) + 1)
        return torch.diag_embed(torch.stack([bend, -torch.ones_like(bend)], -1))


def _jump(high: float) -> float:
    """The s at which δ -> s tanδ - ½δ² is as high at its local maximum as at the bound ``high``: bisection."""
    low_s, high_s = 0.0, 0.412
    for _ in range(60):
        s = 0.5 * (low_s + high_s)
        root = 0.0
        for _ in range(200):  # δ <- s / cos²δ rises to the smaller root
            root = min(s / math.cos(root) ** 2, 0.6533)
        inside = s * math.tan(root) - 0.5 * root * root
        low_s, high_s = (s, high_s) if inside > s * math.tan(high) - 0.5 * high * high else (low_s, s)
    return 0.5 * (low_s + high_s)


JUMP = _jump(STEERING)
"""|q| at which the best steering angle jumps to its bound, 0.2297."""
SMALL = 0.235
"""A steering angle just below the largest before the jump, 0.2442 rad."""


ASIDE = 0.45
"""rad off the straight way to the target, far from it."""


def keep_aside(bicycles: Tensor, way: Tensor, left: Tensor, wheelbase: float) -> Tensor:
    """Controls that ride to targets ``way (B, N, 2)`` off in the time ``left``, and aside of the straight line."""
    _, _, heading, speed = bicycles.unbind(-1)
    distance = way.norm(dim=-1)
    off = torch.atan2(way[..., 1], way[..., 0]) + ASIDE * torch.tanh(distance) - heading
    steering = torch.atan(3 * wheelbase * torch.atan2(off.sin(), off.cos()) / (speed.abs() + 0.1)).clamp(-0.3, 0.3)
    pace = 1.2 * distance / (torch.as_tensor(left).reshape(-1, 1) + 0.05)
    return torch.stack([steering, (2 * (pace - speed)).clamp(-3, 3)], -1).flatten(-2)
