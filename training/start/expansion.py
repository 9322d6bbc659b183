"""Begin with expansions about the optima from the mean initial state, and a network in their natural coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from ...controllers.optimum import AgentExpansion, ReferenceTrajectory, expand_agents, solve_optimum
from ...controllers.storage import read_store
from ...controllers.value import ExpandedValue
from ...envs.integrate import Controller, rollout
from ...envs.problem import Problem
from ..config import TrainConfig
from .nominal import SEED, mean_state

SAME = 1e-6
"""Optima whose costs agree to this share are one and the same."""
WAYS = 9
"""Optima whose controls are tried from the mean initial state, its own among them."""
PROBES = 128
"""Initial states that are flown to choose the members."""
TRIED = 8
"""Members that are tried before one more is taken."""
WORTH = 1e-4
"""Share of the cost that one more must save."""
AWFUL = 1e9
"""What a flight costs at most, that one which falls apart can be compared."""


def expanded(problem: Problem, config: TrainConfig) -> ExpandedValue:
    """The value function about at most ``members`` of the optima that ``candidates`` initial states lead to.

    That of a run that is resumed is to be filled from its checkpoint.

    Raises:
        ValueError: if no optimum was found.
    """
    if config.resume and config.out is not None:  # the optima are in the checkpoint, too
        tensors, _ = read_store(config.out, "checkpoint")
        sizes = {"expanded": tensors["value.state"].shape[1] if "value.state" in tensors else 1}
        return ExpandedValue.blank(
            problem, sizes | {"agent_width": config.agent_width, "agent_rank": config.agent_rank}
        )
    known = families(problem, config.candidates)
    chosen = choose(problem, expand_agents(problem, known), config.members)
    return ExpandedValue(problem, chosen, config.agent_width, config.agent_rank, config.seed)


def families(problem: Problem, candidates: int, seconds: float | None = None) -> ReferenceTrajectory:
    """Different optima from the mean initial state, cheapest first, and those from ``candidates`` draws of rho_0.

    Those that converged; where none did, what was found.

    The optima of single states are better guesses for the mean one than random ones: what a state's own place decides
    (who passes whom on which side) is decided there in many ways.

    Args:
        candidates: how many draws.
        seconds: for each of the two searches; then the best so far is taken.

    Raises:
        ValueError: if there is none.
    """
    z0 = problem.sample_initial_state(candidates, torch.Generator().manual_seed(SEED + 1)).double()
    mean = mean_state(problem)
    low, high = problem.control_bounds(mean)
    # among agents each state is solved for itself, from rest: neighbours' routes would be fewer
    rest: Controller = lambda t, z: torch.zeros_like(low).clamp(low, high).expand(len(z), -1)  # noqa: E731
    crowd = problem.state_block < problem.state_dim
    single = solve_optimum(problem, torch.cat([mean, z0]), rest if crowd else None, seconds=seconds)
    flown = iter(single.u[:, :WAYS])
    found = solve_optimum(
        problem, mean.expand(min(WAYS, candidates + 1), -1), lambda t, z: next(flown), seconds=seconds
    )
    found = found.rows(found.cost.nan_to_num(torch.inf, torch.inf).argsort())
    fresh = torch.cat([torch.ones(1, dtype=torch.bool), found.cost.diff() > SAME * found.cost[0].abs()])
    known = found.rows(fresh.nonzero().ravel()).joined(single.rows(torch.arange(1, len(single.status))))
    # about a path that is no optimum an expansion sends the argmax away from it
    sound = known.converged if known.converged.any() else known.cost.isfinite()
    if not sound.any():
        raise ValueError(f"no open-loop optimum from the mean initial state {mean[0].tolist()}: {found.status[0]}")
    return known.rows(sound.nonzero().ravel())


@torch.no_grad()
def choose(problem: Problem, expansion: AgentExpansion, members: int, more: Tensor | None = None) -> AgentExpansion:
    """The members, at most so many, with which the feedback along them flies probes of rho_0 most cheaply: greedily.

    What an expansion promises far from its optimum is not to be believed; what a flight costs is. Those are tried first
    of which some probes, flown along them alone, would gain most.

    Args:
        more: ``(B, n)`` states to be flown besides those that are drawn.
    """
    z0 = problem.sample_initial_state(PROBES, torch.Generator().manual_seed(SEED + 2)).double()
    z0 = z0 if more is None else torch.cat([z0, more])

    def flown(rows: list[int]) -> Tensor:
        value = ExpandedValue(problem, expansion.members(torch.tensor(rows))).double()
        cost = rollout(problem, lambda t, z: value.feedback(t, z), z0).cost
        return cost.nan_to_num(AWFUL, AWFUL, AWFUL).clamp_max(AWFUL)

    alone = torch.stack([flown([j]) for j in range(expansion.state.shape[1])])
    chosen = [int(alone.mean(-1).argmin())]
    cost = alone[chosen[0]]
    while len(chosen) < min(members, len(alone)):
        gain = (cost - alone).clamp_min(0.0).mean(-1)
        gain[chosen] = 0.0
        tried = [j for j in gain.argsort(descending=True)[:TRIED].tolist() if gain[j] > 0]
        costs = {j: flown([*chosen, j]) for j in tried}
        if not costs:
            break
        best = min(costs, key=lambda j: float(costs[j].mean()))
        if not costs[best].mean() < cost.mean() - WORTH * cost.mean().abs():
            break
        chosen.append(best)
        cost = costs[best]
    return expansion.members(torch.tensor(chosen))
