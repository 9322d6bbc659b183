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
        curvature: Q, ``(m, m)``, symmetric and positive definite, float64.
        inverse: Q⁻¹, ``(m, m)``, float64.
    """

    slope: Tensor
    curvature: Tensor
    inverse: Tensor

    def start(self) -> Tensor:
        """The maximiser without bounds."""
        return (self.slope.to(self.inverse) @ self.inverse).to(self.slope)

    def value(self, u: Tensor) -> Tensor:
        return (u * (self.slope - 0.5 * (u @ self.curvature.to(u)))).sum(-1, keepdim=True)

    def gradient(self, u: Tensor) -> Tensor:
        """slope - Q u, as Q (Q⁻¹ slope - u) with that maximiser rounded as u is, in float64.

        So u is judged by how far it is from it. In the precision of u the terms of slope - Q u may cancel to less than
        their rounding: of a drone's torques 1e-5 of the slope is left, and no search would end.
        """
        away = self.start().to(self.curvature) - u.to(self.curvature)
        return (away @ self.curvature).to(u)

    def hessian(self, u: Tensor) -> Tensor:
        size = u.shape[-1]
        return -self.curvature.to(u).expand(*torch.broadcast_shapes(u.shape, self.slope.shape)[:-1], 1, size, size)
