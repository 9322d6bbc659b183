"""A controller under each disturbance: how the cost grows with its strength."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...envs.integrate import Controller, rollout
from ...envs.problem import Problem
from ..disturbances import Case, disturbances


def robustness(problem: Problem, controller: Controller, z0: Tensor, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """For each disturbance a row per level, the first of them undisturbed: cost, median, error, success rate.

    Every controller meets the same random numbers. A flight whose cost is not finite counts as one that costs infinity
    (``None`` in the row; ``evaluate`` charges ``lost_cost``) and misses.
    """
    calm = _row(problem, Case(problem, controller, z0), 0.0)
    found = {}
    for name, disturbance in disturbances(problem).items():
        rows = [calm | {"level": disturbance.calm}]
        rows += [
            _row(problem, disturbance.apply(problem, controller, z0, level, seed), level)
            for level in disturbance.levels
        ]
        found[name] = sorted(rows, key=lambda row: float(row["level"]))
    return found


@torch.no_grad()
def _row(problem: Problem, case: Case, level: float) -> dict[str, Any]:
    try:
        path = rollout(case.problem, case.controller, case.z0)
        cost, error = path.cost.double(), problem.terminal_error(path.z[-1]).double()
    except ValueError:  # a controller that refuses states which are not finite any more
        cost = torch.full((len(case.z0),), torch.inf, dtype=torch.float64)
        error = cost
    success = (error <= problem.success_radius) & cost.isfinite()
    figures = {"cost_mean": cost.mean(), "cost_median": cost.median(), "terminal_error_mean": error.mean()}
    row = {k: float(v) if bool(v.isfinite()) else None for k, v in figures.items()}
    return {"level": level, **row, "success_rate": float(success.double().mean())}
