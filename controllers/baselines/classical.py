"""Classical controllers by name, for the command line and for tables."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...envs.integrate import Controller
from ...envs.problem import Problem
from ..optimum import solve_optimum
from .lqr import LinearQuadraticRegulator, TimeVaryingLQR
from .mpc import RecedingHorizon

MEAN_OF, SEED = 1024, 6_007
"""The mean initial state is that of so many draws, from a generator of its own."""


def along_nominal(problem: Problem) -> TimeVaryingLQR:
    """``TimeVaryingLQR`` about the optimum from the mean of rho_0.

    Raises:
        ValueError: if no such optimum was found.
    """
    draws = problem.sample_initial_state(MEAN_OF, torch.Generator().manual_seed(SEED))
    return TimeVaryingLQR(problem, solve_optimum(problem, draws.double().mean(0, keepdim=True), starts=4))


CLASSICAL: dict[str, Callable[[Problem], Controller]] = {
    "lqr": LinearQuadraticRegulator,
    "lqr-tracking": along_nominal,
    "mpc": RecedingHorizon,
}
"""LQR about the target at rest, LQR along one optimum, the rest of the problem solved at every step."""
