"""Whether optima are those of the model, or of the steps in which it is flown."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ...controllers.optimum import ReferenceTrajectory
from ...envs.integrate import advance
from ...envs.problem import Problem

COARSE = 0.02
"""Relative change of cost by half steps from which on a warning is given."""


@torch.no_grad()
def coarseness(problem: Problem, known: ReferenceTrajectory) -> Tensor:
    """|J' - J| / |J| of each optimum, ``(B,)``: J' is what its controls cost by two Runge-Kutta steps for each one."""
    z, half = known.z[0].double(), 0.5 * problem.time_step
    cost = torch.zeros_like(known.cost)
    for t, u in zip(known.t[:-1].double(), known.u.double(), strict=True):
        for begin in (t, t + half):
            z, spent = advance(problem, begin, z, u, half)
            cost = cost + spent
    cost = cost + problem.terminal_cost(z)
    return ((cost - known.cost).abs() / known.cost.abs().clamp_min(1e-12)).nan_to_num(torch.inf, torch.inf)


def check_steps(problem: Problem, known: ReferenceTrajectory) -> None:
    """Warn where the optima lean on the coarseness of the steps: what they promise no plant will give."""
    good = known.rows(known.converged.nonzero().ravel())
    apart = coarseness(problem, good)
    if len(apart) and float(apart.median()) > COARSE:
        warnings.warn(
            f"{type(problem).__name__}: with Runge-Kutta steps half as long the cost of the optima changes by "
            f"{float(apart.median()):.0%} in the median: they are those of the steps, not of the model; raise steps "
            f"(now {problem.steps})",
            stacklevel=3,
        )
