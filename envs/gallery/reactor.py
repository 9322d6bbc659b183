"""The stirred-tank reactor of do-mpc: bring the product to its concentration and the reactor not above 140 °C."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..penalty import penalty
from .published import Published


@dataclasses.dataclass(frozen=True)
class Reactor(Published):
    """A -> B -> C, 2A -> D in a cooled tank. z = (c_A, c_B, θ, θ_J) ``(B, 4)`` in mol/l and °C; u = (F, Q) ``(B, 2)``:
    flow through the volume in [5, 100] 1/h, and heat taken from the jacket in [-8500, 0] kJ/h.

        c_A' = F (5.1 - c_A) - k₁ c_A - k₃ c_A²     c_B' = -F c_B + k₁ c_A - k₂ c_B
        θ' = (4.2 k₁ c_A - 11 k₂ c_B - 41.85 k₃ c_A²) / (-ρ c_p) + F (inflow - θ) + k_w A (θ_J - θ) / (ρ c_p V)
        θ_J' = (Q + k_w A (θ - θ_J)) / (m_J c_J)     k_i = K_i exp(-E_i / (θ + 273.15))
        L = 200 ((c_B - 0.6)² + price |u / (100, 2000)|² + 100 penalty((θ - 140) / 10))     G = (c_B - 0.6)²

    200 h⁻¹ is one over the period of the source, which adds up costs; it prices the change of u instead of u (for that,
    ``PricedRate``). Start: (0.8, 0.5, 134.14, 130) in the source; here the concentrations times exp(spread · N(0, 1)),
    the temperatures with N(0, (10 spread)²) added.

    Source: do-mpc, example CSTR (Fiedler et al. 2023), after Klatt and Engell (1998), whose steady state for F = 14.19,
    Q = -1113.5 and an inflow of 104.9 °C is checked: (2.14, 1.09, 114.2, 112.9).
    """

    horizon: float = 0.2
    steps: int = 40
    inflow: float = 130.0
    price: float = 1e-4
    spread: float = 0.5

    state_dim, control_dim = 4, 2
    control_low, control_high = (5.0, -8500.0), (100.0, 0.0)
    state_scale = (1.0, 1.0, 20.0, 20.0)
    state_names = ("educt (mol/l)", "product (mol/l)", "reactor (°C)", "jacket (°C)")
    control_names = ("flow (1/h)", "heat (kJ/h)")

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        educt, product, reactor, jacket = z.split(1, -1)
        flow, heat = u.split(1, -1)
        kelvin = reactor + 273.15
        first = 1.287e12 * torch.exp(-9758.3 / kelvin)
        ab, bc, ad = first * educt, first * product, 9.043e9 * torch.exp(-8560.0 / kelvin) * educt**2
        warmth, wall = 0.9342 * 3.01, 4032.0 * 0.215 * (jacket - reactor)
        heated = -(4.2 * ab - 11.0 * bc - 41.85 * ad) / warmth
        heating = heated + flow * (self.inflow - reactor) + wall / (warmth * 10.01)
        return torch.cat(
            [flow * (5.1 - educt) - ab - ad, -flow * product + ab - bc, heating, (heat - wall) / (5.0 * 2.0)], -1
        )

    def excess(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """How far the reactor is above 140 °C, ``(B, 1)``, in tens of degrees."""
        return (z[..., 2:3] - 140.0) / 10.0

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        return {"too_hot": 10.0 * self.excess(z[..., 0], z, z).amax(-1).clamp_min(0.0)}

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        size = torch.tensor([100.0, 2000.0], dtype=u.dtype, device=u.device)
        hot = 100.0 * penalty(self.excess(t, z, u), 0.05).sum(-1)
        return 200.0 * ((z[..., 1] - 0.6) ** 2 + self.price * ((u / size) ** 2).sum(-1) + hot)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return (z[..., 1] - 0.6) ** 2

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        away = self.spread * torch.randn(batch, 4, generator=generator)
        amounts = torch.tensor([0.8, 0.5]) * torch.exp(away[:, :2])
        return torch.cat([amounts, torch.tensor([134.14, 130.0]) + 10.0 * away[:, 2:]], -1)
