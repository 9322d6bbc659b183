"""Attitude as a vector of three numbers: four times the modified Rodrigues parameters, a = 4 tan(φ/4) n.

n is the axis of the rotation from the body to the world, φ its angle. For small angles a is the vector of rotation φ n;
it is finite up to a full turn, and everything about it is rational: no square root, no branch, no wrap, no constraint.
(Schaub and Junkins, Analytical Mechanics of Space Systems, section 3.6; their [BN] is R transposed.)
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def cross(a: Tensor, b: Tensor) -> Tensor:
    """a × b, ``(.., 3)``, entry by entry: every export knows it."""
    (a1, a2, a3), (b1, b2, b3) = a.unbind(-1), b.unbind(-1)
    return torch.stack([a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1], -1)


def rotate(a: Tensor, vector: Tensor) -> Tensor:
    """R(a) w, ``(.., 3)``: w in the body's frame as seen from the world; ``rotate(-a, w)`` is the way back.

    w + (8 σ × (σ × w) + 4 (1 - |σ|²) σ × w)/(1 + |σ|²)² with σ = a/4.
    """
    s = 0.25 * a
    length = s.square().sum(-1, keepdim=True)
    once = cross(s, vector)
    return vector + (8 * cross(s, once) + 4 * (1 - length) * once) / (1 + length).square()


def upward(a: Tensor) -> Tensor:
    """R(a) e₃, ``(.., 3)``: the body's third axis in the world, along which rotors pull.

    e₃ + 4 (2 σ₁σ₃ + (1 - |σ|²) σ₂, 2 σ₂σ₃ - (1 - |σ|²) σ₁, -2 (σ₁² + σ₂²))/(1 + |σ|²)²
    """
    s1, s2, s3 = (0.25 * a).unbind(-1)
    level = s1 * s1 + s2 * s2
    length = level + s3 * s3
    scale, rest, twice = 4 / (1 + length).square(), 1 - length, 2 * s3
    return torch.stack([scale * (twice * s1 + rest * s2), scale * (twice * s2 - rest * s1), 1 - 2 * scale * level], -1)


def attitude_rate(a: Tensor, rates: Tensor) -> Tensor:
    """ȧ = [(1 - |σ|²) I + 2 [σ]× + 2 σ σᵀ] ω, σ = a/4, for ω in the body's frame, rad/s."""
    s = 0.25 * a
    along = (s * rates).sum(-1, keepdim=True)
    return (1 - s.square().sum(-1, keepdim=True)) * rates + 2 * cross(s, rates) + 2 * along * s


def quaternion_attitude(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """a of unit quaternions x, y, z, w, ``(.., 4)``, from the body to the world; of the two, the shorter rotation."""
    q = np.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    return 4 * q[..., :3] / (1 + q[..., 3:])


def attitude_quaternion(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit quaternion x, y, z, w of a, ``(.., 4)``."""
    s = 0.25 * a
    length = (s**2).sum(-1, keepdims=True)
    return np.concatenate([2 * s, 1 - length], -1) / (1 + length)


def yaw_pitch_roll(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """The angles of R(a) = Rz(ψ) Ry(θ) Rx(φ) for one a, ``(3,)``: for pictures, as they lock at θ = 90°."""
    r = rotate(torch.from_numpy(a).expand(3, 3), torch.eye(3, dtype=torch.float64)).numpy().T
    pitch = np.arcsin(np.clip(-r[2, 0], -1, 1))
    return np.array([np.arctan2(r[1, 0], r[0, 0]), pitch, np.arctan2(r[2, 1], r[2, 2])])
