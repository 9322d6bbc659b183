"""How near agents are to each other, as a smooth bump of the distance, and its second derivative."""

from __future__ import annotations

import torch
from torch import Tensor


def nearness(x: Tensor, radius: float) -> Tensor:
    """exp(-|x_i - x_j|² / (2 radius²)) for positions ``(.., N, c)``: ``(.., N, N)``, 1 on the diagonal.

    The exponent is one product of matrices, (x, |x|², 1)·(x', -½, -½|x'|²) / radius², so that a batch holds two
    arrays of this size and no more; the centre of the flock is the origin, so that nothing cancels.
    """
    x = (x - x.mean(-2, keepdim=True)) / radius
    square = (x * x).sum(-1, keepdim=True)
    one = torch.ones_like(square)
    left = torch.cat([x, square, one], -1)
    right = torch.cat([x, -0.5 * one, -0.5 * square], -1)
    return torch.exp(left @ right.mT)


def nearness_hessian(x: Tensor, radius: float, weight: float) -> Tensor:
    """∇² of weight · Σ_{i<j} exp(-|x_i - x_j|² / (2 radius²)) in the positions ``(B, N, c)``: ``(B, N, c, N, c)``.

    Of exp(-½|d|²/r²), d = x_i - x_j: to x_i twice e (d dᵀ/r⁴ - 1/r²); to x_i and x_j minus that.
    """
    size = x.shape[-1]
    y, one = x / radius, torch.eye(size, dtype=x.dtype, device=x.device).unsqueeze(-1)
    d = (y.unsqueeze(-2) - y.unsqueeze(-3)).mT
    e = (nearness(x, radius) * (weight / radius**2)).unsqueeze(-2)
    pairs = torch.stack([e * (one[k] - d * d.narrow(-2, k, 1)) for k in range(size)], -1)
    pairs.diagonal(dim1=-4, dim2=-2).sub_(pairs.sum(-2).movedim(-3, -1))
    return pairs


def distances(x: Tensor, close: float) -> dict[str, Tensor]:
    """Of positions ``(B, N, c)``: ``min_distance`` between two, and ``close_pairs`` nearer than ``close``, ``(B,)``."""
    if x.shape[-2] == 1:
        return {}
    i, j = torch.triu_indices(x.shape[-2], x.shape[-2], 1, device=x.device)
    apart = (x.index_select(-2, i) - x.index_select(-2, j)).norm(dim=-1)
    return {"min_distance": apart.amin(-1), "close_pairs": (apart < close).sum(-1).to(x.dtype)}
