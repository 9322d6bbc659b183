"""Newton's direction without a matrix: conjugate gradients on products with H_uu, sample by sample, by mask."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..envs.problem import ControlHamiltonian
from .looking import host_may_look

PRODUCTS = 100
"""Products with H_uu at most: a diagonal of a few clusters and a few columns need a dozen."""


def matrix_free_direction(h: ControlHamiltonian, u: Tensor, slope: Tensor, free: Tensor) -> Tensor:
    """(-H_uu)⁻¹ slope on the controls where ``free`` is 1, 0 on the others, ``(.., m)``; differentiable in ``slope``.

    H_uu is never formed: a product is one forward-mode sweep through ∇_u H, and its transpose is itself, so that the
    derivative is another such solve. Where -H_uu has a direction of no positive curvature the search ends before it
    (Steihaug 1983), and what is answered is still a direction of ascent.
    """
    answer: Tensor = _Direction.apply(slope, h, u, free)
    return answer


class _Direction(torch.autograd.Function):
    """slope -> (-H_uu)⁻¹ slope, linear and symmetric."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, h: ControlHamiltonian, u: Tensor, free: Tensor) -> Tensor:
        ctx.h = h
        ctx.save_for_backward(u, free)
        return conjugate_gradients(h, u, slope, free)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        u, free = ctx.saved_tensors
        return conjugate_gradients(ctx.h, u, v, free), None, None, None


@torch.no_grad()
def conjugate_gradients(
    h: ControlHamiltonian, u: Tensor, right: Tensor, free: Tensor, products: int = PRODUCTS
) -> Tensor:
    """w with -H_uu w = ``right`` on the free controls, ``(.., m)``; each sample ends by mask when it is solved."""
    right = free * right
    w, r, d = torch.zeros_like(right), right, right
    left = (r * r).sum(-1, keepdim=True)
    enough = left * torch.finfo(u.dtype).eps ** 1.5
    active = left > 0
    curved = torch.func.vjp(h.gradient, u)[1]
    for k in range(products):
        if host_may_look(active) and not active.numpy().any():
            break
        bent = -free * curved(d)[0]
        curvature = (d * bent).sum(-1, keepdim=True)
        sane = curvature > 0
        step = torch.where(active & sane, left / torch.where(sane, curvature, 1.0), 0.0)
        if k == 0:  # no curvature to go by: up the slope
            step = torch.where(active & ~sane, 1.0, step)
        active = active & sane
        w, r = w + step * d, r - step * bent
        before, left = left, (r * r).sum(-1, keepdim=True)
        active = active & (left > enough)
        d = torch.where(active, r + left / before.clamp_min(torch.finfo(u.dtype).tiny) * d, 0.0)
    return w
