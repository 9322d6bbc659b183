"""The cost on states that are never trained on: it says which weights are kept, and when to go back to them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..envs.integrate import Controller, rollout
from ..envs.problem import Problem
from .checkpoint import Progress
from .config import TrainConfig
from .loss import Loss
from .parallel import summed, team


@torch.no_grad()
def validate(
    problem: Problem,
    config: TrainConfig,
    progress: Progress,
    loss: Loss,
    size: float,
    validation: Tensor,
    policy: Controller,
) -> dict[str, float]:
    """Cost on the fixed states with the problem's own number of steps; keeps the best weights.

    Of several processes each flies its rows, and all come to the same row and the same decision.

    Returns:
        The row of the history.
    """
    rows = team().rows(len(validation), "validation_states")
    path = rollout(problem, policy, validation[rows])
    share = (rows.stop - rows.start) / len(validation)
    cost, error = summed(share * torch.stack([path.cost.mean(), problem.terminal_error(path.z[-1]).mean()])).tolist()
    progress.watch.validated(problem, path.u, cost)
    row = {
        "iteration": float(progress.iteration),
        "seconds": progress.seconds,
        "cost": float(loss.cost),
        "validation_cost": cost,
        "terminal_error": error,
        "residual": float(loss.residual),
        "gradient_norm": size,
        "learning_rate": progress.optimizer.param_groups[0]["lr"],
        "skipped": float(progress.skipped),
        "rollbacks": float(progress.rollbacks),
    }
    progress.history.rows.append(row)
    if cost < progress.best_cost:
        progress.best_cost = cost
        progress.best = {k: v.clone() for k, v in progress.value.state_dict().items()}
    elif (
        config.rollback is not None
        and math.isfinite(progress.best_cost)
        and not cost - progress.best_cost <= (config.rollback - 1) * abs(progress.best_cost)
    ):
        _roll_back(config, progress)
    return row


def _roll_back(config: TrainConfig, progress: Progress) -> None:
    """Over a cliff: go back to the best weights and on at a slower pace."""
    progress.value.load_state_dict(progress.best)
    progress.optimizer.state.clear()
    progress.pace *= config.rollback_pace
    progress.rollbacks += 1
