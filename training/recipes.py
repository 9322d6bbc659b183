"""How each shipped problem is trained: defaults of ``pontryagin train NAME``, found by measurement."""

from __future__ import annotations

from typing import Any

from ..controllers.policy import Hamiltonian
from ..envs.fields import check_is
from .config import TrainConfig

BICYCLES: dict[str, Any] = {
    "argmax_iterations": 2, "backtracks": 2, "adjoint_clip": 5.0, "gradient_clip": 1.5,
    "rollback": 3.0, "validate_every": 50, "compile": True, "optimizer": "adam",
}  # fmt: skip
"""What the recipes for bicycles share."""

CROWD: dict[str, Any] = {
    "iterations": 400, "batch": 64, "agent_width": 32, "learning_rate": 3e-4, "hamiltonian": "held",
    "anchor": "expansion", "argmax_iterations": 1, "backtracks": 2, "compile": True, "validation_states": 256,
    "optimizer": "adam",
}  # fmt: skip
"""What all crowds share. What they gain on their expansions is small, and was measured with Adam."""

HUNDRED = CROWD | {"iterations": 60, "batch": 16, "validation_states": 32}
"""And crowds of a hundred."""

RECIPES: dict[str, TrainConfig] = {
    "quadrotor": TrainConfig(
        iterations=7000, steps=80, width=96, learning_rate=1.5e-2, argmax_iterations=3, backtracks=2, compile=True
    ),
    "quadrotor_wide": TrainConfig(
        iterations=10_000,
        time_budget="6m",
        steps=80,
        batch=128,
        width=128,
        depth=2,
        rank=20,
        learning_rate=2e-3,
        rollback=2.0,
        argmax_iterations=3,
        backtracks=2,
        anchor="distilled",
        anchors=4000,
        distill_iterations=16_000,
        distill_distance=0.06,
        compile=True,
    ),
    "quadrotor_paper": TrainConfig(  # as it is written: plain ascent, JFB through one application, random weights
        iterations=1000,
        steps=80,
        width=96,
        learning_rate=2e-3,
        hamiltonian="continuous",
        operator="ascent",
        step_size=2e-2,
        argmax_iterations=20,
        gradient="jfb",
        jfb_steps=1,
        anchor="none",
        compile=True,
        optimizer="adam",
    ),
    "bicycle5": TrainConfig(**CROWD),
    "cars5": TrainConfig(**CROWD),
    "bicycle10": TrainConfig(**CROWD, candidates=8),
    "bicycle5_wide": TrainConfig(**CROWD, candidates=64),
    "bicycle100": TrainConfig(**HUNDRED, candidates=1),
    "bicycle100_wide": TrainConfig(**HUNDRED, candidates=8),
    "swap100": TrainConfig(**HUNDRED, candidates=1, members=1),
    "crazyflie": TrainConfig(
        iterations=1250,
        agent_width=64,
        agent_rank=16,
        learning_rate=2e-3,
        anchor="expansion",
        candidates=1,
        members=1,
        argmax_iterations=2,
        backtracks=2,
        compile=True,
        validation_states=256,
    ),
    "double_integrator": TrainConfig(iterations=1500, learning_rate=1e-2),
}
"""Defaults of ``pontryagin train NAME``, found by measurement."""


CONTINUOUS: dict[str, TrainConfig] = {
    "bicycle5": TrainConfig(
        iterations=3000,
        batch=32,
        width=32,
        rank=20,
        agent_width=32,
        fine_width=32,
        learning_rate=5e-3,
        **BICYCLES,
        bound_penalty=1.0,
        nominal=True,
        validation_states=512,
    ),
}
"""Recipes for the continuous Hamiltonian of the slides, where the default is the held one."""


def recipe(name: str, hamiltonian: Hamiltonian | None = None) -> TrainConfig:
    """The recipe of a shipped problem, for another Hamiltonian than its usual one if asked; else the plain defaults."""
    check_is(name, str, "name")
    usual = RECIPES.get(name, TrainConfig())
    if hamiltonian is None or hamiltonian == usual.hamiltonian:
        return usual
    return CONTINUOUS.get(name, TrainConfig()) if hamiltonian == "continuous" else TrainConfig(hamiltonian="held")
