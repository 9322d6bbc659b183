"""Members that are flown before one speaks: what is flown, and that the choice is never dearer than any of them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from pontryagin import ImplicitPolicy, MultiBicycle, rollout
from pontryagin.controllers.optimum import AgentExpansion, expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue, flights
from pontryagin.controllers.value.flights import flown
from pontryagin.envs.gallery.van_der_pol import VanDerPol

Known = tuple[VanDerPol, AgentExpansion, Tensor]


@pytest.fixture(scope="module")
def known() -> Known:
    problem = VanDerPol()
    z = problem.sample_initial_state(40, torch.Generator().manual_seed(0)).double()
    return problem, expand_agents(problem, solve_optimum(problem, z[:8])), z[8:]


def every(expansion: AgentExpansion, z: Tensor) -> Tensor:
    return torch.arange(expansion.state.shape[1]).expand(len(z), -1)


def test_costs_are_those_of_flights(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, expansion, z = known
    value = ExpandedValue(problem, expansion).double()
    costs = flown(problem, value, 0.0, z, every(expansion, z))
    alone = ExpandedValue(problem, expansion.members(torch.tensor([5]))).double()
    path = rollout(problem, alone.feedback, z)
    torch.testing.assert_close(costs[:, 5], path.cost)
    monkeypatch.setattr(flights, "ROWS", 16)
    torch.testing.assert_close(flown(problem, value, 0.0, z, every(expansion, z)), costs)
    k = 7  # and later what is left to pay
    late = flown(problem, value, k * problem.time_step, path.z[k], every(expansion, z))
    part = dataclasses.replace(problem, horizon=problem.time_step * k, steps=k)
    spent = rollout(part, alone.feedback, z).running_cost
    torch.testing.assert_close(late[:, 5] + spent, path.cost)


def test_times_may_differ_and_lie_between_steps(known: Known) -> None:
    problem, expansion, z = known
    value = ExpandedValue(problem, expansion).double()
    t = torch.tensor([0.0, 3.3 * problem.time_step] * (len(z) // 2)).double()
    both = flown(problem, value, t, z, every(expansion, z))
    for row in (0, 1):
        one = flown(problem, value, float(t[row]), z[row : row + 1], every(expansion, z[:1]))
        torch.testing.assert_close(both[row : row + 1], one)
    assert torch.equal(flown(problem, value, problem.horizon, z, every(expansion, z))[:, 0], problem.terminal_cost(z))


def test_the_choice_is_never_dearer_than_the_best_of_them(known: Known) -> None:
    """Made anew at each step it may leave a member for another, and only for a cheaper way on."""
    problem, expansion, z = known
    members = expansion.state.shape[1]
    value = ExpandedValue(problem, expansion, flights=members).double()
    costs = flown(problem, value, 0.0, z, every(expansion, z))
    assert torch.equal(value.speaker(0.0, z), costs.argmin(-1))
    found = rollout(problem, value.feedback, z).cost
    bounds = rollout(problem, ExpandedValue(problem, expansion).double().feedback, z).cost
    assert (found <= costs.amin(-1) * (1 + 1e-9)).all() and found.mean() < 0.9 * bounds.mean()
    assert value.config["flights"] == members and ExpandedValue.blank(problem, value.config).config == value.config


def test_both_hamiltonians_listen_to_it(known: Known) -> None:
    problem, expansion, z = known
    value = ExpandedValue(problem, expansion, flights=4).double()
    who = value.speaker(0.0, z)
    assert who is not None and len(who.unique()) > 1
    torch.testing.assert_close(value(0.0, z), value(0.0, z, who))
    for way in ("held", "continuous"):
        policy = ImplicitPolicy(problem, value, hamiltonian=way)  # type: ignore[arg-type]
        for j in who.unique():
            alone = ExpandedValue(problem, expansion.members(j.reshape(1))).double()
            lone = ImplicitPolicy(problem, alone, hamiltonian=way)  # type: ignore[arg-type]
            torch.testing.assert_close(policy(0.0, z)[who == j], lone(0.0, z[who == j]))


def test_agents_that_are_alike_are_flown_in_their_roles() -> None:
    problem = MultiBicycle(num_agents=3, steps=8, wheelbase=0.5)
    z = problem.sample_initial_state(4, torch.Generator().manual_seed(0)).double()
    value = ExpandedValue(problem, expand_agents(problem, solve_optimum(problem, z[:2])), flights=2).double()
    who = value.speaker(0.0, z)
    assert who is not None and who.shape == (4, 4)
    costs = torch.stack([rollout(problem, lambda t, x, j=j: value.feedback(t, x, j), z).cost for j in _alone(z)], -1)
    assert (rollout(problem, value.feedback, z).cost <= costs.amin(-1) * (1 + 1e-6)).all()


def _alone(z: Tensor) -> list[Tensor]:
    return [torch.full((len(z),), j) for j in range(2)]
