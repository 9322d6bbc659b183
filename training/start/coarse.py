"""Whether optima are those of the model, or of the steps in which it is flown."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ...controllers.optimum import ReferenceTrajectory
from ...envs.integrate import advance
from ...envs.problem import Problem

COARSE = 0.02
"""Relative change of cost by half steps from which on a warning is given, in the median."""
JUMP = 0.5
"""That of a single one: some find a step in which the integrator errs in their favour."""


@torch.no_grad()
def coarseness(problem: Problem, known: ReferenceTrajectory) -> Tensor:
    """|δJ| / |J| of each optimum, ``(B,)``, to first order, where two Runge-Kutta steps (F', c') take the place of one:

        δJ = Σ_k c'_k - c_k + p_{k+1}·(F'_k - F_k)

    along the optimum, p its costate: what a feedback would make of the difference, not what an open loop, which may be
    unstable, would.
    """
    z, u, p = (x.double() for x in (known.z, known.u, known.costate))
    half, begin = 0.5 * problem.time_step, known.t[:-1].double().repeat_interleave(u.shape[1])
    state, control = z[:-1].flatten(0, 1), u.flatten(0, 1)
    middle, first = advance(problem, begin, state, control, half)
    after, second = advance(problem, begin + half, middle, control, half)
    whole, paid = advance(problem, begin, state, control, problem.time_step)
    change = first + second - paid + (p[1:].flatten(0, 1) * (after - whole)).sum(-1)
    total = change.unflatten(0, u.shape[:2]).sum(0)
    return (total.abs() / known.cost.abs().clamp_min(1e-12)).nan_to_num(torch.inf, torch.inf)


def check_steps(problem: Problem, known: ReferenceTrajectory) -> None:
    """Warn where the optima lean on the coarseness of the steps: what they promise no plant will give."""
    good = known.rows(known.converged.nonzero().ravel())
    apart = coarseness(problem, good)
    if not len(apart):
        return
    middle, jumps = float(apart.median()), int((apart > JUMP).sum())
    if middle > COARSE or jumps:
        those = f"{middle:.0%} in the median" if middle > COARSE else f"more than {JUMP:.0%} in {jumps} of {len(apart)}"
        warnings.warn(
            f"{type(problem).__name__}: with Runge-Kutta steps half as long the cost of the optima changes by "
            f"{those}: they are those of the steps, not of the model; raise steps (now {problem.steps})",
            stacklevel=3,
        )
