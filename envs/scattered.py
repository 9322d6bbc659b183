"""Bicycles that start anywhere: where one optimum, and the feedback along it, no longer says what to do."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .bicycle import MultiBicycle


@dataclasses.dataclass(frozen=True)
class ScatteredBicycles(MultiBicycle):
    """``MultiBicycle`` with a wide rho_0: positions N(start, initial_scale²), headings N(start_headings,
    heading_scale²) rad, speeds uniform between 0 and ``top_speed``.

    Raises:
        ValueError: as ``MultiBicycle``, and on a spread below 0.
    """

    initial_scale: float = 0.5
    heading_scale: float = 0.5
    top_speed: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("heading_scale", "top_speed"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{type(self).__name__}.{field} is {getattr(self, field)!r}; expected a number >= 0")

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        z = self.agents(super().sample_initial_state(batch, generator))
        heading = z[..., 2] + self.heading_scale * torch.randn(z.shape[:2], generator=generator)
        speed = self.top_speed * torch.rand(z.shape[:2], generator=generator)
        return torch.cat([z[..., :2], torch.stack([heading, speed], -1)], -1).flatten(-2)
