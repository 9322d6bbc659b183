"""How each shipped problem is trained: defaults of ``pontryagin train NAME``, found by measurement."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..controllers.policy import Hamiltonian
from ..envs.fields import check_is
from .config import TrainConfig

CROWD: dict[str, Any] = {
    "iterations": 400, "batch": 64, "agent_width": 32, "learning_rate": 3e-4, "hamiltonian": "held",
    "anchor": "expansion", "argmax_iterations": 1, "backtracks": 2, "compile": True, "validation_states": 256,
    "optimizer": "adam",
}  # fmt: skip
"""What all crowds share. What they gain on their expansions is small, and with SOAP smaller."""

HUNDRED = CROWD | {"iterations": 60, "batch": 16, "validation_states": 32}
"""And crowds of a hundred."""

DEEP: dict[str, Any] = {
    "width": 128, "depth": 2, "rank": 20, "batch": 128, "argmax_iterations": 3, "backtracks": 2, "compile": True,
}  # fmt: skip
TAUGHT = DEEP | {"anchor": "distilled", "distill_distance": 0.06, "learning_rate": 5e-4}
"""A network of the quadrotor that is taught optima before it flies."""

RECIPES: dict[str, TrainConfig] = {
    "quadrotor": TrainConfig(**TAUGHT, anchors=1000, distill_iterations=10_000, iterations=1000),
    "quadrotor_wide": TrainConfig(**TAUGHT, anchors=4000, distill_iterations=16_000, iterations=2500, rollback=2.0),
    "quadrotor_robust": TrainConfig(
        **DEEP,
        begin_from="quadrotor",
        iterations=500,
        learning_rate=1e-3,
        validate_every=50,
        disturb="noise=0.05,wind=0.2,push=0.5,lag=0.2,delay=4,mass=0.8:1.2,starts=2",
    ),  # fmt: skip
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
        iterations=2500,
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
        argmax_iterations=1,
        backtracks=2,
        adjoint_clip=5.0,
        gradient_clip=1.5,
        rollback=3.0,
        nominal=True,
        validation_states=512,
        validate_every=50,
        compile=True,
        optimizer="adam",
    ),
}
"""Recipes for the continuous Hamiltonian of the slides, where the default is the held one."""

UNTAUGHT: dict[str, TrainConfig] = {
    "quadrotor": TrainConfig(
        iterations=7000, steps=80, width=96, learning_rate=1.5e-2, argmax_iterations=3, backtracks=2, compile=True
    ),
    "quadrotor_wide": TrainConfig(**DEEP, iterations=10_000, steps=80, learning_rate=2e-3, rollback=2.0),
}
"""Recipes from random weights, where the default is taught optima first."""


def recipe(name: str, hamiltonian: Hamiltonian | None = None, taught: bool = True) -> TrainConfig:
    """The recipe of a shipped problem; of any other name the plain defaults.

    Args:
        name: as on the command line.
        hamiltonian: another than its usual one.
        taught: whether a network that the usual recipe teaches optima is taught them, or begins with random weights.
    """
    check_is(name, str, "name")
    usual = RECIPES.get(name, TrainConfig())
    if hamiltonian is not None and hamiltonian != usual.hamiltonian:
        return CONTINUOUS.get(name, TrainConfig()) if hamiltonian == "continuous" else TrainConfig(hamiltonian="held")
    if taught or usual.anchor != "distilled":
        return usual
    return UNTAUGHT.get(name, dataclasses.replace(usual, anchor="none"))
