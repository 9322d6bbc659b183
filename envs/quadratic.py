"""The Hamiltonian of a problem whose f is affine in u and whose L is quadratic in it, with one curvature everywhere."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class QuadraticHamiltonian:
    """u -> slope·u - ½ uᵀ Q u, one block, concave; its maximiser without bounds is Q⁻¹ slope.

    Attributes:
        slope: ``(B, m)``.
        curvature: Q, ``(m, m)``, symmetric and positive definite.
        inverse: Q⁻¹, ``(m, m)``.
    """

    slope: Tensor
    curvature: Tensor
    inverse: Tensor

    def start(self) -> Tensor:
        """The maximiser without bounds."""
        return self.slope @ self.inverse

    def value(self, u: Tensor) -> Tensor:
        return (u * (self.slope - 0.5 * (u @ self.curvature))).sum(-1, keepdim=True)

    def gradient(self, u: Tensor) -> Tensor:
        """slope - Q u, as Q (Q⁻¹ slope - u): near the maximiser large terms do not cancel, and rounding stays small."""
        return (self.start() - u) @ self.curvature

    def hessian(self, u: Tensor) -> Tensor:
        size = u.shape[-1]
        return -self.curvature.expand(*torch.broadcast_shapes(u.shape, self.slope.shape)[:-1], 1, size, size)
