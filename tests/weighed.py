"""Problems with a known H_uu, and policies for them: what the tests of the theory share."""

import dataclasses

import torch

from pontryagin import DoubleIntegrator, ImplicitPolicy, ValueFunction


@dataclasses.dataclass(frozen=True)
class Weighed(DoubleIntegrator):
    """Two controls with L = ½ uᵀ diag(1, 4) u: -H_uu = diag(1, 4) everywhere."""

    control_dim: int = 2
    steps: int = 5

    def dynamics(self, t, z, u):
        return torch.stack([z[..., 1] + 0.5 * u[..., 1], u[..., 0]], -1)

    def running_cost(self, t, z, u):
        return 0.5 * u[..., 0] ** 2 + 2.0 * u[..., 1] ** 2


@dataclasses.dataclass(frozen=True)
class Bang(Weighed):
    """H is convex along the second control: -½u₂² in L, between bounds that therefore always hold it."""

    control_low: float = -1.0
    control_high: float = 1.0

    def running_cost(self, t, z, u):
        return 0.5 * u[..., 0] ** 2 - 0.5 * u[..., 1] ** 2


def made(problem, width=6, seed=0, starts="single"):
    return ImplicitPolicy(problem, ValueFunction(problem, width, rank=2, seed=seed), starts=starts)


def states(problem, count=3):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(0))


def cells(rows):
    return {row.key: row.cells for row in rows}
