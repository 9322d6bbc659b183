"""After ``solve``: a network taught its optima, which is small, answers at once, and can be exported."""

from __future__ import annotations

from pathlib import Path

import torch

from ..controllers.optimum import ReferenceTrajectory, solve_optimum
from ..controllers.policy import ImplicitPolicy
from ..envs.compiling import compiler_at_hand
from ..envs.problem import Problem
from ..envs.states import drawn
from .gear import PAYS
from .stages import Stages
from .start import Lessons, attune, beginning, teach
from .start.lessons import CHUNK, SPREAD

WIDTH, RANK = 128, 16
"""Of the network of each agent."""
ENOUGH, SOUGHT = 1_000, 0.25
"""Optima that are taught, and the share of the time in which more of them are sought, until there are so many."""
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
    while len(known.cost) < ENOUGH and (left := SOUGHT * budget - (stages.gone - begin)) > 0:
        z0 = drawn(problem, min(CHUNK, max(len(known.cost), 8)), generator).double()
        z0 = torch.lerp(z0.mean(0), z0, SPREAD)
        known = known.joined(solve_optimum(problem, z0, known=pilots, seconds=left))
    lessons = Lessons.of(problem, known)
    stages.stage(f"teaching {len(lessons.weight)} optima")
    value = beginning(problem, pilots, WIDTH, RANK, seed)
    attune(value, lessons)
    first, ahead = stages.gone, max(budget - (stages.gone - begin), 1e-3)
    compile = ahead >= PAYS and compiler_at_hand()
    teach(value, lessons, lambda step: (stages.gone - first) / ahead if step else 0.0, seed=seed, compile=compile)
    policy = ImplicitPolicy(problem, value.double(), hamiltonian="held")
    if out is not None:
        policy.save(out / NETWORK, {"command": "pontryagin solve", "optima": len(lessons.weight)})
    return policy
