"""A figure of a diagnosis: γ, the spectrum of M, κ against 1/γ, the integral conditions, angles, HJB."""

from __future__ import annotations

from pathlib import Path

import matplotlib.axes
import matplotlib.figure
import numpy as np
import torch

from ...controllers.operators import GradientAscent
from ..pictures import ACCENT, INK, SOFT, Array, save_figure
from .assumptions import name
from .diagnosis import Diagnosis, OperatorDiagnosis

NEWTON = "#d97706"
FLOOR = 1e-4
"""Of γ in the picture; Newton's is 0, which a logarithm does not show."""


def diagnosis_figure(found: Diagnosis, path: Path) -> Path:
    """``draw_diagnosis`` to ``path``."""
    return save_figure(draw_diagnosis(found), path)


def draw_diagnosis(found: Diagnosis) -> matplotlib.figure.Figure:
    """Six panels: lines are medians over the states, bands reach from the least to the largest."""
    figure = matplotlib.figure.Figure(figsize=(16, 8.6), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    for draw, axis in zip((_gamma, _spectrum, _kappa, _ratios, _angles, _hjb), axes, strict=True):
        draw(axis, found)
    states = "1 initial state" if len(found.cost) == 1 else f"{len(found.cost)} initial states"
    figure.suptitle(
        f"{found.problem}: what the theory of JFB assumes, measured from {states} at {len(found.times)} times",
        color=INK, fontsize=14,
    )  # fmt: skip
    return figure


def _gamma(axis: matplotlib.axes.Axes, found: Diagnosis) -> None:
    t = found.times.numpy()
    for part in found.operators:
        box = torch.where(part.gamma_box.isfinite(), part.gamma_box, torch.nan).clamp_min(FLOOR)
        _band(axis, t, part.gamma.clamp_min(FLOOR), _color(part), f"{name(part.operator)}: at u*")
        axis.plot(
            t, _median(box), color=_color(part), ls=":", lw=1.8, label=f"{name(part.operator)}: largest over the box"
        )
    axis.axhline(1, color=INK, ls="--", lw=1)
    axis.set(xlabel="time", yscale="log", title="contraction: γ = ‖∂T/∂u‖, below 1 (Assumption 1)")
    axis.set_ylim(bottom=0.7 * FLOOR)
    if any(_known(part.gamma).size and (_known(part.gamma) < FLOOR).all() for part in found.operators):
        axis.annotate("0", (0, FLOOR), (-14, -4), xycoords=("axes fraction", "data"), textcoords="offset points")
        axis.set_yticks([tick for tick in axis.get_yticks() if tick > 20 * FLOOR])
        axis.set_ylim(0.7 * FLOOR, 3 * max(1.0, *(_known(part.gamma_box).max() for part in found.operators)))
    axis.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.02, 0.06))


def _spectrum(axis: matplotlib.axes.Axes, found: Diagnosis) -> None:
    index = np.arange(1, found.free.shape[-1] + 1)
    for part in found.operators:
        values = part.singular.flatten(0, 1)
        axis.plot(index, values.T.numpy(), color=_color(part), lw=0.6, alpha=0.12)
        marker = "o" if len(index) <= 20 else None
        axis.plot(index, _median(values.T), color=_color(part), lw=2, marker=marker, ms=5, label=name(part.operator))
    if len(index) <= 12:
        axis.set_xticks(index)
    axis.set(xlabel="number", yscale="log", title="singular values of M = ∂T/∂θ, free controls (Assumption 2)")
    axis.legend(frameon=False)


def _kappa(axis: matplotlib.axes.Axes, found: Diagnosis) -> None:
    """Where γ is 0 but for rounding, 1/γ is infinite, and the points stand at the right edge."""
    limits = [1 / g for part in found.operators for g in _known(part.gamma) if g > 1e-10]
    kappas = [k for part in found.operators for k in _known(part.kappa)]
    top = 3 * max([*kappas, *limits, 10.0])
    for part in found.operators:
        gamma, kappa = part.gamma.flatten().numpy(), part.kappa.flatten().numpy()
        infinite = gamma <= 1e-10
        label = name(part.operator) + (", 1/γ infinite" if infinite.any() else "")
        x = np.where(infinite, top, 1 / np.maximum(gamma, 1e-10))
        axis.scatter(x, kappa, s=22, color=_color(part), alpha=0.55, lw=0, label=label, clip_on=False, zorder=3)
    low = min([*limits, *kappas, 1.0]) / 1.5
    line = np.array([low, top])
    axis.fill_between(line, low, line, color=SOFT, alpha=0.18, lw=0)
    axis.plot(line, line, color=INK, ls="--", lw=1)
    axis.text(0.93, 0.06, "holds: κ < 1/γ", transform=axis.transAxes, ha="right", color=INK)
    axis.set(xlabel="1/γ", ylabel="κ", xscale="log", yscale="log", xlim=(low, top), ylim=(low, top))
    axis.set_title("conditioning: κ((M Mᵀ)$^{-1}$) against 1/γ (Assumption 2)")
    axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(0.95, 0.1))


