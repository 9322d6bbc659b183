"""Begin with expansions about the optima from the mean initial state, and a network in their natural coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from ...controllers.optimum import (
    AgentExpansion,
    ReferenceTrajectory,
    expand_agents,
    own_guess,
    shared,
    solve_optimum,
)
from ...controllers.policy import ImplicitPolicy
from ...controllers.storage import check_sizes, read_store
from ...controllers.value import ExpandedValue, flown, interchangeable, restore_value
from ...envs.files import from_record
from ...envs.integrate import Controller, rollout
from ...envs.problem import Problem
from ...envs.record import problem_record
from ..config import TrainConfig
from ..console import searching
from .nominal import SEED, mean_state
from .seeking import SAME, agreed, played, searched

WAYS = 9
"""Optima whose controls are tried from the mean initial state, its own among them."""
PROBES = 256
"""Initial states that are flown to choose the members."""
TRIED = 8
"""Members that are tried before one more is taken."""
AWFUL = 20.0
"""What a flight costs at most, in costs of optima, that one which falls apart can be compared."""
WORTH = 1e-4
"""Share of the cost that one more must save."""


def expanded(problem: Problem, config: TrainConfig) -> ExpandedValue:
    """The value function about at most ``members`` of the optima that ``candidates`` initial states lead to.

    That of a run that is resumed is to be filled from its checkpoint, that of ``begin_from`` is taken as it is.

    Raises:
        ValueError: if no optimum was found, or ``begin_from`` does not fit.
    """
    if config.resume and config.out is not None:  # the optima are in the checkpoint, too
        tensors, record = read_store(config.out, "checkpoint")
        from_record(config.out, lambda: check_sizes(record["value"], problem, tensors, str(config.out)))
        value = from_record(config.out, lambda: restore_value(problem, record["value"]))
        assert isinstance(value, ExpandedValue)
        return value
    if config.begin_from is not None:
        return gone_on_with(problem, config)
    with searching("optima to begin with"):
        known = families(problem, config.candidates)
    probes = problem.sample_initial_state(PROBES, torch.Generator().manual_seed(SEED + 2)).double()
    whole = expand_agents(problem, known)
    chosen = choose(problem, whole, probes, config.members)
    return ExpandedValue(problem, chosen, config.agent_width, config.agent_rank, config.seed)


def gone_on_with(problem: Problem, config: TrainConfig) -> ExpandedValue:
    """The value function of the policy ``begin_from``, expansions and network, in the precision of training.

    Raises:
        ValueError: if that policy is of another problem, has no network on expansions, or one of another size.
    """
    policy = ImplicitPolicy.load(str(config.begin_from), device="cpu")
    value, wanted = policy.value, {"agent_width": config.agent_width, "agent_rank": config.agent_rank}
    if not isinstance(value, ExpandedValue) or value.network is None:
        raise ValueError(
            f"{config.begin_from} has no network on expansions; expected a policy trained with anchor='expansion'"
        )
    if problem_record(policy.problem) != problem_record(problem):
        raise ValueError(
            f"{config.begin_from} is of {policy.problem}; expected one of {problem}, whose optima these are"
        )
    if (found := {key: value.config[key] for key in wanted}) != wanted:
        raise ValueError(f"{config.begin_from} has {found}; expected {wanted}, as the configuration says")
    return value.to(torch.get_default_dtype())


def families(problem: Problem, candidates: int, seconds: float | None = None) -> ReferenceTrajectory:
    """Different optima from the mean initial state, cheapest first, and those from ``candidates`` draws of rho_0.

    Those that converged; where none did, what was found.

    The optima of single states are better guesses for the mean one than random ones: what a state's own place decides
    (who passes whom on which side) is decided there in many ways. And each is sought again from the feedback along all
    the others (``agreed``).

    Args:
        candidates: how many draws.
        seconds: for each of the three searches; then the best so far is taken.

    Raises:
        ValueError: if there is none.
    """
    z0 = problem.sample_initial_state(candidates, torch.Generator().manual_seed(SEED + 1)).double()
    if interchangeable(problem):  # then the order of the agents is no matter of families, and the mean one a tie
        return sound(agreed(problem, searched(problem, z0, seconds=seconds), seconds))
    mean = mean_state(problem)
    low, high = problem.control_bounds(mean)
    # among agents each state is solved for itself, from rest: neighbours' routes would be fewer
    rest: Controller = lambda t, z: torch.zeros_like(low).clamp(low, high).expand(len(z), -1)  # noqa: E731
    crowd, own = problem.state_block < problem.state_dim, own_guess(problem, mean)
    single = solve_optimum(
        problem, torch.cat([mean, z0]), own if own is not None else rest if crowd else None, seconds=seconds
    )
    ways = played(single.u[:, :WAYS])
    found = solve_optimum(problem, mean.expand(min(WAYS, candidates + 1), -1), ways, seconds=seconds)
    found = found.rows(found.cost.nan_to_num(torch.inf, torch.inf).argsort())
    fresh = torch.cat([torch.ones(1, dtype=torch.bool), found.cost.diff() > SAME * found.cost[0].abs()])
    drawn = agreed(problem, single.rows(torch.arange(1, len(single.status))), seconds, found)
    return sound(found.rows(fresh.nonzero().ravel()).joined(drawn))


def sound(known: ReferenceTrajectory) -> ReferenceTrajectory:
    """Those that converged: about a path that is no optimum an expansion sends the argmax away from it.

    Raises:
        ValueError: if there is none, not even an unfinished one.
    """
    good = known.converged if known.converged.any() else known.cost.isfinite()
    if not good.any():
        raise ValueError(f"no open-loop optimum from {known.z[0, 0].tolist()}: {known.status[0]}")
    return known.rows(good.nonzero().ravel())


def excess(cost: Tensor, best: Tensor) -> Tensor:
    """(J - J_best) / |J_best|, AWFUL at most; where J_best is not finite, 0 is what comes down at all."""
    known = best.isfinite()
    usual = best.abs()[known].mean() if known.any() else best.new_ones(())
    size = best.abs().where(known, usual).clamp_min(1e-6 * usual)
    away = torch.where(known, (cost - best) / size, torch.zeros_like(cost).where(cost.isfinite(), torch.inf))
    return away.nan_to_num(torch.inf, torch.inf).clamp_max(AWFUL)


def member_costs(problem: Problem, expansion: AgentExpansion, z: Tensor) -> Tensor:
    """J_j: what the feedback along each member costs from the initial states z ``(B, n)``, ``(B, M)``.

    Agents that are alike keep the roles that suit them at the beginning.
    """
    return torch.cat(shared(_member_costs, len(z), lambda rows: (problem, expansion, z[rows])))


def _member_costs(problem: Problem, expansion: AgentExpansion, z: Tensor) -> Tensor:
    value = ExpandedValue(problem, expansion).double()
    return flown(problem, value, 0.0, z, value.everyone(0.0, z))


@torch.no_grad()
def choose(problem: Problem, expansion: AgentExpansion, z0: Tensor, members: int) -> AgentExpansion:
    """The members, at most so many, with which the feedback along them flies ``z0`` best: greedily.

    What an expansion promises far from its optimum is not to be believed; what a flight costs is. Those are tried first
    of which some states, flown along them alone, would gain most.
    """
    if expansion.state.shape[1] == 1:
        return expansion
    costs = member_costs(problem, expansion, z0)
    best = costs.amin(-1)
    alone = excess(costs, best.unsqueeze(-1))  # (B, M)

    def together(rows: list[int]) -> Tensor:
        value = ExpandedValue(problem, expansion.members(torch.tensor(rows))).double()
        return excess(rollout(problem, lambda t, z: value.feedback(t, z), z0).cost, best)

    chosen = [int(alone.mean(0).argmin())]
    now = alone[:, chosen[0]]
    while len(chosen) < min(members, alone.shape[1]):
        gain = (now.unsqueeze(-1) - alone).clamp_min(0.0).mean(0)
        gain[chosen] = 0.0
        tried = [j for j in gain.argsort(descending=True)[:TRIED].tolist() if gain[j] > 0]
        after = {j: together([*chosen, j]) for j in tried}
        if not after:
            break
        j = min(after, key=lambda j: float(after[j].mean()))
        if not after[j].mean() < now.mean() - WORTH:
            break
        chosen.append(j)
        now = after[j]
    return expansion.members(torch.tensor(chosen))
