"""Begin with the expansion about one optimum, agent by agent, and a network in its natural coordinates."""

from __future__ import annotations

from ...controllers.optimum import expand_agents, solve_reference
from ...controllers.value import ExpandedValue
from ...envs.problem import Problem
from ..config import TrainConfig
from .nominal import SEED, mean_state


def expanded(problem: Problem, config: TrainConfig) -> ExpandedValue:
    """The value function about the cheapest of ``expansion_starts`` optima from the mean initial state.

    Raises:
        ValueError: if none of them converged.
    """
    path = solve_reference(problem, mean_state(problem), starts=config.expansion_starts, seed=SEED)
    if not path.converged.all():
        raise ValueError(f"no open-loop optimum from the mean initial state: {path.status[0]}")
    return ExpandedValue(problem, expand_agents(problem, path), config.agent_width, config.agent_rank, config.seed)
