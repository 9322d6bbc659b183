"""The weights of a value function for n agents as those of one for N of the same."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...envs.fields import whole


@torch.no_grad()
def hand_on(given: Mapping[str, Tensor], taken: Mapping[str, Tensor], block: int, seed: int = 0) -> None:
    """Write ``given``, by name, to ``taken``, in place; see ``ValueFunction.adopt``.

    Args:
        given: parameters of the teacher.
        taken: parameters of the pupil.
        block: states of an agent.
        seed: of what sets agents with one teacher apart.

    Raises:
        ValueError: naming what one of the two lacks, or what does not fit; nothing is changed then.
    """
    if lost := given.keys() - taken.keys():
        raise ValueError(f"there is no place for {sorted(lost)}; expected the terms {sorted(taken)}")
    if lost := taken.keys() - given.keys():
        raise ValueError(f"{sorted(lost)} are missing there; expected the terms {sorted(taken)}")
    generator = torch.Generator().manual_seed(whole(seed, "seed", 0))
    weights = {name: _handed_on(name, given[name], mine, block, generator) for name, mine in taken.items()}
    for name, mine in taken.items():
        mine.copy_(weights[name])


def _handed_on(name: str, weight: Tensor, mine: Tensor, block: int, generator: torch.Generator) -> Tensor:
    """The weight of n agents as one of N; as it is, if the shapes agree."""
    if weight.shape == mine.shape:
        return weight
    if not mine.numel():
        return mine
    if name == "nominal" and weight.shape[1:] == mine.shape[1:]:
        own = weight.unflatten(0, (-1, block))
        return own[torch.arange(len(mine) // block) % len(own)].flatten(0, 1)
    if name == "linear" and len(weight) % block == 1:
        states, time = weight.split([len(weight) - 1, 1])
        own = states.reshape(-1, block)
        return torch.cat([own[torch.arange(len(mine) // block) % len(own)].flatten(), time])
    if not name.startswith(("agents.", "fine.")) or weight.shape[1:] != mine.shape[1:]:
        raise ValueError(f"{name} has shape {tuple(weight.shape)} there and {tuple(mine.shape)} here")
    weight = weight[torch.arange(len(mine)) % len(weight)]
    return weight * (1 + 0.01 * torch.randn(weight.shape, generator=generator))
