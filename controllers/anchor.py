"""A value function that begins as the second-order expansion of the true one about open-loop optima."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from ..envs.problem import Problem
from .sweep import Expansion
from .value import ValueFunction

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
        blend: ``"value"``: p = ∇phi. ``"costate"``: p = Σ w_i ∇E_i + ∇phi_net, and ∂_t alike, without the E_i ∇w_i:
            no longer the gradient of one function, but nearer to the true costate, because an error of E_i of third
            order in δ_i, times ∇w_i, is as large as that of ∇E_i.

    Raises:
        ValueError: if the expansion is not of this problem, or an option makes no sense.
    """

    def __init__(
        self,
        problem: Problem,
        expansion: Expansion,
        value: ValueFunction,
        reach: float = 0.5,
        blend: Blend = "value",
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
        parts = (expansion.value.unsqueeze(-1), expansion.state, expansion.costate, expansion.curvature.flatten(-2))
        self.register_buffer("table", torch.cat(parts, -1).to(value.scale).flatten(1))
        self.table: Tensor
        self.register_buffer("metric", _metric(expansion.state, value.scale[:-1]).flatten(1) / reach**2)
        self.metric: Tensor

    @classmethod
    def blank(cls, problem: Problem, config: dict[str, Any]) -> AnchoredValue:
        """What ``config`` describes, with zeros for tables: to be filled by ``load_state_dict``."""
        n, rows = problem.state_dim, (problem.steps + 1, int(config["anchors"]))
        flat = torch.zeros(*rows, n)
        nothing = Expansion(torch.zeros(rows), flat, flat, torch.zeros(*rows, n, n))
        network = ValueFunction(problem, **config["network"], seed=0)
        return cls(problem, nothing, network, float(config["reach"]), config["blend"])

    @property
    def scale(self) -> Tensor:
        """Of the network's inputs; its device and dtype are those of the whole."""
        return self.network.scale

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """phi(t, z), ``(B,)``; t is ``()`` or ``(B,)``."""
        rows, _ = self._at(self.table, t, z)
        value, state, costate, curvature = self._split(rows)
        apart = z.unsqueeze(-2) - state
        energy = value + (apart * (costate + 0.5 * _times(apart, curvature))).sum(-1)
        if self.count > 1:
            energy = energy * self._weights(apart, self._at(self.metric, t, z)[0])[0]
        return energy.sum(-1) + self.network(t, z)

    def gradient(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """``(∂_t phi, ∇_z phi)``, ``(B,)`` and ``(B, n)``; see ``blend``."""
        slope_t, p = self.network.gradient(t, z)
        rows, rates = self._at(self.table, t, z)
        value, state, costate, curvature = self._split(rows)
        value_t, state_t, costate_t, curvature_t = self._split(rates)
        apart = z.unsqueeze(-2) - state  # (B, N, n)
        pull = _times(apart, curvature)
        slope = costate + pull
        rising = value_t - (slope * state_t).sum(-1)
        rising = rising + (apart * (costate_t + 0.5 * _times(apart, curvature_t))).sum(-1)
        if self.count > 1:
            metric, metric_t = self._at(self.metric, t, z)
            weights, away, base = self._weights(apart, metric)
            slope, rising = slope * weights.unsqueeze(-1), rising * weights
            if self.exact:
                energy = value + (apart * (costate + 0.5 * pull)).sum(-1)
                excess = weights * (energy - (weights * energy).sum(-1, keepdim=True))  # ∂phi/∂ each exponent
                fading = -0.5 * (apart @ metric_t.unflatten(-1, (self.size, -1)) * apart).sum(-1) / base
                slope = slope + away * excess.unsqueeze(-1)
                rising = rising + (fading - (away * state_t).sum(-1)) * excess
        return slope_t + rising.sum(-1), p + slope.sum(-2)

    def _weights(self, apart: Tensor, metric: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """w ``(B, N)``, the gradient of log w in z up to a constant of i, ``(B, N, n)``, and the base w^(-1/6)."""
        away = -(apart @ metric.unflatten(-1, (self.size, -1)))
        base = 1 - (0.5 / TAIL) * (apart * away).sum(-1)
        return torch.softmax(-TAIL * torch.log(base), -1), away / base.unsqueeze(-1), base

    def _at(self, table: Tensor, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of a table at t, and their derivative in t, ``(1, ..)`` or ``(B, ..)``."""
        last = table.shape[0] - 1
        steps = torch.as_tensor(t, dtype=z.dtype, device=z.device).reshape(-1) * (last / self.horizon)
        begin = steps.detach().floor().clamp(0, last - 1)
        row = begin.long()
        low = table.index_select(0, row)
        rise = table.index_select(0, row + 1) - low
        return low + (steps - begin).unsqueeze(-1) * rise, rise * (last / self.horizon)

    def _split(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """V ``(.., N)``, z and p ``(.., N, n)``, P ``(.., N, n, n)``."""
        n = self.size
        value, state, costate, curvature = rows.unflatten(-1, (self.count, -1)).split([1, n, n, n * n], -1)
        return value.squeeze(-1), state, costate, curvature.unflatten(-1, (n, n))


def _times(x: Tensor, matrix: Tensor) -> Tensor:
    """``(B, N, n)`` times ``(1 or B, N, n, n)``, symmetric."""
    if matrix.shape[0] == 1:  # one product by optimum, not one by state
        return (x.movedim(1, 0) @ matrix.squeeze(0)).movedim(0, 1)
    return (x.unsqueeze(-2) @ matrix).squeeze(-2)


def _metric(state: Tensor, scale: Tensor) -> Tensor:
    """``(K + 1, n, n)`` inverse of the covariance of ``(K + 1, N, n)`` states, to which (0.05 scale)² is added."""
    apart = state - state.mean(1, keepdim=True)
    spread = apart.mT @ apart / max(1, state.shape[1] - 1) + torch.diag((FLOOR * scale.to(state)) ** 2)
    return torch.linalg.inv(spread).to(scale)


def restore_value(problem: Problem, config: dict[str, Any]) -> ValueFunction | AnchoredValue:
    """The value function that a stored ``config`` describes, to be filled with its weights."""
    if "anchors" in config:
        return AnchoredValue.blank(problem, config)
    return ValueFunction(problem, **config, seed=0)
