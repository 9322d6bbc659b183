"""Yaw, pitch and roll, their rates and accelerations, in the rotation, rates and torques of a rigid body.

With R = Rz(ψ) Ry(θ) Rx(φ) from body to world and η = (ψ, θ, φ), Rᵀ Ṙ = [ω]ₓ gives the rates in the body's axes

    ω = E(η) η̇,     E = |  -sinθ       0      1 |
                        | cosθ sinφ   cosφ    0 |
                        | cosθ cosφ  -sinφ    0 |

(each column is the axis about which its angle turns, seen from the body: Rxᵀ Ryᵀ e_z, Rxᵀ e_y, e_x). det E = -cosθ, so
η̇ = E⁻¹ ω but for θ = ±π/2. Differentiating once more, and with Euler's equation J ω̇ + ω × Jω = M, a wanted
acceleration η̈ of the angles takes the torque about the body's axes

    M = J (E η̈ + Ė η̇) + ω × Jω.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation(angles: Array) -> Array:
    """R = Rz(ψ) Ry(θ) Rx(φ), ``(3, 3)``, of angles (ψ, θ, φ)."""
    (cz, cy, cx), (sz, sy, sx) = np.cos(angles), np.sin(angles)
    matrix: Array = np.array(
        [
            [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
            [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
            [-sy, cy * sx, cy * cx],
        ]
    )
    return matrix


def angles_near(matrix: Array, near: Array) -> Array:
    """The angles (ψ, θ, φ) of a rotation that are next to ``near``: of (ψ, θ, φ) and (ψ + π, π - θ, φ + π), mod 2π."""
    pitch = np.arcsin(np.clip(-matrix[2, 0], -1.0, 1.0))
    first = np.array([np.arctan2(matrix[1, 0], matrix[0, 0]), pitch, np.arctan2(matrix[2, 1], matrix[2, 2])])
    second = np.array([first[0] + np.pi, np.pi - pitch, first[2] + np.pi])
    turned = [a - 2 * np.pi * np.round((a - near) / (2 * np.pi)) for a in (first, second)]
    return min(turned, key=lambda a: float(np.abs(a - near).sum()))


def rate_matrix(angles: Array) -> Array:
    """E(η), ``(3, 3)``."""
    _, (_, cy, cx), (_, sy, sx) = angles, np.cos(angles), np.sin(angles)
    return np.array([[-sy, 0.0, 1.0], [cy * sx, cx, 0.0], [cy * cx, -sx, 0.0]])


def body_rates(angles: Array, rates: Array) -> Array:
    """ω = E η̇, ``(3,)``."""
    omega: Array = rate_matrix(angles) @ rates
    return omega


def angle_rates(angles: Array, omega: Array) -> Array:
    """η̇ = E⁻¹ ω, ``(3,)``; not at pitch ±π/2."""
    return np.asarray(np.linalg.solve(rate_matrix(angles), omega), dtype=np.float64)


def body_torque(angles: Array, rates: Array, accelerations: Array, inertia: Array) -> Array:
    """M = J (E η̈ + Ė η̇) + ω × Jω, ``(3,)``, for a diagonal J = diag(inertia) in the body's axes."""
    _, (_, cy, cx), (_, sy, sx) = angles, np.cos(angles), np.sin(angles)
    _, pitching, rolling = rates
    changing = np.array(
        [
            [-cy * pitching, 0.0, 0.0],
            [cy * cx * rolling - sy * sx * pitching, -sx * rolling, 0.0],
            [-cy * sx * rolling - sy * cx * pitching, -cx * rolling, 0.0],
        ]
    )
    matrix = rate_matrix(angles)
    omega = matrix @ rates
    torque: Array = inertia * (matrix @ accelerations + changing @ rates) + np.cross(omega, inertia * omega)
    return torque