def _ratios(axis: matplotlib.axes.Axes, found: Diagnosis) -> None:
    t = found.times.numpy()
    for part in found.operators:
        missing = float(part.ratio_v.isnan().double().mean())
        note = "" if not missing else ": nowhere applicable" if missing == 1 else f": applicable at {1 - missing:.0%}"
        _band(axis, t, part.ratio_v, _color(part), name(part.operator) + note)
    axis.axhline(1, color=INK, ls="--", lw=1)
    axis.set(xlabel="time", yscale="log")
    axis.set_title("‖v - C$_v$‖ / (‖M w‖ √(λ₋ - γ λ₊)), at most 1 (below eq. 8)")
    axis.legend(frameon=False)


def _angles(axis: matplotlib.axes.Axes, found: Diagnosis) -> None:
    place = np.arange(1, len(found.cost) + 1)
    top = 90.0
    for part in found.operators:
        for cosine, marker, what in ((part.cosine, "o", "d = ∫ w dt"), (part.cosine_trained, "x", "as trained")):
            angle = np.degrees(np.arccos(cosine.clamp(-1, 1).numpy()))
            top = max(top, float(np.nanmax(angle, initial=0.0)))
            label = f"{name(part.operator)}: {what}"
            axis.plot(place, angle, marker, color=_color(part), ms=7, mew=1.8, label=label, clip_on=False)
    axis.axhline(90, color=INK, ls="--", lw=1)
    axis.set(xlabel="initial state", ylim=(0, 1.06 * top), title="angle to dJ/dθ in degrees, below 90 descends (eq. 7)")
    axis.set_yticks(np.arange(0, top + 1, 30))
    if len(place) <= 16:
        axis.set_xticks(place)
    axis.legend(frameon=False, fontsize=8)


def _hjb(axis: matplotlib.axes.Axes, found: Diagnosis) -> None:
    t = found.path_times.numpy()
    floor = 1e-9
    labels = "|∂$_t$φ - max H|", "|max H|", "residual of the Hamilton-Jacobi-Bellman equation"
    if found.kind == "held":
        labels = "|φ$^+$ - φ + c| / dt", "c / dt", "residual of Bellman's equation"
    _band(axis, t, found.hjb.abs().clamp_min(floor), ACCENT, labels[0])
    other = _median(found.hamiltonian.abs().clamp_min(floor))
    axis.plot(t, other, color=SOFT, lw=1.5, label=f"{labels[1]}, to compare with")
    axis.set(xlabel="time", yscale="log", title=labels[2])
    axis.legend(frameon=False)


def _band(axis: matplotlib.axes.Axes, t: Array, x: torch.Tensor, color: str, label: str) -> None:
    values = x.numpy()
    known = ~np.isnan(values)
    low = np.where(known, values, np.inf).min(1)
    high = np.where(known, values, -np.inf).max(1)
    some = known.any(1)
    axis.fill_between(t, low, high, where=some, color=color, alpha=0.18, lw=0)
    axis.plot(
        t,
        np.where(some, _median(x), np.nan),
        color=color,
        lw=2,
        marker="o" if len(t) <= 20 else None,
        ms=4,
        label=label,
    )


def _median(x: torch.Tensor) -> Array:
    """Over the last axis, of what is not NaN."""
    return x.nanquantile(0.5, -1).numpy()


def _known(x: torch.Tensor) -> Array:
    return x[x.isfinite()].numpy()


def _color(part: OperatorDiagnosis) -> str:
    return ACCENT if isinstance(part.operator, GradientAscent) else NEWTON
