"""Begin with expansions about the optima from the mean initial state, and a network in their natural coordinates."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...controllers.optimum import AgentExpansion, ReferenceTrajectory, expand_agents, solve_optimum
from ...controllers.value import ExpandedValue
from ...envs.problem import Problem
from ..config import TrainConfig
from .nominal import SEED, mean_state

SAME = 1e-6
"""Optima whose costs agree to this share are one and the same."""
PROBES = 512
"""Initial states over which the members are chosen."""


def expanded(problem: Problem, config: TrainConfig) -> ExpandedValue:
    """The value function about at most ``members`` of the optima that ``candidates`` initial states lead to.

    Raises:
        ValueError: if no optimum was found.
    """
    known = families(problem, config.candidates)
    chosen = choose(problem, expand_agents(problem, known), config.members)
    return ExpandedValue(problem, chosen, config.agent_width, config.agent_rank, config.seed)


def families(problem: Problem, candidates: int, seconds: float | None = None) -> ReferenceTrajectory:
    """The different optima from the mean initial state, cheapest first.

    The optima of single states are better guesses than random ones: what a state's own place decides (who passes whom
    on which side) is decided there in many ways. The mean's own is among them.

    Args:
        candidates: so many initial states are solved first.
        seconds: for each of the two searches; then the best so far is taken.

    Raises:
        ValueError: if there is none.
    """
    z0 = problem.sample_initial_state(candidates, torch.Generator().manual_seed(SEED + 1)).double()
    mean = mean_state(problem)
    low, high = problem.control_bounds(mean)
    single = solve_optimum(
        problem, torch.cat([mean, z0]), lambda t, z: torch.zeros_like(low).clamp(low, high).expand(len(z), -1),
        seconds=seconds,
    )  # fmt: skip
    flown = iter(single.u)
    found = solve_optimum(problem, mean.expand(candidates + 1, -1), lambda t, z: next(flown), seconds=seconds)
    if not found.cost.isfinite().any():
        raise ValueError(f"no open-loop optimum from the mean initial state {mean[0].tolist()}: {found.status[0]}")
    order = found.cost.nan_to_num(torch.inf, torch.inf).argsort()
    cost = found.cost[order]
    fresh = torch.cat([order.new_ones(1).bool(), cost.diff() > SAME * cost[0].abs()]) & cost.isfinite()
    return found.rows(order[fresh])


def choose(problem: Problem, expansion: AgentExpansion, members: int) -> AgentExpansion:
    """The members, at most so many, whose least expected cost is lowest in the mean over rho_0: greedily."""
    z0 = problem.sample_initial_state(PROBES, torch.Generator().manual_seed(SEED + 2)).double()
    costs = torch.stack([_expected(problem, expansion, j, z0) for j in range(expansion.state.shape[1])])
    chosen: list[int] = []
    least = torch.full((PROBES,), torch.inf, dtype=torch.float64)
    while len(chosen) < min(members, len(costs)):
        with_it = torch.minimum(costs, least).mean(-1)
        best = int(with_it.argmin())
        if chosen and not with_it[best] < least.mean() - SAME * least.mean().abs():
            break
        chosen.append(best)
        least = torch.minimum(least, costs[best])
    index = torch.tensor(chosen)
    return AgentExpansion(**{k: v.index_select(1, index) for k, v in _tables(expansion).items()})


def _expected(problem: Problem, expansion: AgentExpansion, member: int, z0: Tensor) -> Tensor:
    """What the expansion about one optimum says of each state, ``(B,)``."""
    d = z0 - expansion.state[0, member]
    own = d.unflatten(-1, (-1, problem.state_block))
    bent = torch.einsum("bni,nij,bnj->b", own, expansion.curvature[0, member], own)
    return expansion.value[0, member] + d @ expansion.costate[0, member] + 0.5 * bent


def _tables(expansion: AgentExpansion) -> dict[str, Tensor]:
    return {field.name: getattr(expansion, field.name) for field in dataclasses.fields(expansion)}
