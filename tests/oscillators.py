"""A small problem to vary, and another one with the expansions about eight of its optima."""

import dataclasses

import torch
from torch import Tensor

from pontryagin import Problem
from pontryagin.controllers.optimum import AgentExpansion, expand_agents, solve_optimum
from pontryagin.envs.gallery.van_der_pol import VanDerPol

Known = tuple[VanDerPol, AgentExpansion, Tensor]
"""The problem, the expansions, and other states."""


def expanded_oscillator() -> Known:
    """Van der Pol's."""
    problem = VanDerPol(steps=40)
    z = problem.sample_initial_state(24, torch.Generator().manual_seed(0)).double()
    return problem, expand_agents(problem, solve_optimum(problem, z[:8])), z[8:]


@dataclasses.dataclass(frozen=True)
class Oscillator(Problem):
    """A small problem to vary: z'' = u - z, and whatever a test puts in its place."""

    horizon: float = 1.0
    steps: int = 5
    state_dim = 2
    control_dim = 1
    control_low = -2.0
    control_high = 2.0

    def dynamics(self, t, z, u):
        return torch.cat([z[..., 1:], u - z[..., :1]], -1)

    def running_cost(self, t, z, u):
        return (u * u).sum(-1)

    def terminal_cost(self, z):
        return (z * z).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return torch.randn(batch, 2, generator=generator)


def oscillator(**methods):
    """An ``Oscillator`` with some methods replaced."""
    return type("Changed", (Oscillator,), methods)()
