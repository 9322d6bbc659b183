"""The cost on states that are never trained on: it says which weights are kept, and when to go back to them."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ..envs.integrate import Controller, rollout
from ..envs.problem import Problem
from .checkpoint import Progress
from .config import TrainConfig
from .disturbed import Flights, mean_cost
from .loss import Loss, make_step, path_loss
from .parallel import summed, team
from .watch import LOOKED


@torch.no_grad()
def validate(
    problem: Problem,
    config: TrainConfig,
    progress: Progress,
    loss: Loss,
    size: float,
    validation: Tensor,
    policy: Controller,
    flights: Flights,
) -> dict[str, float]:
    """Cost on the fixed states, and disturbances, with the problem's own number of steps; keeps the best weights.

    Of several processes each flies its rows, and all come to the same row and the same decision.

    Returns:
        The row of the history.
    """
    rows = team().rows(len(validation), "validation_states")
    path = rollout(problem, policy, validation[rows])
    share = (rows.stop - rows.start) / len(validation)
    figures = [path.cost.mean(), problem.terminal_error(path.z[-1]).mean()]
    if config.disturb is not None:
        figures.append(path.cost.new_tensor(mean_cost(flights, problem, policy, validation[rows])))
    calm, error, *disturbed = summed(share * torch.stack(figures)).tolist()
    cost = disturbed[0] if disturbed else calm
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
    row |= {} if config.disturb is None else {"undisturbed_cost": calm}
    progress.history.rows.append(row)
    if cost < progress.best_cost:
        progress.best_cost = cost
        progress.best = {k: v.clone() for k, v in progress.value.state_dict().items()}
    elif (
        config.rollback is not None
        and math.isfinite(progress.best_cost)
        and not cost - progress.best_cost <= (config.rollback - 1) * abs(progress.best_cost)
    ):
        progress.roll_back(config.rollback_pace)
    return row


@torch.no_grad()
def look(problem: Problem, progress: Progress, policy: Controller, validation: Tensor) -> None:
    """Fly a few validation states for ``Watch``: a run that goes nowhere is to say so before its first validation."""
    progress.watch.looked(problem, rollout(problem, policy, validation[:LOOKED]))


@torch.no_grad()
def validate_start(
    problem: Problem, config: TrainConfig, progress: Progress, validation: Tensor, flights: Flights, policy: Controller
) -> None:
    """A row for the first weights, which may be good already: a run returns nothing worse."""
    step = make_step(problem, progress.value, dataclasses.replace(config, compile=False))
    rows = team().rows(len(validation), "validation_states")
    loss = path_loss(problem, progress.value, step, validation[rows], config)
    share = (rows.stop - rows.start) / len(validation)
    loss = loss.of_all(list(summed(torch.stack(loss.told(share))).unbind()))
    validate(problem, config, progress, loss, 0.0, validation, policy, flights)
