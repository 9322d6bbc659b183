"""What ``solve`` came to: the policy, and how far above the optimum it flies from fresh states."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..controllers.adapter import Memory, Predictor
from ..controllers.optimum import ReferenceTrajectory, shared
from ..controllers.policy import ImplicitPolicy
from ..envs.integrate import Controller, Trajectory, rollout
from ..envs.problem import Problem
from .evaluate import gap_figures, relative_gap

WORST = 5.0
"""How many times the mean gap asked for the worst state's may be."""
KNOWN = 0.9
"""Share of the fresh states whose optimum must be known before a gap is believed."""


def small(gap: Tensor, enough: float) -> bool:
    """Whether gaps are small enough in the mean and at worst, as far as they are known (the others are nan)."""
    seen = gap[~gap.isnan()]
    return bool((seen <= WORST * enough).all()) and not bool(seen.mean() > enough)


def sure(gap: Tensor) -> bool:
    """Whether the gap is known of nearly all states."""
    return bool((~gap.isnan()).sum() >= KNOWN * len(gap))


class Recording(Predictor):
    """Flights that were flown, as a policy: the same controls again, whatever the state."""

    def __init__(self, problem: Problem, path: Trajectory) -> None:
        self.problem, self.path = problem, path

    def __call__(self, t: Tensor, z: Tensor) -> Tensor:
        return self.path.u[min(round(float(t) / self.problem.time_step), len(self.path.u) - 1), : len(z)].to(z)

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        return self(seen[0, -1], seen[:, :-1]), None


def flights(path: Trajectory, rows: slice) -> Trajectory:
    """Some of the batch."""
    return Trajectory(path.t, path.z[:, rows], path.u[:, rows], path.running_cost[rows], path.terminal_cost[rows])


@torch.no_grad()
def flown_by(problem: Problem, controller: Controller, z0: Tensor) -> Trajectory:
    """``rollout``, the states shared out."""
    parts = shared(rollout, len(z0), lambda rows: (problem, controller, z0[rows]))
    tables = zip(*((x.z, x.u, x.running_cost, x.terminal_cost) for x in parts), strict=True)
    return Trajectory(parts[0].t, *(torch.cat(x, x[0].ndim // 2) for x in tables))


@dataclasses.dataclass(frozen=True)
class Solved:
    """What ``solve`` came to.

    Attributes:
        policy: the controller.
        path: its flights from fresh states, on which nothing was chosen or trained.
        optima: of the same states, sought on their own and from those that were found for the policy.
        linear_cost: ``(B,)`` of linear feedback along the one best optimum, for comparison.
        history: by stage: ``stage``, ``seconds``, ``gap_mean``, ``gap_worst``.
        known: number of optima that were found for the policy.
        enough: the gap that was asked for.
        good: whether it was reached.
        network: a network that was taught those optima, if one was asked for; and its cost ``(B,)``.
    """

    policy: ImplicitPolicy
    path: Trajectory
    optima: ReferenceTrajectory
    linear_cost: Tensor
    history: tuple[dict[str, float | str], ...]
    known: int = 0
    enough: float = 0.01
    good: bool = True
    network: ImplicitPolicy | None = None
    network_cost: Tensor | None = None

    @property
    def cost(self) -> Tensor:
        """J of ``path``, ``(B,)``; inf where it is not finite."""
        return self.path.cost.nan_to_num(torch.inf, torch.inf)

    @property
    def gap(self) -> Tensor:
        """(J - J*) / |J*| from each fresh state, ``(B,)``; nan where the optimum is not known."""
        return relative_gap(self.cost, self.optima.optimum)

    @property
    def gaps(self) -> dict[str, Tensor]:
        """That of the policy, of the network, where there is one, and of linear feedback, each ``(B,)``."""
        costs = {"policy": self.cost, "linear feedback along one optimum": self.linear_cost}
        if self.network_cost is not None:
            costs = {"policy": self.cost, "network, to be exported": self.network_cost, **costs}
        return {name: relative_gap(cost, self.optima.optimum) for name, cost in costs.items()}

    @property
    def report(self) -> str:
        """The gap as a table in words."""
        rows = self.gaps
        known = int(self.optima.converged.sum())
        lines = [f"above the optimum, {known} fresh states:            mean    median     worst"]
        for name, gap in rows.items():
            lines.append(f"{name:<42}" + "".join(f"{x:>10.2%}" for x in gap_figures(gap).values()))
        left = len(self.gap) - known
        lines += [f"the optimum of {left} more is not known: its search did not converge"] if left else []
        if not self.good:
            missed = "known of too few states to be sure" if small(self.gap, self.enough) else "not reached in the time"
            lines.append(
                f"{self.enough:.2%} was asked for, and is {missed}; from the same folder the next run goes on with "
                f"these {self.known} optima"
            )
        return "\n".join(lines)
