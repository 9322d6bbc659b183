"""What the figures of ``diagnose`` mean for training, in sentences."""

from __future__ import annotations

import math

import torch

from ...controllers.operators import GradientAscent
from .assumptions import name, percent
from .contraction import ITERATIONS
from .diagnosis import Diagnosis, OperatorDiagnosis

HELD = (
    "This policy maximises H_dt, the Hamiltonian of the control as it is held over dt, and every H here is that one; "
    "HJB is Bellman's equation. The theorem is stated for the continuous H: 'holds' says that its inequality holds for "
    "H_dt, not that it applies. H_dt couples all controls, through phi and through what agents do to each other within "
    "a step. Newton's T uses the blocks of H_uu alone, so its γ is as small as that coupling is, not 0."
)


def sentences(found: Diagnosis) -> list[str]:
    """One or two sentences for each assumption that fails or needs a remark."""
    lines = ([HELD] if found.kind == "held" else []) + _concavity(found)
    for part in found.operators:
        lines += [f"{_capital(name(part.operator))}: {line}" for line in (*_contraction(found, part), *_descent(part))]
    return lines + _rest(found)


def _concavity(found: Diagnosis) -> list[str]:
    lines = []
    if found.convex is not None:
        example, states = found.convex, len(found.cost)
        last = example.first + len(example.control)
        controls = f"u_{last}" if last == example.first + 1 else f"(u_{example.first + 1} .. u_{last})"
        value = ", ".join(f"{x:.3g}" for x in example.control)
        lines.append(
            f"H is not strictly concave in u at {percent(1 - found.concave)} of the drawn admissible controls; for "
            f"example at t = {float(found.times[example.point // states]):.3g} of state {example.point % states}, "
            f"{controls} = ({value}), where an eigenvalue of H_uu is {example.curvature:+.3g}. No α makes T "
            "contractive there: before it is projected, u + α ∇_u H stretches by 1 + α times that. Assumption 1, which "
            "asks for all u, cannot hold; what is left is contraction near u*."
        )
    least = torch.nan_to_num(found.curvature, nan=torch.inf).amin()
    if float(least) <= 0:
        lines.append(
            f"At u* itself H is not strictly concave in the free controls (λ_min of -H_uu is {float(least):.3g}): the "
            "second-order condition fails, no α contracts there, and the implicit derivative of eq. 6 may not exist."
        )
    if found.beaten > 0:
        lines.append(
            f"For {percent(found.beaten)} of the blocks of controls a drawn control has a higher H than u*: eq. 3 is "
            'not met there. Use starts="global".'
        )
    return lines


def _contraction(found: Diagnosis, part: OperatorDiagnosis) -> list[str]:
    gamma, box = _worst(part.gamma), _worst(part.gamma_box)
    lines = []
    ascent, reached = isinstance(part.operator, GradientAscent), percent(part.reached)
    if gamma >= 1:
        top = _worst(found.curvature)
        remedy = f"take α < {2 / top:.3g}, or projected Newton" if ascent and top > 0 else "take a smaller step"
        lines.append(
            f"T does not contract even at u* (γ up to {gamma:.3g}), so plain iteration cannot settle; {remedy}."
        )
    if box < 1:
        return lines
    if not ascent:
        lines.append(
            f"the full step stretches somewhere in the box (by up to {box:.3g}), so T is no contraction at every u. "
            f"The iteration does not rely on it, for it backtracks on H: from drawn controls {reached} came to u*"
            + (", the rest perhaps to another maximum." if found.convex is not None and part.reached < 1 else ".")
        )
        return lines
    smaller = "take a smaller α, or " if found.convex is None else "or "
    line = (
        f"T does not contract over the whole box (‖∂T/∂u‖ up to {box:.3g}), which Assumption 1 asks for; from drawn "
        f"controls {reached} came to u* in {ITERATIONS} iterations. Start near u*, {smaller}use projected Newton."
    )
    low, high = found.box_range
    if found.convex is None and low > 0 and math.isfinite(high):
        slow = 2 * low / (low + high)  # 1 - γ
        line += (
            f" -H_uu reaches from {low:.3g} to {high:.3g} over the box: the one α that contracts everywhere best is "
            f"{2 / (low + high):.2g}, with 1 - γ = {slow:.2g}, some {math.log(10) / slow:.2g} iterations per digit."
        )
    return [*lines, line]


