"""After ``solve``: a network taught its optima, which is small, answers at once, and can be exported."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor

from ..controllers.optimum import ReferenceTrajectory, solve_optimum
from ..controllers.policy import ImplicitPolicy
from ..controllers.value import ExpandedValue
from ..envs.compiling import compiler_at_hand
from ..envs.integrate import rollout
from ..envs.problem import Problem
from ..envs.states import drawn
from .gear import PAYS
from .stages import Stages
from .start import Lessons, attune, beginning, outlying, teach

WIDTH, RANK = 128, 16
"""Of the network of each agent."""
ENOUGH, SOUGHT = 1_000, 0.25
"""Optima that are taught, and the share of the time in which more of them are sought, until there are so many."""
TABLES = 20_000_000
"""Numbers in the tables of their expansions, at most."""
AT_ONCE, PROBES = 250, 64
"""Optima sought at a time; states that are flown before and after the lessons."""
NETWORK = "network"
"""The folder of its policy."""


def student(
    problem: Problem, known: ReferenceTrajectory, budget: float, seed: int, stages: Stages, out: Path | None
) -> ImplicitPolicy:
    """argmax H_dt under one expansion and a network, which was taught ``known`` and more optima in ``budget`` seconds.

    The others are sought from those of ``known``. ``out``: the folder of ``solve``.
    """
    begin, pilots = stages.gone, known
    generator = torch.Generator().manual_seed(seed + 70_001)
    stages.stage("optima to teach")
    most = min(ENOUGH, max(1, TABLES // ((problem.steps + 1) * problem.state_dim * problem.state_block)))
    while len(known.cost) < most and (left := SOUGHT * budget - (stages.gone - begin)) > 0:
        z0 = outlying(problem, min(AT_ONCE, max(len(known.cost), 8)), generator)
        known = known.joined(solve_optimum(problem, z0, known=pilots, seconds=left))
    lessons = Lessons.of(problem, known)
    stages.stage(f"teaching {len(lessons.weight)} optima")
    value = beginning(problem, pilots, WIDTH, RANK, seed)
    attune(value, lessons)
    probes = drawn(problem, PROBES, generator)
    untaught, before = copy.deepcopy(value), _cost(value, probes)
    first, ahead = stages.gone, max(budget - (stages.gone - begin), 1e-3)
    compile = ahead >= PAYS and compiler_at_hand()
    teach(value, lessons, lambda step: (stages.gone - first) / ahead if step else 0.0, seed=seed, compile=compile)
    if not _cost(value, probes) < before:  # where no smooth phi will do, lessons can make it worse
        stages.said(
            "the lessons have made the network fly dearer: it stays as it began, the expansion about one optimum"
        )
        value = untaught
    policy = _policy(value)
    if out is not None:
        policy.save(out / NETWORK, {"command": "pontryagin solve", "optima": len(lessons.weight)})
    return policy


def _policy(value: ExpandedValue) -> ImplicitPolicy:
    return ImplicitPolicy(value.problem, value.double(), hamiltonian="held")


@torch.no_grad()
def _cost(value: ExpandedValue, z0: Tensor) -> float:
    """The mean cost of its flights."""
    cost = rollout(value.problem, _policy(copy.deepcopy(value)), z0.double()).cost
    return float(cost.nan_to_num(torch.inf, torch.inf).mean())
