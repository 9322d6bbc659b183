"""The command ``pontryagin evaluate``: a controller from seeded initial states, against the stored optima."""

from __future__ import annotations

import dataclasses
import json as json_
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from ...controllers.baselines import CLASSICAL
from ...controllers.held_argmax import bellman_residual
from ...controllers.optimum import certify, known_reference
from ...controllers.policy import ImplicitPolicy
from ...envs.catalog import make_problem
from ...envs.integrate import Controller, begun, rollout
from ...envs.problem import Problem
from ...envs.states import draw_states
from ..agents import load_controller
from ..console import PlainConsole
from ..evaluate import Evaluation, evaluate
from ..lost import ended, held_back, some
from .arguments import AgentPath


def evaluate_command(
    checkpoint: AgentPath,
    states: int = 128,
    seed: int = 0,
    problem: str | None = None,
    on: str | None = None,
    certificate: bool = False,
    json: bool = False,
    algorithm: str | None = None,
    vecnormalize: Path | None = None,
) -> None:
    """Fly a policy from seeded initial states and print what it costs.

    The gap to the optimum is printed too, where ``pontryagin reference`` has stored it for these states.

    ``lqr``, ``lqr-tracking`` and ``mpc`` fly any problem without having been trained:

        pontryagin evaluate quadrotor
        pontryagin evaluate lqr-tracking --problem quadrotor
        pontryagin evaluate mpc --problem my_module:Rocket --states 8

    Agents of your own fly, too: the zip of Stable-Baselines3 or sb3-contrib, what the benchmark left, a function
    (t, z) -> u. A zip and the statistics of VecNormalize are pickles: loading one runs the code of whoever made it.

        pontryagin evaluate model.zip --problem quadrotor --algorithm ppo --vecnormalize stats.pkl
        pontryagin evaluate my_module:controller --problem quadrotor

    The states of --seed are those of the vector environment's reset(seed=..): one policy has one number.

    Args:
        checkpoint: the policy.
        states: how many initial states are drawn from rho_0.
        seed: of the draw.
        problem: what a classical controller or an agent flies; module:ClassName for a problem of your own.
        on: another problem to draw the states from and to fly it in, with as many states and controls.
        certificate: print the residuals of Pontryagin's conditions along the flights, too, in float64; of a held policy
            the residual of Bellman's equation beside that of HJB, both in the unit of L.
        json: print JSON instead of a table.
        algorithm: of the zip: a2c, ars, crossq, ddpg, ppo, sac, td3, tqc or trpo; found out from it unless given.
        vecnormalize: the statistics with which the agent of a zip was trained.
    """
    own = (algorithm, vecnormalize)
    flown, controller = _chosen(checkpoint, problem, on, certificate, own)
    figures = measure(flown, controller, states, seed).summary()
    if certificate and isinstance(controller, ImplicitPolicy):
        policy = controller.double()
        z0 = draw_states(flown, states, seed).double()
        with torch.no_grad():
            path, lost = ended(flown, rollout(flown, held_back(begun(policy)), z0))
        path = some(path, ~lost)  # the conditions are those of flights that have an end
        found = certify(flown, path, policy.value.gradient)
        if policy.hamiltonian == "held":
            found = dataclasses.replace(found, bellman=bellman_residual(flown, path, policy.value))
        figures |= found.summary()
    if json:
        print(json_.dumps(figures, indent=2))
        return
    table = Table(title=f"{type(flown).__name__}: {checkpoint}, {states} states, seed {seed}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:.6g}")
    PlainConsole().print(table)
    if "lost_rate" in figures:
        count = round(figures["lost_rate"] * states)
        print(f"{count} of {states} flights left the finite numbers: each is charged {flown.lost_cost:g}")


def _chosen(
    checkpoint: str, problem: str | None, on: str | None, certificate: bool, own: tuple[str | None, Path | None]
) -> tuple[Problem, Controller]:
    """What flies, and what it flies in."""
    if checkpoint in CLASSICAL:
        if problem is None or certificate or on is not None or own != (None, None):
            raise ValueError(
                f"{checkpoint} flies --problem; --on and --certificate are for policies, --algorithm and "
                "--vecnormalize for agents"
            )
        flown = make_problem(problem)
        return flown, CLASSICAL[checkpoint](flown)
    found: Any = load_controller(checkpoint, problem, *own)
    if certificate and not isinstance(found, ImplicitPolicy):
        raise ValueError(f"{checkpoint} has no value function, so no costate: --certificate is for implicit policies")
    flown, made_for = found.problem if on is None else make_problem(on), found.problem
    if (type(flown), flown.state_dim, flown.horizon) != (type(made_for), made_for.state_dim, made_for.horizon):
        raise ValueError(
            f"{on} is a {type(flown).__name__} of {flown.state_dim} states and horizon {flown.horizon}; expected "
            f"a {type(made_for).__name__} of {made_for.state_dim} and {made_for.horizon}, as {checkpoint} is for"
        )
    return flown, found


def measure(problem: Problem, controller: Controller, states: int, seed: int) -> Evaluation:
    """``evaluate`` on seeded initial states, against the stored optima if there are any."""
    z0 = draw_states(problem, states, seed)
    return evaluate(problem, controller, z0, stored_optima(problem, z0))


def stored_optima(problem: Problem, z0: Tensor) -> Tensor | None:
    """The optimal costs from ``z0`` where a reference is stored; nan where it did not converge, which is said."""
    stored = known_reference(problem, z0)
    if stored is None:
        return None
    if lost := int((~stored.converged).sum()):
        PlainConsole(stderr=True).print(f"{lost} of {len(z0)} stored optima did not converge: they are left out")
    return stored.optimum
