"""Anderson acceleration of a fixed-point iteration, block by block, with a safeguard."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..envs.problem import ControlHamiltonian
from .operators import Box, in_blocks, solve_blocks


class Past(NamedTuple):
    """One iterate and what T did to it: u and r = T(u) - u, each ``(.., B, m)``."""

    u: Tensor
    r: Tensor


def accelerated(
    h: ControlHamiltonian, u: Tensor, image: Tensor, past: tuple[Past, ...], box: Box, memory: int
) -> tuple[Tensor, tuple[Past, ...]]:
    """The next iterate after u, whose image is T(u), and the memory with (u, T(u)) added.

    Type II (Walker and Ni 2011, eq. 1.1 in differences): with ΔU, ΔR the differences of the last iterates and of their
    r = T(u) - u,

        u⁺ = u + r - (ΔU + ΔR) c,   c = argmin |r - ΔR c|²,

    projected on the box. A block cannot use more differences than it has controls. In each block the higher H of u⁺
    and T(u) wins: the safeguard, which leaves the fixed points of T what they were.
    """
    here = Past(u, image - u)
    chain = (*past, here)[-memory - 1 :]
    if len(chain) == 1:
        return image, chain
    blocks = h.value(u).shape[-1]
    size = u.shape[-1] // blocks
    pairs = list(zip(chain, chain[1:], strict=False))[-size:]
    change_u = torch.stack([in_blocks(b.u - a.u, blocks) for a, b in pairs], -1)
    change_r = torch.stack([in_blocks(b.r - a.r, blocks) for a, b in pairs], -1)
    r = in_blocks(here.r, blocks)
    gram = change_r.mT @ change_r
    right = (change_r.mT @ r.unsqueeze(-1)).squeeze(-1)
    # In units of its trace, however small the steps have become; where they have died out (a frozen sample), 0.
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True).clamp_min(torch.finfo(u.dtype).tiny)
    eps = torch.finfo(u.dtype).eps
    gram = gram / trace.unsqueeze(-1) + 10 * eps * torch.eye(gram.shape[-1], dtype=u.dtype, device=u.device)
    # Held constant in the derivative: c no longer matters at a fixed point, and its own derivative is 0/0 there.
    share = solve_blocks(gram, right / trace, floor=eps).detach()
    step = r - ((change_u + change_r) @ share.unsqueeze(-1)).squeeze(-1)
    candidate = (u + step.flatten(-2)).clamp(*box)
    values = torch.nan_to_num(h.value(torch.stack([candidate, image])), nan=-torch.inf)
    better = (values[0] > values[1]).unsqueeze(-1)
    chosen = torch.where(better, in_blocks(candidate, blocks), in_blocks(image, blocks))
    return chosen.flatten(-2), chain
