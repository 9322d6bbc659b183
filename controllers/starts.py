"""Where ``starts="global"`` begins to climb: the best point of a grid in each region of the box, by block."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ..envs.problem import ControlHamiltonian
from .operators import Box, in_blocks

REGIONS = {1: 5, 2: 3, 3: 2, 4: 2}
"""Parts of the range of each control, by size of the block; 1 for larger ones."""
POINTS = {1: 15, 2: 5, 3: 4, 4: 3}
"""Points of the grid per control in a region, both ends included; 3 for larger blocks."""


def region_starts(h: ControlHamiltonian, box: Box, u0: Tensor | None, size: int) -> Tensor:
    """Candidates ``(S, B, m)``: the problem's own start (or ``u0``), then for each region the highest H on its grid.

    A local maximum narrower than the spacing of the grid may be missed; one start per region keeps a broad lower one
    from hiding a narrow higher one elsewhere.
    """
    start = (h.start() if u0 is None else u0.detach()).clamp(*box)
    low, high = box
    parts, points = REGIONS.get(size, 1), POINTS.get(size, 3)
    axis = torch.linspace(0, 1, points, dtype=start.dtype, device=start.device)
    inside = torch.cartesian_prod(*[axis] * size).reshape(-1, size).repeat(1, len(low) // size)
    best = [start]
    for corner in itertools.product(range(parts), repeat=size):
        share = torch.tensor(corner, dtype=start.dtype, device=start.device).repeat(len(low) // size)
        grid = (low + (inside + share) / parts * (high - low)).clamp(low, high)
        candidates = grid.unsqueeze(1).expand(-1, len(start), -1)
        value = torch.nan_to_num(h.value(candidates), nan=-torch.inf)
        best.append(pick_blocks(candidates, value.argmax(0)))
    return torch.stack(best)


def pick_blocks(candidates: Tensor, best: Tensor) -> Tensor:
    """From ``(S, B, m)`` the blocks numbered ``best (B, blocks)``: ``(B, m)``."""
    blocks = in_blocks(candidates, best.shape[-1])
    index = best.unsqueeze(0).unsqueeze(-1).expand(1, *blocks.shape[1:])
    return blocks.gather(0, index).squeeze(0).flatten(-2)
