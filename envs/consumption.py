"""Many households that consume at one price: a hundred controls in one dense block, H implicit."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from .fields import plain_fields
from .problem import ControlHamiltonian, Problem
from .scene import Circle, Line, Scene, hue_circle

MOST_HOUSEHOLDS = 10_000
"""Their H_uu has a hundred million entries, where it is formed at all."""


@dataclasses.dataclass(frozen=True)
class Consumption(Problem):
    """N households spend their wealth w_i ``(B, N)`` at rates of consumption c_i ``(B, N)``, in [0.05, 5].

        w_i' = r_i w_i - P c_i,     P = 1 + pressure · (1/N) Σ_j c_j,     r_i from low_return to high_return
        L = e^{-discount t} (1/N) Σ_i U(c_i),     G = bequest e^{-discount T} (1/N) Σ_i U(w_i(T))
        U(x) = x^{1 - aversion} / (aversion - 1):   minus the utility of constant relative risk aversion

    One price for all rises with what all consume, and so every control meets every other: with q = -∇_w phi

        ∂H/∂c_i = e^{-discount t} c_i^{-aversion} / N - P q_i - (pressure / N) Σ_j q_j c_j = 0

    has no solution in elementary functions, and H_uu is a diagonal plus a matrix of rank two in one dense block. A
    planner minimises the mean of all; with ``pressure=0`` each household is by itself, and the optimum is Merton's
    without risk: c_i is proportional to w_i, in closed form in the time steps of this package, too.

    Below ``floor`` the U of the bequest goes on as its parabola there, so that debt at T has a price. Start: w_i = 10
    times exp(spread · N(0, 1)).

    Source: optimal consumption with a hundred controls is an experiment of arXiv:2602.00921, whose constants are not
    public; the model and the numbers here are ours. Without coupling: Merton, "Lifetime portfolio selection under
    uncertainty: the continuous-time case", Review of Economics and Statistics 51 (1969), without its risky asset.

    Raises:
        ValueError: on a number of households below 1 or above MOST_HOUSEHOLDS, an aversion of 1 or less, or a price,
            weight or spread that makes no sense.
    """

    households: int = 100
    horizon: float = 10.0
    steps: int = 20
    low_return: float = 0.02
    high_return: float = 0.06
    discount: float = 0.03
    aversion: float = 2.0
    pressure: float = 0.5
    bequest: float = 4.0
    floor: float = 0.5
    spread: float = 0.25
    success_radius: float = 1e-3

    control_low, control_high = 0.05, 5.0
    state_scale = 10.0

    def __post_init__(self) -> None:
        plain_fields(self)
        if self.households > MOST_HOUSEHOLDS:
            raise ValueError(f"Consumption.households is {self.households}; expected at most {MOST_HOUSEHOLDS}")
        if not self.aversion > 1:
            raise ValueError(f"Consumption.aversion is {self.aversion!r}; expected a number above 1")
        for field in ("bequest", "floor"):
            if not getattr(self, field) > 0:
                raise ValueError(f"Consumption.{field} is {getattr(self, field)!r}; expected a positive number")
        for field in ("pressure", "spread"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"Consumption.{field} is {getattr(self, field)!r}; expected a number >= 0")
        super().__post_init__()

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        return self.households

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        return self.households

    @property
    def state_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"wealth_{i} (good)" for i in range(self.households))

    @property
    def control_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"consumption_{i} (good/time)" for i in range(self.households))

    def returns(self, like: Tensor) -> Tensor:
        """r, ``(N,)``."""
        low, high = self.low_return, self.high_return
        return torch.linspace(low, high, self.households, dtype=like.dtype, device=like.device)

    def price(self, u: Tensor) -> Tensor:
        """P, ``(.., 1)``."""
        return 1 + self.pressure * u.mean(-1, keepdim=True)

    def disutility(self, x: Tensor, least: float) -> Tensor:
        """U(x), and below ``least`` its parabola there: finite for what nobody may consume, too."""
        a, short = self.aversion, (least - x).clamp_min(0.0)
        return x.clamp_min(least) ** (1 - a) / (a - 1) + least**-a * short + 0.5 * a * least ** (-a - 1) * short**2

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.returns(z) * z - self.price(u) * u

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.exp(-self.discount * torch.as_tensor(t)) * self.disutility(u, self.control_low).mean(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        weight = self.bequest * float(np.exp(-self.discount * self.horizon))
        return weight * self.disutility(z, self.floor).mean(-1)

    def terminal_error(self, z: Tensor) -> Tensor:
        """Share of the households that are in debt, ``(B,)``: success is that nobody is."""
        return (z < 0).to(z.dtype).mean(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return 10.0 * torch.exp(self.spread * torch.randn(batch, self.households, generator=generator))

    def control_hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> SpendingHamiltonian:
        weight = torch.exp(-self.discount * torch.as_tensor(t, dtype=z.dtype, device=z.device)) / self.households
        return SpendingHamiltonian(self, -p, weight.expand(len(z)).unsqueeze(-1))

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        """Wealth as bars, from the lowest return to the highest; on each a disc as large as what is consumed."""
        place = np.linspace(0.0, 24.0, self.households)
        colors = [(r, g, b) for r, g, b in hue_circle(2 * self.households)[: self.households].tolist()]
        tops = np.stack([place, np.asarray(z, float)], -1)
        bars = [Line(np.array([[x, 0.0], [x, y]]), color, 3.0) for (x, y), color in zip(tops, colors, strict=True)]
        sizes = 0.2 * np.sqrt(np.maximum(np.asarray(u, float), 0.0))
        discs = [Circle(top, float(size), color) for top, size, color in zip(tops, sizes, colors, strict=True)]
        bars.append(Line(np.array([[-0.5, 0.0], [24.5, 0.0]])))
        low, high = np.array([-1.0, min(-1.0, float(tops[:, 1].min()))]), np.array([25.0, 18.0])
        return Scene("top", low, high, tuple(bars), tuple(discs))


@dataclasses.dataclass(frozen=True)
class SpendingHamiltonian(ControlHamiltonian):
    """u -> -(1 + k ū) q·u - weight Σ_i U(u_i), k = pressure, ū the mean: one block.

    -H_uu = diag(weight U'') + (k/N) (q 1ᵀ + 1 qᵀ): ``solved`` inverts it in O(N).

    Attributes:
        q: ``(B, N)``, -∇_w phi.
        weight: ``(B, 1)``.
    """

    problem: Consumption
    q: Tensor
    weight: Tensor

    def start(self) -> Tensor:
        """What each would consume alone at twice the price, about the usual one and its rise: u^{-a} = 2 q / weight."""
        return (2 * self.q / self.weight).clamp_min(1e-12) ** (-1 / self.problem.aversion)

    def value(self, u: Tensor) -> Tensor:
        lost = (self.weight * self.problem.disutility(u, self.problem.control_low)).sum(-1, keepdim=True)
        return -(self.problem.price(u) * (self.q * u).sum(-1, keepdim=True) + lost)

    def gradient(self, u: Tensor) -> Tensor:
        paid = self.q * self.problem.price(u) + self._rise(u) * (self.q * u).sum(-1, keepdim=True)
        a, least = self.problem.aversion, self.problem.control_low
        short = (least - u).clamp_min(0.0)
        return self.weight * (u.clamp_min(least) ** -a + a * least ** (-a - 1) * short) - paid

    def hessian(self, u: Tensor) -> Tensor:
        one = torch.ones_like(self.q)
        both = self.q.unsqueeze(-1) * one.unsqueeze(-2)
        return -(torch.diag_embed(self._diagonal(u)) + self._rise(u) * (both + both.mT)).unsqueeze(-3)

    def solved(self, u: Tensor, right: Tensor, free: Tensor) -> Tensor:
        """(-H_uu)⁻¹ right on the free controls, 0 on the others, ``(.., N)``: Woodbury's formula for rank two.

        q 1ᵀ + 1 qᵀ = ½ (s sᵀ - d dᵀ) with s = αq + 1/α, d = αq - 1/α, α² = |1|/|q|; where -H_uu is not positive
        definite, d is left out, and what is solved is diagonal plus rank one: still a direction of ascent.
        """
        diagonal, half = self._diagonal(u), (0.5 * self._rise(u)) ** 0.5
        q, one = (free * x for x in (self.q.expand_as(u), torch.ones_like(u)))
        ratio = (one.norm(dim=-1, keepdim=True) / q.norm(dim=-1, keepdim=True).clamp_min(1e-30)).sqrt()
        ratio = torch.where(ratio > 0, ratio, 1.0)
        s, d = half * (ratio * q + one / ratio), half * (ratio * q - one / ratio)
        x, y, w = (v / diagonal for v in (free * right, s, d))
        ss, sd, dd = (s * y).sum(-1, keepdim=True), (s * w).sum(-1, keepdim=True), (d * w).sum(-1, keepdim=True)
        sx, dx = (s * x).sum(-1, keepdim=True), (d * x).sum(-1, keepdim=True)
        # (D + s sᵀ - d dᵀ)⁻¹: the 2 x 2 system [1 + ss, sd; sd, dd - 1] (e, f) = (sx, dx)
        left = 1 - dd + sd * sd / (1 + ss)  # its Schur complement, negated: positive where all is positive definite
        sound = left > 1e-6
        f = torch.where(sound, (sx * sd / (1 + ss) - dx) / torch.where(sound, left, 1.0), 0.0)
        e = (sx - sd * f) / (1 + ss)
        return free * (x - e * y - f * w)

    def _diagonal(self, u: Tensor) -> Tensor:
        a = self.problem.aversion
        return self.weight * a * u.clamp_min(self.problem.control_low) ** (-a - 1)

    def _rise(self, u: Tensor) -> float:
        """∂P/∂c_i."""
        return self.problem.pressure / u.shape[-1]
