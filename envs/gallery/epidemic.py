"""The epidemic of Lenhart and Workman: whom to vaccinate when, against the number of the infectious."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .published import Published


@dataclasses.dataclass(frozen=True)
class Epidemic(Published):
    """z = (S, E, I, N) ``(B, 4)`` people: susceptible, exposed, infectious, all; u ``(B, 1)`` in [0, 0.9], the share of
    S that is vaccinated in the unit of time. The immune are R = N - S - E - I.

        S' = b N - d S - c S I - u S     E' = c S I - (e + d) E     I' = e E - (g + a + d) I     N' = (b - d) N - a I
        L = A I + u²     G = 0     T = 20

    b = 0.525, d = 0.5, c = 1e-4, e = 0.5, g = 0.1, a = 0.2, A = 0.1. Start: (1000, 100, 50, 1165) in the source, with
    R = 15; here S, E, I and R each times exp(spread · N(0, 1)).

    Source: Lenhart and Workman, "Optimal Control Applied to Biological Models" (2007), chapter 13, laboratory 7; after
    Joshi, Lenhart, Li and Wang (2006). Checked against their own algorithm, the forward-backward sweep.
    """

    horizon: float = 20.0
    steps: int = 80
    spread: float = 1.2

    state_dim, control_dim = 4, 1
    control_low, control_high = 0.0, 0.9
    state_scale = (1000.0, 100.0, 50.0, 1000.0)
    state_names = ("susceptible (people)", "exposed (people)", "infectious (people)", "all (people)")
    control_names = ("vaccinated (1/time)",)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        susceptible, exposed, infectious, everyone = z.split(1, -1)
        caught = 1e-4 * susceptible * infectious
        return torch.cat(
            [
                0.525 * everyone - 0.5 * susceptible - caught - u * susceptible,
                caught - (0.5 + 0.5) * exposed,
                0.5 * exposed - (0.1 + 0.2 + 0.5) * infectious,
                (0.525 - 0.5) * everyone - 0.2 * infectious,
            ],
            -1,
        )

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return 0.1 * z[..., 2] + (u**2).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        mean = torch.tensor([1000.0, 100.0, 50.0, 15.0])
        parts = mean * torch.exp(self.spread * torch.randn(batch, 4, generator=generator))
        return torch.cat([parts[:, :3], parts.sum(-1, keepdim=True)], -1)
