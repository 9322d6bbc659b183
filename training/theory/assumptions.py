"""Which assumptions of the descent theorem hold at the sampled points: a row for each, with a verdict."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ...controllers.operators import GradientAscent, Operator
from ...controllers.policy import Hamiltonian
from .diagnosis import Diagnosis, OperatorDiagnosis

Verdict: TypeAlias = Literal["holds", "fails", "not applicable", "measured"]
CONVERGED = 1e-9
"""Relative argmax residual up to which u* counts as the fixed point."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One figure: its median and its worst over the sampled points (one number twice where there is only one).

    ``verdict`` is of the sampled points alone: ``share`` of those to which it applies hold, and it applies to the share
    ``applies`` of all. ``"measured"`` has no threshold to pass.
    """

    median: float
    worst: float
    verdict: Verdict
    share: float | None = None
    applies: float = 1.0

    def text(self) -> str:
        """The verdict, with the share where some points hold and others do not."""
        if self.verdict == "fails" and self.share is not None:
            share = f", {percent(self.share)} hold" if self.share > 0 else ""
            return self.verdict + share + (f", {percent(1 - self.applies)} n/a" if self.applies < 1 else "")
        return "n/a" if self.verdict == "not applicable" else self.verdict


@dataclasses.dataclass(frozen=True)
class Row:
    """An assumption in words, by its symbol, where the slides state it, and a figure for each operator or one for all.

    ``key`` names it in JSON.
    """

    key: str
    words: str
    symbol: str
    source: str
    cells: tuple[Cell, ...]


def name(operator: Operator) -> str:
    """``"ascent, α = 0.1"`` or ``"Newton"``."""
    return f"ascent, α = {operator.step_size:.3g}" if isinstance(operator, GradientAscent) else "Newton"


def percent(share: float) -> str:
    """Two digits, and never 0 % or 100 % where it is not none or all."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    return "< 1 %" if share < 0.01 else "> 99 %" if share > 0.99 else f"{100 * share:.2g} %"


def operator_rows(found: Diagnosis) -> list[Row]:
    """The assumptions about T, M, v, w and d: a cell for each operator."""
    a1, a2, below, theorem = "Ass. 1", "Ass. 2", "below (8)", "Descent"
    table = (
        ("gamma", "T contracts at u*", "γ = ‖∂T/∂u‖", a1, _gamma),
        ("gamma_box", "T contracts at every admissible u", "γ over the box", a1, _gamma_box),
        ("reached", "u <- T(u) leads to u*", "share of starts", "(5)", _reached),
        ("rank", "M = ∂T/∂θ has full row rank", "σ_min / σ_max", a2, _rank),
        ("beta", "(M Mᵀ)^-1 is bounded below", "λ_- >= β > 0", a2, _beta),
        ("gamma_kappa", "κ = κ((M Mᵀ)^-1) < 1/γ", "γ κ < 1", a2, _gamma_kappa),
        ("ratio_v", "v stays near its mean over time", "‖v - C_v‖ / bound", below, _ratio_v),
        ("ratio_w", "w stays near its mean over time", "‖w - C_w‖ / bound", below, _ratio_w),
        ("cosine", "-d descends: each state", "cos(d, dJ/dθ) > 0", theorem, _cosine),
        ("cosine_mean", "-d descends: mean of the states", "cos(d, dJ/dθ) > 0", theorem, _cosine_mean),
        ("cosine_trained", "direction of training: each state", "cosine > 0", "", _trained),
        ("cosine_trained_mean", "direction of training: mean", "cosine > 0", "", _trained_mean),
        ("variance", "d varies little between states", "smallest μ_2", "(10)", _variance),
    )
    return [
        Row(key, words, symbol, source, tuple(cell(part) for part in found.operators))
        for key, words, symbol, source, cell in table
    ]


_EQUATION: dict[Hamiltonian, tuple[str, str, str]] = {
    "continuous": ("phi solves HJB", "|∂_t phi - max_u H|, relative", "HJB"),
    "held": ("phi solves Bellman's equation", "|phi - min_u (c + phi⁺)|, relative", ""),
}


