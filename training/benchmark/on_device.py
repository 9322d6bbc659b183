"""Whether a device computes what the CPU does: every hot path on both, side by side."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...controllers.argmax import solve_argmax
from ...controllers.held_argmax import solve_held_argmax
from ...controllers.optimum import expand_agents, solve_optimum
from ...controllers.policy import ImplicitPolicy
from ...controllers.value import ExpandedValue, FlownValue, ValueFunction
from ...envs.bicycle import MultiBicycle
from ...envs.integrate import rollout
from ...envs.quadrotor import Quadrotor
from ...envs.vector import OptimalControlVectorEnv
from ..config import TrainConfig
from ..train import train

QUADROTOR, STATES = Quadrotor(steps=12), 8
AGENTS = MultiBicycle(3, targets=((4.0, 4.0), (4.5, 4.0), (4.0, 4.5)), steps=6)
ONE = MultiBicycle(1, targets=(1.0, 1.0), steps=6)
ALIKE = MultiBicycle(3, targets=(1.0, 1.0), steps=6)


def _states(problem: Any, device: torch.device, count: int = STATES) -> Tensor:
    return problem.sample_initial_state(count, torch.Generator().manual_seed(0)).double().to(device)


def continuous_argmax(device: torch.device) -> Tensor:
    """argmax H with its derivative in p."""
    z = _states(QUADROTOR, device)
    p = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype).to(device).requires_grad_()
    u = solve_argmax(QUADROTOR, 0.5, z, p, starts="global").control
    (slope,) = torch.autograd.grad(u.square().sum(), p)
    return torch.cat([u.detach(), slope], -1)


def held_argmax(device: torch.device) -> Tensor:
    """argmax H_dt of a network, with its derivative in z, along a time that differs by sample."""
    value = ValueFunction(QUADROTOR, 16, seed=0).double().to(device)
    z = _states(QUADROTOR, device).requires_grad_()
    t = torch.linspace(0, 0.9 * QUADROTOR.horizon, STATES, dtype=z.dtype, device=device)
    u = solve_held_argmax(QUADROTOR, value, t, z).control
    (slope,) = torch.autograd.grad(u.square().sum(), z)
    return torch.cat([u.detach(), slope], -1)


def roll_out(device: torch.device) -> Tensor:
    """The shipped quadrotor's costs."""
    policy = ImplicitPolicy.load("quadrotor", device=str(device)).double()
    with torch.no_grad():
        return rollout(policy.problem, policy, _states(policy.problem, device)).cost


def vector_environment(device: torch.device) -> Tensor:
    """Observations and rewards of one episode of random actions, and the first step of the next."""
    environment = OptimalControlVectorEnv(QUADROTOR, 8, device=device)
    seen = [torch.from_numpy(environment.reset(seed=0)[0])]
    random = np.random.default_rng(0)
    for _ in range(QUADROTOR.steps + 2):
        action = random.uniform(-0.2, 0.2, (8, 4)).astype(np.float32)
        observation, reward, *_ = environment.step(action)
        seen.append(torch.cat([torch.from_numpy(observation), torch.from_numpy(reward).float().unsqueeze(-1)], -1))
    return torch.cat([x.flatten() for x in seen])


def optimum(device: torch.device) -> Tensor:
    """Logarithms of the costs of open-loop optima, of one body and of agents that meet."""
    found = [solve_optimum(p, _states(p, device, 4), max_iterations=30) for p in (QUADROTOR, AGENTS)]
    return torch.cat([x.cost for x in found]).log()


def _expanded(problem: Any, device: torch.device, flies: bool) -> Tensor:
    z0 = _states(problem, device, 4)
    known = expand_agents(problem, solve_optimum(problem, z0, max_iterations=15))
    value = (FlownValue(problem, known) if flies else ExpandedValue(problem, known, 4)).double().to(device)
    policy = ImplicitPolicy(problem, value, hamiltonian="held", max_iterations=3)
    with torch.no_grad():
        return rollout(problem, policy, _states(problem, device)).cost


def expansions_by_flights(device: torch.device) -> Tensor:
    """Costs of the argmax under what flights along expansions cost."""
    return _expanded(AGENTS, device, True)


def expansions_in_roles(device: torch.device) -> Tensor:
    """Costs where agents are alike and each plays the role that suits it."""
    return _expanded(ALIKE, device, False)


def _config(device: torch.device | str, held: bool, **changes: Any) -> TrainConfig:
    start: dict[str, Any] = {"hamiltonian": "held", "anchor": "expansion", "candidates": 2} if held else {"width": 16}
    return TrainConfig(
        iterations=2, validate_every=1, batch=8, validation_states=8, agent_width=4, learning_rate=1e-3,
        argmax_iterations=2, device=str(device), **start | changes,
    )  # fmt: skip


def training(device: torch.device) -> Tensor:
    """Logarithms of validation costs of a few iterations, of a network and of expansions with one."""
    curves = [train(p, _config(device, held))[1] for p, held in ((QUADROTOR, False), (ONE, True))]
    return torch.tensor([x for history in curves for x in history.column("validation_cost")]).log()


def resumed(device: torch.device) -> Tensor:
    """Begun here, gone on with on the CPU, and the other way round: the curve of one that never stopped."""
    curves = []
    for first, second in ((device, "cpu"), ("cpu", device)):
        with tempfile.TemporaryDirectory() as folder:
            config = _config(first, False, out=Path(folder))
            train(QUADROTOR, dataclasses.replace(config, iterations=1))
            config = dataclasses.replace(config, iterations=2, resume=True, device=str(second))
            curves.append(train(QUADROTOR, config)[1].column("validation_cost"))
    return torch.tensor(curves).flatten()


CHECKS: dict[str, tuple[Callable[[torch.device], Tensor], float]] = {
    "argmax H": (continuous_argmax, 1e-6), "argmax H_dt": (held_argmax, 1e-5), "roll-out": (roll_out, 1e-6),
    "vector environment": (vector_environment, 1e-4), "optimum": (optimum, 1e-6),
    "expansions by flights": (expansions_by_flights, 1e-4), "expansions in roles": (expansions_in_roles, 1e-4),
    "training": (training, 1e-3), "resume across devices": (resumed, 1e-3),
}  # fmt: skip
"""By name: what is computed, and how far the devices may be apart, relative to the size of all of it."""


def apart(name: str, device: torch.device) -> tuple[float, float]:
    """How far ``device`` is from the CPU in this check, relative to the largest number, and how far it may be."""
    work, most = CHECKS[name]
    there, here = (work(torch.device(x)).double().cpu() for x in (device, "cpu"))
    return float((there - here).abs().max() / here.abs().max()), most
