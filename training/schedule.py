"""How fast a run descends, and how far at most: the learning rate, and the bound on the gradient."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import TrainConfig


def one_cycle(peak: float, warmup: float, share: float) -> float:
    """Cosine up from 1/25 of the peak during the warm-up, cosine down to 1/1000 of it after (Smith 2018)."""
    low, final = peak / 25, peak / 1000
    if share < warmup:
        return low + (peak - low) * 0.5 * (1 - math.cos(math.pi * share / warmup))
    rest = (share - warmup) / (1 - warmup)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


def learning_rate(config: TrainConfig, share: float) -> float:
    """That of a run when ``share`` of it is done."""
    return one_cycle(config.learning_rate, config.warmup, share)


def clip_gradient(value: nn.Module, multiple: float, usual: float) -> tuple[float, float]:
    """Scale the gradient down to ``multiple`` of its running mean norm ``usual``, if it is longer.

    Returns the running mean, moved by this gradient, and the norm as it was; if that is not finite, nothing is changed.
    """
    size = float(torch.nn.utils.get_total_norm([w.grad for w in value.parameters() if w.grad is not None]))
    if not math.isfinite(size):
        return usual, size
    limit = multiple * (usual or size)
    torch.nn.utils.clip_grads_with_norm_(value.parameters(), limit, torch.tensor(size))
    return (usual + 0.05 * (min(size, limit) - usual) if usual else size), size