def common_rows(found: Diagnosis) -> list[Row]:
    """What does not depend on T: one cell each."""
    # The sum of the two terms of HJB: 0 where phi solves it, 1 where they have nothing to do with each other.
    size = (found.hjb + found.hamiltonian).abs().mean() + found.hamiltonian.abs().mean()
    hjb, terminal = found.hjb.abs() / size, found.terminal.abs() / found.cost.mean()
    least = torch.nan_to_num(found.curvature, nan=torch.inf).amin(-1)
    least = torch.where(found.free.any(-1), least, torch.nan)
    best, residual = 1 - found.beaten, found.residual
    table = (
        ("argmax_global", "no drawn control has a higher H", "share of blocks", "(3)", _share(best)),
        ("second_order", "H is strictly concave at u*", "λ_min(-H_uu), free u", "(3)", _cell(least, least > 0, -1)),
        ("concave", "H is strictly concave in all u", "share of draws", "for Ass. 1", _share(found.concave)),
        ("argmax_residual", "u* = T(u*)", "residual", "(4)", _cell(residual, residual <= CONVERGED)),
        ("variance_gradient", "dJ/dθ varies little between states", "smallest μ_2", "(9)",
         Cell(found.variance, found.variance, "not applicable")),
        ("hjb", *_EQUATION[found.kind], _measured(hjb)),
        ("terminal", "phi(T, z) = G(z)", "|phi - G| / mean of J", "HJB", _measured(terminal)),
        ("held", "controls held by a bound", "share of all", "", _measured(torch.tensor(found.held))),
    )  # fmt: skip
    return [Row(key, words, symbol, source, (cell,)) for key, words, symbol, source, cell in table]


def _gamma(part: OperatorDiagnosis) -> Cell:
    return _cell(part.gamma, part.gamma < 1)


def _gamma_box(part: OperatorDiagnosis) -> Cell:
    return _cell(part.gamma_box, part.gamma_box < 1)


def _reached(part: OperatorDiagnosis) -> Cell:
    return _share(part.reached)


def _rank(part: OperatorDiagnosis) -> Cell:
    conditioning = torch.nan_to_num(part.singular, nan=torch.inf).amin(-1) / part.singular[..., 0]
    return _cell(conditioning, part.full_rank, -1)


def _beta(part: OperatorDiagnosis) -> Cell:
    return _cell(part.lambda_minus, part.lambda_minus > 0, -1)


def _gamma_kappa(part: OperatorDiagnosis) -> Cell:
    product = torch.where(part.kappa.isinf(), torch.inf, part.gamma * part.kappa)
    return _cell(product, product < 1)


def _ratio_v(part: OperatorDiagnosis) -> Cell:
    return _cell(part.ratio_v, part.ratio_v <= 1)


def _ratio_w(part: OperatorDiagnosis) -> Cell:
    return _cell(part.ratio_w, part.ratio_w <= 1)


def _cosine(part: OperatorDiagnosis) -> Cell:
    return _cell(part.cosine, part.cosine > 0, -1)


def _cosine_mean(part: OperatorDiagnosis) -> Cell:
    mean = torch.tensor(part.cosine_mean)
    return _cell(mean, mean > 0, -1)


def _trained(part: OperatorDiagnosis) -> Cell:
    return _cell(part.cosine_trained, part.cosine_trained > 0, -1)


def _trained_mean(part: OperatorDiagnosis) -> Cell:
    mean = torch.tensor(part.cosine_trained_mean)
    return _cell(mean, mean > 0, -1)


def _variance(part: OperatorDiagnosis) -> Cell:
    return Cell(part.variance, part.variance, "not applicable")


def _cell(x: Tensor, good: Tensor, worst: int = 1) -> Cell:
    """Median and the largest (``worst`` 1) or smallest (-1); where x is NaN the assumption does not apply."""
    applies = ~x.isnan()
    if not applies.any():
        return Cell(math.nan, math.nan, "not applicable")
    values, share = x[applies].double(), float(good[applies].double().mean())
    extreme = float(values.max() if worst > 0 else values.min())
    verdict: Verdict = "holds" if share == 1 else "fails"
    return Cell(float(values.quantile(0.5)), extreme, verdict, share, float(applies.double().mean()))


def _share(share: float) -> Cell:
    return Cell(share, share, "holds" if share == 1 else "fails")


def _measured(x: Tensor) -> Cell:
    return Cell(float(x.double().quantile(0.5)), float(x.max()), "measured")
