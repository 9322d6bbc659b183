"""A value function that begins as the second-order expansion of the true one about open-loop optima."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from ...envs.problem import Problem
from ..optimum import Expansion
from .network import ValueFunction

Blend: TypeAlias = Literal["value", "costate"]
TAIL = 6.0
"""How fast the weights fall far away: like distance^-12. With ∞ (a Gaussian) one optimum rules alone where all are
far, and its expansion is not good enough for that: one flight in a hundred ended badly, measured."""
FLOOR = 0.05
"""Added to the spread of the optima, in units of ``problem.state_scale``: where they all meet, none rules alone."""


class AnchoredValue(nn.Module):
    """phi(t, z) = Σ_i w_i(t, z) E_i(t, z) + phi_net(t, z),  E_i = V_i + p_i·δ_i + ½ δ_iᵀ P_i δ_i,  δ_i = z - z_i(t).

    V_i, p_i, z_i, P_i are tables at the control steps, linear in between, about N optima (``expand``); they are kept
    with the weights and not trained. w_i ∝ (1 + δ_iᵀ M(t) δ_i / (12 reach²))⁻⁶ with M⁻¹ the covariance of the z_i(t),
    so that the optima that are near rule; with one optimum w = 1. phi_net, a ``ValueFunction``, begins at 0, so that
    the first policy is that of the expansions. E is quadratic however far z is: the bounds on u keep the controls sane,
    and a softer growth, measured, flies worse.

    Args:
        problem: gives the dimension, the horizon and the number of steps.
        expansion: about which optima.
        value: phi_net; it is silenced.
        reach: over how many standard deviations of the z_i(t) one optimum hands over to the next.
        blend: what ``gradient`` returns. ``"value"``: ∇phi and ∂_t phi. ``"costate"``: the blends of those of the E_i,
            Σ w_i ∇E_i + ∇phi_net, without E_i ∇w_i; with several optima that is not the gradient of any one function,
            but it is nearer to the true costate: an error of E_i of third order, times ∇w_i, is as large as that of
            ∇E_i. On the quadrotor, 256 optima, reach 0.5: 0.7 % from the optimum against 9.5 %.

    Raises:
        ValueError: if the expansion is not of this problem, or an option makes no sense.
    """

    def __init__(
        self,
        problem: Problem,
        expansion: Expansion,
        value: ValueFunction,
        reach: float = 0.3,
        blend: Blend = "costate",
    ) -> None:
        super().__init__()
        steps, count, n = expansion.state.shape
        if (steps, n) != (problem.steps + 1, problem.state_dim):
            raise ValueError(
                f"the expansion has {steps - 1} steps of {n} states; expected {problem.steps} of {problem.state_dim}"
            )
        if not reach > 0:
            raise ValueError(f"reach is {reach!r}; expected a positive number")
        if blend not in get_args(Blend):
            raise ValueError(f"blend is {blend!r}; expected one of {get_args(Blend)}")
        self.config: dict[str, Any] = {"anchors": count, "reach": reach, "blend": blend, "network": value.config}
        self.horizon, self.count, self.size = problem.horizon, count, n
        self.exact = blend == "value"
        value.silence()
        self.network = value
        for name, part in _tables(expansion, value.scale[:-1].double(), reach).items():
            table = part.to(value.scale)
            self.register_buffer(name, halves(table) * largest(table) if name == "terms" else table)
        self.center: Tensor
        self.whitening: Tensor
        self.places: Tensor
        self.terms: Tensor

    @classmethod
    def blank(cls, problem: Problem, config: dict[str, Any]) -> AnchoredValue:
        """What ``config`` describes, with zeros for tables: to be filled by ``load_state_dict``."""
        n, rows = problem.state_dim, (problem.steps + 1, int(config["anchors"]))
        flat = torch.zeros(*rows, n, dtype=torch.float64)
        nothing = Expansion(flat.sum(-1), flat, flat, flat.unsqueeze(-1) * flat.unsqueeze(-2))
        network = ValueFunction(problem, **config["network"], seed=0)
        return cls(problem, nothing, network, float(config["reach"]), config["blend"])

    @property
    def scale(self) -> Tensor:
        """Of the network's inputs; its device and dtype are those of the whole."""
        return self.network.scale

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """phi(t, z), ``(B,)``; t is ``()`` or ``(B,)``."""
        row, share = self._row(t, z)
        apart = z - self._at(self.center, row, share)[0]
        weights = self._weights(apart, row, share)[0]
        energy = _product(_monomials(apart), self._at(self.terms, row, share)[0].mT)
        return (weights * energy).sum(-1) + self.network(t, z)

    def gradient(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """``(∂_t phi, ∇_z phi)``, ``(B,)`` and ``(B, n)``; see ``blend``."""
        slope_t, p = self.network.gradient(t, z)
        row, share = self._row(t, z)
        center, center_t = self._at(self.center, row, share)
        terms, terms_t = self._at(self.terms, row, share)
        apart = z - center
        monomials = _monomials(apart)
        weights, pull, rise = self._weights(apart, row, share)
        _, linear, curvature = _product(weights, terms).split([1, self.size, self.size**2], -1)
        slope = linear + (curvature.unflatten(-1, (self.size, -1)) @ apart.unsqueeze(-1)).squeeze(-1)
        rising = (_product(weights, terms_t) * monomials).sum(-1)
        if self.exact and self.count > 1:
            energy = _product(monomials, terms.mT)
            excess = weights * (energy - (weights * energy).sum(-1, keepdim=True))  # ∂phi/∂ log w_i
            slope, rising = slope + pull(excess), rising + (rise() * excess).sum(-1)
        return slope_t + rising - (slope * center_t).sum(-1), p + slope

    def speaker(self, t: Tensor | float, z: Tensor) -> None:
        """None: this is one function, not one of several."""

    def feedback(self, t: Tensor | float, z: Tensor) -> None:
        """None: what several optima would play is not one of their feedbacks."""

    def _weights(
        self, apart: Tensor, row: Tensor, share: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], Tensor], Callable[[], Tensor]]:
        """w ``(B, N)``; x -> Σ_i x_i ∂ log w_i / ∂d for Σ x_i = 0; and ∂ log w_i / ∂t at d held, up to a constant of i.

        With y = W d, log w_i = -6 log(1 + |y - y_i|² / 12) up to a constant of i.
        """
        whitening, whitening_t = self._at(self.whitening, row, share)
        places, places_t = self._at(self.places, row, share)
        y = _product(apart, whitening.mT)
        square = (y * y).sum(-1, keepdim=True) - 2 * _product(y, places.mT) + (places * places).sum(-1)
        base = 1 + square.clamp_min(0) / (2 * TAIL)
        weights = torch.softmax(-TAIL * torch.log(base), -1)

        def pull(x: Tensor) -> Tensor:
            x = x / base
            return _product(_product(x, places) - x.sum(-1, keepdim=True) * y, whitening)

        def rise() -> Tensor:
            y_t = _product(apart, whitening_t.mT)
            both = (y * y_t).sum(-1, keepdim=True) + (places * places_t).sum(-1)
            return -(both - _product(y_t, places.mT) - _product(y, places_t.mT)) / base

        return weights, pull, rise

    def _row(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """The control step that t is in, and the share of it that is over, ``(1,)`` or ``(B,)``."""
        steps = torch.as_tensor(t, dtype=z.dtype, device=z.device).reshape(-1) * self._pace
        begin = steps.detach().floor().clamp(0, self.center.shape[0] - 2)
        return begin.long(), steps - begin

    def _at(self, table: Tensor, row: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The entries of a table and their derivative in t, each with a first axis of 1 or B."""
        low = table.index_select(0, row)
        rise = table.index_select(0, row + 1) - low
        return low + share.reshape(-1, *[1] * (table.ndim - 1)) * rise, rise * self._pace

    @property
    def _pace(self) -> float:
        """Control steps in a unit of time."""
        return (self.center.shape[0] - 1) / self.horizon


def _product(x: Tensor, matrix: Tensor) -> Tensor:
    """``(B, a)`` times ``(1 or B, a, b)``."""
    return x @ matrix.squeeze(0) if matrix.shape[0] == 1 else (x.unsqueeze(-2) @ matrix).squeeze(-2)


def _monomials(d: Tensor) -> Tensor:
    """(1, d, ½ d dᵀ), ``(B, 1 + n + n²)``: what multiplies the terms of an expansion."""
    return torch.cat(
        [torch.ones_like(d.narrow(-1, 0, 1)), d, 0.5 * (d.unsqueeze(-1) * d.unsqueeze(-2)).flatten(-2)], -1
    )


def _tables(expansion: Expansion, scale: Tensor, reach: float) -> dict[str, Tensor]:
    """The expansions as polynomials in d = z - c(t), c the mean of the z_i: a batch of states is then a few products.

    ``center (K + 1, n)``; ``whitening (K + 1, n, n)``, W with Wᵀ W = M / reach²; ``places (K + 1, N, n)``, W (z_i - c);
    ``terms (K + 1, N, 1 + n + n²)``.
    """
    center = expansion.state.mean(1)
    e, p = expansion.state - center.unsqueeze(1), expansion.costate
    curvature = 0.5 * (expansion.curvature + expansion.curvature.mT)  # symmetric to the last bit
    spread = e.mT @ e / max(1, e.shape[1] - 1) + torch.diag((FLOOR * scale) ** 2)
    whitening = torch.linalg.inv(torch.linalg.cholesky(spread)) / reach
    bent = (curvature @ e.unsqueeze(-1)).squeeze(-1)
    constant = expansion.value - (p * e).sum(-1) + 0.5 * (e * bent).sum(-1)
    terms = torch.cat([constant.unsqueeze(-1), p - bent, curvature.flatten(-2)], -1)
    return {"center": center, "whitening": whitening, "places": e @ whitening.mT, "terms": terms}


def largest(terms: Tensor) -> Tensor:
    """By time and column, over the optima, ``(K + 1, 1, ..)``."""
    return terms.abs().amax(1, keepdim=True).clamp_min(1e-30)


def halves(terms: Tensor) -> Tensor:
    """terms / largest(terms) in the three and a half digits of float16, which is all that is kept of them.

    Measured on the quadrotor: 0.28 % from the optimum with and without.
    """
    return (terms / largest(terms)).half().to(terms)
