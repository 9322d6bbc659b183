"""Training of a direct policy: the same rollout, loss and schedule as for a value function, without an argmax."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import cast

import torch
from torch import Tensor

from ..controllers.direct import DirectPolicy
from ..controllers.value import ValueFunction
from ..envs.compiling import compiled
from ..envs.integrate import advance, rollout
from ..envs.problem import Problem, check_state
from .checkpoint import History, Progress, plain_config, read_checkpoint, write_checkpoint
from .config import TrainConfig
from .loss import Loss, Step, StepFunction
from .report import Report
from .train import VALIDATION_SEED, _roll_back, _share, begin, iterate

__all__ = ["DirectPolicy", "make_direct_step", "train_direct"]


def train_direct(problem: Problem, config: TrainConfig | None = None) -> tuple[DirectPolicy, History]:
    """Minimise E_{z0 ~ rho_0}[J] over the weights of π and return the best policy on validation states.

    All is as in ``train``, from the initial states to the schedule, but that the control is the network's output: the
    gradient is that of the rollout, and nothing is solved. Of ``config``, ``width`` and ``depth`` are those of π;
    the other sizes of phi and the settings of the argmax have nothing to act on.

    Raises:
        ValueError: if the configuration or the problem makes no sense, asks for what only a value function has
            (penalties, ``begin_from``), or ``resume`` finds another run.
    """
    config = TrainConfig() if config is None else config
    for name in ("hjb_weight", "pressure_weight", "terminal_value_weight", "terminal_gradient_weight", "begin_from"):
        if getattr(config, name):
            raise ValueError(f"TrainConfig.{name} is {getattr(config, name)!r}; a direct policy has no value function")
    device = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    )
    seen = torch.Generator().manual_seed(VALIDATION_SEED)
    validation = problem.sample_initial_state(config.validation_states, seen).to(device)
    check_state(problem, validation, "sample_initial_state's answer")
    policy = DirectPolicy(problem, config.width, config.depth, config.seed)
    # a run needs no more of phi than its parameters, which here are those of the policy
    progress = begin(problem, config, device, cast(ValueFunction, policy))
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        if config.resume:
            read_checkpoint(config.out, problem, config, progress)
        (config.out / "config.json").write_text(json.dumps(plain_config(config), indent=2) + "\n", encoding="utf-8")
    _descend(problem, config, progress, policy, validation)
    policy.load_state_dict(progress.best)
    if config.out is not None:
        settings = {k: v for k, v in plain_config(config).items() if k not in ("out", "resume", "device")}
        policy.save(config.out, {"training": settings, "best": progress.history.best})
    return policy, progress.history


def make_direct_step(problem: Problem, policy: DirectPolicy, config: TrainConfig) -> StepFunction:
    """One step of the rollout under π: network, RK4 and cost, compiled if the configuration says so."""

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        after, cost = advance(problem, t, z, policy(t, z), dt)
        nothing = torch.zeros_like(cost)
        return Step(after, cost, nothing, nothing)

    return compiled(step, policy.scale.device) if config.compile else step


def _descend(
    problem: Problem, config: TrainConfig, progress: Progress, policy: DirectPolicy, validation: Tensor
) -> None:
    """The loop: draw, descend, now and then validate and save."""
    coarse = problem if config.steps is None else dataclasses.replace(problem, steps=config.steps)  # type: ignore[type-var]
    step = make_direct_step(problem, policy, config)
    before = progress.seconds
    started = saved = time.monotonic()
    warm = not config.compile
    with Report(config.out, progress.history.rows) as report:
        while (share := _share(progress, config)) < 1:
            course = problem if share >= 1 - config.refine else coarse
            loss, size = iterate(course, config, progress, step, share, validation.device)
            if not warm:  # the first call compiles, and is not counted
                warm, started = True, time.monotonic()
            progress.seconds = before + time.monotonic() - started
            share = _share(progress, config)
            report.update(share, progress.iteration, float(loss.cost), float(loss.terminal_error), 0.0)
            if progress.iteration % config.validate_every == 0 or share >= 1:
                report.validated(_validate(problem, config, progress, policy, loss, size, validation), share)
            if config.out is not None and (time.monotonic() - saved > config.checkpoint_seconds or share >= 1):
                write_checkpoint(config.out, problem, config, progress)
                saved = time.monotonic()


@torch.no_grad()
def _validate(
    problem: Problem, config: TrainConfig, progress: Progress, policy: DirectPolicy, loss: Loss, size: float,
    validation: Tensor,
) -> dict[str, float]:  # fmt: skip
    """Cost on the fixed states with the problem's own number of steps; keeps the best weights."""
    path = rollout(problem, policy, validation)
    cost = float(path.cost.mean())
    row = {
        "iteration": float(progress.iteration),
        "seconds": progress.seconds,
        "cost": float(loss.cost),
        "validation_cost": cost,
        "terminal_error": float(problem.terminal_error(path.z[-1]).mean()),
        "residual": 0.0,
        "gradient_norm": size,
        "learning_rate": progress.optimizer.param_groups[0]["lr"],
        "skipped": float(progress.skipped),
        "rollbacks": float(progress.rollbacks),
    }
    progress.history.rows.append(row)
    if cost < progress.best_cost:
        progress.best_cost = cost
        progress.best = {k: v.clone() for k, v in policy.state_dict().items()}
    elif config.rollback is not None and not cost - progress.best_cost <= (config.rollback - 1) * abs(
        progress.best_cost
    ):
        _roll_back(config, progress)
    return row
