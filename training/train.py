"""Train phi_theta so that the controller it implies is cheap: SOAP on E[J] with the JFB gradient."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
import warnings

import torch
from torch import Tensor

from ..controllers.policy import ImplicitPolicy
from ..controllers.value import Value, ValueFunction, restore_value
from ..envs.checking import check_functions
from ..envs.files import write_json
from ..envs.integrate import Controller
from ..envs.problem import Problem
from ..envs.states import drawn
from .checkpoint import History, Kept, Progress, fill, kept, plain_config, read_checkpoint
from .config import TrainConfig
from .disturbed import Flights, check_disturb, drawn_flights, make_flights
from .folder import Interrupts, Trained, conclude, keep_checkpoint, own_folder, throw_away
from .gear import Gear, MakeFlights
from .loss import Loss, path_loss
from .parallel import from_first, joined, own_device, share_gradient, team
from .report import Report
from .schedule import clip_gradient, learning_rate
from .soap import make_optimizer
from .start import anchored, distilled, expanded, nominal_costate, taught
from .validation import look, validate, validate_start
from .watch import PATIENCE

VALIDATION_SEED = 7_919
"""Validation states are drawn from a generator of their own, so that every run and every seed shares them."""


def train(
    problem: Problem, config: TrainConfig | None = None, value: Value | None = None
) -> tuple[ImplicitPolicy, History]:
    """Minimise E_{z0 ~ rho_0}[J] over theta (slides, eq. 1-3) and return the best policy on validation states.

    Fresh initial states every iteration. A gradient that is not finite is not applied, and counted (``skipped``); the
    argmax's residual is logged. With ``config.out`` a run can be killed and resumed, once its first weights are there.
    Under torchrun ``config.batch`` is shared out among its processes; the curve is that of one, to rounding.

    Args:
        problem: what is controlled.
        config: how.
        value: where to begin, trained in place; what the configuration says (``make_value``) unless given.

    Raises:
        ValueError: if the problem makes no sense, ``out`` cannot be written to, is in use or holds a run that is
            neither resumed nor thrown away, ``resume`` finds another run, or the run went nowhere (``Watch``).
        ConnectionError: if another process of the run has ended.
    """
    started = time.monotonic()
    config = TrainConfig() if config is None else config
    begun = value is not None or config.anchor != "none" or config.nominal or config.begin_from is not None
    with joined(config.device), own_folder(problem, config):
        progress, validation = prepare(problem, config, value, started)
        policy = make_policy(problem, progress.value, config)
        flights = functools.partial(make_flights, problem, progress.value)
        if begun and not progress.iteration:
            validate_start(problem, config, progress, validation, flights(config), policy)
            keep_checkpoint(problem, config, progress)  # what came before may have taken minutes
        return run(problem, config, progress, validation, flights, policy)


def prepare(problem: Problem, config: TrainConfig, value: Value | None, started: float) -> tuple[Progress, Tensor]:
    """A run in its folder, resumed if it is to be, and its validation states; ``started`` by ``time.monotonic``.

    Raises:
        ValueError: if the problem makes no sense, or ``resume`` finds another run.
    """
    device = own_device(config.device, team().count)
    check_functions(problem, device)
    check_disturb(problem, config)
    seen = torch.Generator().manual_seed(VALIDATION_SEED)
    validation = drawn(problem, config.validation_states, seen).to(device)
    if value is None and config.anchor == "distilled" and not config.resume:
        value = make_value(problem, config, device)  # all of them teach
    begun: list[Progress] = []

    def first() -> Kept:
        progress = begin(problem, config, device, value)
        begun.append(progress)
        if config.out is not None:
            if config.resume:
                read_checkpoint(config.out, problem, config, progress)
            if config.fresh:
                throw_away(config.out)
            write_json(config.out / "config.json", plain_config(config))
        if config.count_all:
            progress.seconds += time.monotonic() - started
        return kept(progress)

    handed = from_first(first)
    if not begun:
        begun.append(begin(problem, config, device, value or restore_value(problem, handed.value)))
        fill(begun[0], handed)
    return begun[0], validation


def run(
    problem: Problem,
    config: TrainConfig,
    progress: Progress,
    validation: Tensor,
    flights: MakeFlights,
    policy: Trained,
) -> tuple[Trained, History]:
    """``descend``, and what it came to; a run that Ctrl-C ends keeps its best weights, too."""
    try:
        descend(problem, config, progress, validation, flights, policy)
    except KeyboardInterrupt:
        if math.isfinite(progress.best_cost):
            conclude(config, progress, policy)
        raise
    progress.watch.ended(progress.best_cost, progress.history.rows[0]["iteration"])
    return conclude(config, progress, policy)


def make_value(problem: Problem, config: TrainConfig, device: torch.device | None = None) -> Value:
    """phi as the configuration describes it, with its first weights; taught on ``device``, where it is taught."""
    if config.anchor == "expansion" or config.learns_expanded:
        return expanded(problem, config) if config.anchor == "expansion" or config.resume else taught(problem, config)
    value = ValueFunction(
        problem, config.width, config.depth, config.rank, config.seed,
        agent_width=config.agent_width, agent_rank=config.agent_rank,
        fine_width=config.fine_width, nominal=config.nominal,
    )  # fmt: skip
    if config.nominal and config.begin_from is None:
        value.start_at(nominal_costate(problem, config.nominal_share).to(value.scale))
    if config.begin_from is not None:
        teacher = ImplicitPolicy.load(config.begin_from, device="cpu").value
        if not isinstance(teacher, ValueFunction):
            raise ValueError(
                f"{config.begin_from} is anchored: its network alone says little; expected one that is not"
            )
        value.adopt(teacher)
    if config.anchor == "none":
        return value
    if config.anchor == "distilled":  # a resumed run has its weights in the checkpoint
        return value if config.resume else distilled(problem, value.to(device), config)
    count = config.anchors if config.anchor == "multi" else 1
    return anchored(problem, value, count, config.nominal_share, config.blend, config.anchor_rounds)


def begin(problem: Problem, config: TrainConfig, device: torch.device, value: Value | None = None) -> Progress:
    """A run that has not begun; with ``value``, where it is already made."""
    value = (make_value(problem, config, device) if value is None else value).to(device)
    if not any(True for _ in value.parameters()):
        raise ValueError(f"{type(value).__name__} has no weights to train: fly it, ImplicitPolicy(problem, value)")
    optimizer = make_optimizer(value, config, config.learning_rate)
    best = {k: v.clone() for k, v in value.state_dict().items()}
    return Progress(value, optimizer, torch.Generator().manual_seed(config.seed), History(), best)


def descend(
    problem: Problem,
    config: TrainConfig,
    progress: Progress,
    validation: Tensor,
    flights: MakeFlights,
    policy: Controller,
) -> None:
    """The loop: draw, descend, now and then validate ``policy``, which has the same weights, and save."""
    coarse = problem if config.steps is None else dataclasses.replace(problem, steps=config.steps)  # type: ignore[type-var]
    gear = Gear(problem, config, progress, flights)
    before = progress.seconds
    started = saved = time.monotonic()
    out = config.out if team().leads else None
    with Report(out, progress.history.rows) as report, Interrupts() as interrupts:
        while (share := progress.share(config)) < 1 or not progress.iteration:
            course = problem if share >= 1 - config.fine_share else coarse
            alone = team().count == 1
            if not alone:
                progress.clock = (before + time.monotonic() - started, float(interrupts.heard))
            if gear.due(progress):
                report.compiling()
                began = time.monotonic()
                report.said(gear.compile(course, progress))
                started += 0.0 if config.count_all else time.monotonic() - began
            loss, size = iterate(course, config, progress, gear.flights, share, validation.device)
            progress.seconds = before + time.monotonic() - started if alone else progress.clock[0]
            share = progress.share(config)
            report.update(share, progress.iteration, float(loss.cost), float(loss.terminal_error), float(loss.residual))
            if progress.iteration in (PATIENCE // 2, PATIENCE) or share >= 1:
                look(problem, progress, policy, validation)
            if progress.iteration % config.validate_every == 0 or share >= 1:
                row = validate(problem, config, progress, loss, size, validation, policy, gear.flights)
                report.validated(row, share)
            stop = interrupts.heard if alone else progress.clock[1] > 0
            if share >= 1 or stop or (config.out is not None and time.monotonic() - saved > config.checkpoint_seconds):
                keep_checkpoint(problem, config, progress)
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt


def iterate(
    course: Problem, config: TrainConfig, progress: Progress, step: Flights, share: float, device: torch.device
) -> tuple[Loss, float]:
    """One step of the optimizer; returns the loss and the norm of its gradient.

    Each of several processes draws the whole batch and flies its rows of it; ``progress.clock`` is made the same.
    """
    z0 = course.sample_initial_state(config.batch, progress.generator)
    rows = team().rows(config.batch)
    one, z0 = drawn_flights(step, course, z0[rows].to(device), progress.generator)
    loss = path_loss(course, progress.value, one, z0, config)
    progress.optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    if team().count > 1:
        loss = _together(progress, loss, (rows.stop - rows.start) / config.batch)
    progress.usual_norm, size = clip_gradient(progress.value, config.gradient_clip, progress.usual_norm)
    if math.isfinite(size):
        progress.optimizer.param_groups[0]["lr"] = progress.pace * learning_rate(config, share)
        progress.optimizer.step()
    else:
        progress.skipped += 1
        warnings.warn("a gradient is not finite; its step is skipped, as all like it, and counted", stacklevel=2)
    progress.watch.iterated(size, float(loss.missed))
    progress.iteration += 1
    return loss, size


def _together(progress: Progress, loss: Loss, share: float) -> Loss:
    """Gradient, figures and clock of all processes, of which this one had ``share`` of the batch: one all-reduce."""
    seconds, heard = progress.clock
    clock = (seconds if team().leads else 0.0, heard)
    told = share_gradient(progress.value, share, (*loss.told(share), *clock))
    progress.clock = (float(told.pop(-2)), float(told.pop()))
    return loss.of_all(told)


def make_policy(problem: Problem, value: Value, config: TrainConfig) -> ImplicitPolicy:
    """The policy to fly: with projected Newton the solver is unhurried there, whatever training could afford."""
    newton = config.operator == "newton"
    operator = None if newton else config.make_operator()
    most = 10 if newton else config.argmax_iterations
    return ImplicitPolicy(problem, value, operator, most, config.argmax_tolerance, config.starts, config.hamiltonian)
