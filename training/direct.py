"""Analytic policy gradient: the rollout, loss and schedule of a value function for a network that outputs u."""

from __future__ import annotations

import time
from typing import cast

import torch
from torch import Tensor

from ..controllers.baselines import DirectPolicy
from ..controllers.value import ValueFunction
from ..envs.compiling import compiled
from ..envs.integrate import advance
from ..envs.problem import Problem
from .checkpoint import History
from .config import TrainConfig
from .disturbed import Disturbed, Flights
from .folder import own_folder
from .step import Answer, AnswerFunction, Step, StepFunction
from .train import prepare, run

__all__ = ["DirectPolicy", "make_direct_step", "train_direct"]


def train_direct(problem: Problem, config: TrainConfig | None = None) -> tuple[DirectPolicy, History]:
    """Minimise E_{z0 ~ rho_0}[J] over the weights of π and return the best policy on validation states.

    All is as in ``train``, from the initial states to the schedule, but that the control is the network's output: the
    gradient is that of the rollout, and nothing is solved. Of ``config``, ``width`` and ``depth`` are those of π;
    the other sizes of phi and the settings of the argmax have nothing to act on.

    Raises:
        ValueError: if the problem makes no sense, the configuration asks for what only a value function has (penalties,
            ``begin_from``), ``out`` cannot be written to, or ``resume`` finds another run.
    """
    begun = time.monotonic()
    config = TrainConfig() if config is None else config
    for name in ("hjb_weight", "bound_penalty", "terminal_value_weight", "terminal_gradient_weight", "begin_from"):
        if getattr(config, name):
            raise ValueError(f"TrainConfig.{name} is {getattr(config, name)!r}; a direct policy has no value function")
    policy = DirectPolicy(problem, config.width, config.depth, config.seed)
    with own_folder(problem, config):
        # a run needs no more of phi than its parameters, which here are those of the policy
        progress, validation = prepare(problem, config, cast(ValueFunction, policy), begun)

        def flights(config: TrainConfig) -> Flights:
            if config.disturb is None:
                return make_direct_step(problem, policy, config)
            return Disturbed(problem, config, make_direct_answer(policy, config), policy.scale.device)

        return run(problem, config, progress, validation, flights, policy)


def make_direct_step(problem: Problem, policy: DirectPolicy, config: TrainConfig) -> StepFunction:
    """One step of the rollout under π: network, RK4 and cost, compiled if the configuration says so."""

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        after, cost = advance(problem, t, z, policy(t, z), dt)
        nothing = torch.zeros_like(cost)
        return Step(after, cost, nothing, nothing)

    return compiled(step, policy.scale.device) if config.compiled else step


def make_direct_answer(policy: DirectPolicy, config: TrainConfig) -> AnswerFunction:
    """π(t, z) by itself, for rollouts in which something goes wrong."""

    def answer(t: Tensor, z: Tensor, dt: Tensor) -> Answer:
        nothing = torch.zeros_like(z[:, 0])
        return Answer(policy(t, z), nothing, nothing)

    return compiled(answer, policy.scale.device) if config.compiled else answer
