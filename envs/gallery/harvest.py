"""The timber harvest of Lenhart and Workman: reinvest in the farm, or sell; linear in the control, so bang-bang."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .published import Published


@dataclasses.dataclass(frozen=True)
class Harvest(Published):
    """z the rate of production ``(B, 1)``, in m³ per time; u the share of the income that is reinvested, in [0, 1].

        x' = growth x u     L = -exp(-discount t) x (1 - u)     G = 0     T = 5

    Costs are minus the income, so J < 0. Start: 100 in the source, here times exp(spread · N(0, 1)).

    Source: Lenhart and Workman, "Optimal Control Applied to Biological Models" (2007), chapter 18, laboratory 11; after
    Kamien and Schwartz (1991). Optimum without discount, exact: u = 1 until T - 1/growth and 0 from then on, so
    J = -x(0) exp(growth T - 1) / growth; with one, r < growth, the switch is where growth (1 - exp(r (t - T))) = r.
    """

    horizon: float = 5.0
    steps: int = 50
    growth: float = 1.0
    discount: float = 0.0
    spread: float = 0.5

    state_dim, control_dim = 1, 1
    control_low, control_high = 0.0, 1.0
    state_scale = 1000.0
    state_names = ("production (m^3/time)",)
    control_names = ("reinvested (-)",)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.growth * z * u

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return -torch.exp(-self.discount * t) * (z * (1.0 - u)).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return 100.0 * torch.exp(self.spread * torch.randn(batch, 1, generator=generator))