def _descent(part: OperatorDiagnosis) -> list[str]:
    lines = []
    applies = ~part.gamma.isnan()
    lost = 1 - float(part.full_rank[applies].double().mean()) if applies.any() else 0.0
    if lost > 0:
        lines.append(
            f"M has not full row rank at {percent(lost)} of the points: there the weights cannot move u* in every "
            "direction of the free controls, and JFB loses those. A wider network helps."
        )
    product = torch.where(part.kappa.isinf(), torch.inf, part.gamma * part.kappa)[applies]
    angles = f"{_degrees(part.cosine, 0.5):.3g}° in the median and {_degrees(part.cosine, 0.0):.3g}° at worst"
    if (product >= 1).any():
        lines.append(
            f"κ((M Mᵀ)^-1) is not below 1/γ at {percent(float((product >= 1).double().mean()))} of the points: there "
            "the theorem does not promise descent, and the bounds below eq. 8 do not exist. Measured, the angle from "
            f"dJ/dθ to d is {angles}."
        )
    ratios = torch.stack([part.ratio_v, part.ratio_w]).amax(0)
    known = ratios[~ratios.isnan()]
    if (known > 1).any():
        away = percent(float((known > 1).double().mean()))
        line = f"v or w changes more in time than the assumption below eq. 8 allows at {away} of the points"
        line += f" to which it applies ({percent(len(known) / ratios.numel())})" if len(known) < ratios.numel() else ""
        exact = _degrees(part.cosine, 0.0) < 0.01
        lines.append(line + ("; d is dJ/dθ all the same: it is sufficient, not necessary." if exact else "."))
    for cosine, what in ((part.cosine, "d = ∫ w dt"), (part.cosine_trained, "the direction of training")):
        wrong = int((cosine <= 0).sum())
        if wrong:
            lines.append(
                f"against {what} J rises for {wrong} of {len(cosine)} states (cosine {float(cosine.min()):.3g})."
            )
    apart = _degrees(part.cosine_trained, 0.5) - _degrees(part.cosine, 0.5)
    if apart > 5:
        lines.append(
            "in training the adjoint passes through JFB, too, which the slides' d does not: the angle to dJ/dθ is then "
            f"{_degrees(part.cosine_trained, 0.5):.3g}° in the median, not {_degrees(part.cosine, 0.5):.3g}°."
        )
    return lines


def _rest(found: Diagnosis) -> list[str]:
    lines = []
    if found.held > 0:
        lines.append(
            f"{percent(found.held)} of the controls along the paths are held by a bound: their rows of M are 0 and no "
            "gradient passes through them; rank and κ are those of the free controls."
        )
    if not math.isfinite(found.variance):
        return [*lines, "dJ/dθ is 0: nothing here depends on the weights, or there is nothing left to learn."]
    needs = [f"{part.variance:.3g} with {name(part.operator)}" for part in found.operators]
    lines.append(
        f"The slides leave μ_2 of eq. 9 and 10 open, so there is no verdict. Over these {len(found.cost)} states eq. 9 "
        f"needs μ_2 >= {found.variance:.3g}, and eq. 10 {' and '.join(needs)}; large wherever the mean gradient is "
        "small, as at the end of training."
    )
    return lines


def _worst(x: torch.Tensor) -> float:
    """The largest that is not NaN; 0 if all are."""
    known = x[~x.isnan()]
    return float(known.max()) if len(known) else 0.0


def _degrees(cosine: torch.Tensor, share: float) -> float:
    """The angle at this quantile of the cosines: 0 is the widest angle."""
    known = cosine[~cosine.isnan()]
    if not len(known):
        return math.nan
    return math.degrees(math.acos(min(1.0, max(-1.0, float(known.quantile(share))))))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
