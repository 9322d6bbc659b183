"""How far an expansion is believed: costs of members, bounds that flights choose, and optima that agree."""

import dataclasses

import pytest
import torch
from conftest import Offset

from pontryagin import MultiBicycle, rollout
from pontryagin.controllers.optimum import ReferenceTrajectory, expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue
from pontryagin.training.start import agreed, calibrated, excess, flown_excess, member_costs
from pontryagin.training.start.doubt import between


@pytest.fixture(scope="module")
def swapping():
    problem = MultiBicycle(2, layout="swap", steps=12, horizon=2.0, wheelbase=0.5, interaction=20.0)
    z0 = problem.sample_initial_state(6, torch.Generator().manual_seed(3)).double()
    return problem, solve_optimum(problem, z0), problem.sample_initial_state(16, torch.Generator().manual_seed(4))


def test_costs_of_members_are_those_of_their_flights(swapping):
    problem, known, z0 = swapping
    expansion = expand_agents(problem, known)
    costs = member_costs(problem, expansion, z0.double())
    value = ExpandedValue(problem, expansion.members(torch.tensor([5]))).double()
    alone = rollout(problem, lambda t, z: value.feedback(t, z), z0.double())
    torch.testing.assert_close(costs[:, 5], alone.cost)
    k = 5  # and from a step on, what is left to pay
    late = member_costs(problem, expansion, alone.z[k], k)[:, 5]
    part = dataclasses.replace(problem, horizon=problem.time_step * k, steps=k)
    spent = rollout(part, lambda t, z: value.feedback(t, z), z0.double()).running_cost
    torch.testing.assert_close(late + spent, alone.cost)


def test_a_calibrated_expansion_flies_no_worse_than_the_plain_one(swapping):
    problem, known, z0 = swapping
    plain = expand_agents(problem, known)
    best = member_costs(problem, plain, z0.double()).amin(-1)
    found = calibrated(problem, plain, z0.double(), best)
    assert flown_excess(problem, found, z0.double(), best) <= flown_excess(problem, plain, z0.double(), best)
    assert found.doubt.shape == plain.value.shape and (found.doubt >= 0).all() and (found.weight >= 0).all()
    torch.testing.assert_close(found.curvature, plain.curvature)


def test_one_member_is_always_believed():
    problem = Offset()
    z0 = problem.sample_initial_state(5, torch.Generator().manual_seed(0)).double()
    plain = expand_agents(problem, solve_optimum(problem, z0[:1]))
    found = calibrated(problem, plain, z0, member_costs(problem, plain, z0).amin(-1))
    assert ExpandedValue(problem, found).speaker(0.0, z0) is None


def test_optima_that_disagree_are_sought_again(swapping):
    """A state whose optimum was replaced by a worse one of another family gets the better back from its neighbours."""
    problem, known, _ = swapping
    tables = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in vars(known).items()}
    mirrored = known.u[:, 0].clone().unflatten(-1, (2, 2)) * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    steps = iter(mirrored.flatten(-2).unsqueeze(1))
    other = solve_optimum(problem, known.z[0, :1], lambda t, z: next(steps))
    spoiled = ReferenceTrajectory(**tables).replaced(torch.tensor([0]), other)
    mended = agreed(problem, spoiled)
    assert mended.cost[0] <= known.cost[0] * (1 + 1e-6) or mended.cost[0] < other.cost[0]
    assert (mended.cost <= spoiled.cost + 1e-9).all() and mended.converged.all()
    assert torch.equal(mended.z[0], known.z[0])


def test_a_later_member_has_moved_on(swapping):
    problem, known, _ = swapping
    expansion = expand_agents(problem, known)
    later = expansion.later(4)
    assert torch.equal(later.state[0], expansion.state[4]) and torch.equal(later.control[0], expansion.control[4])
    assert torch.equal(later.state[-1], expansion.state[-1]) and later.power == expansion.power


def test_tables_between_their_rows():
    table = between(torch.tensor([[0.0], [2.0]]), [0, 4], 6)
    torch.testing.assert_close(table.ravel(), torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0]))
    assert torch.equal(between(torch.tensor([[3.0]]), [0], 2).ravel(), torch.full((3,), 3.0))


def test_excess_is_relative_and_bounded():
    best = torch.tensor([2.0, -4.0, 1e-12, 1.0])
    cost = torch.tensor([3.0, -2.0, 1.0, torch.nan])
    torch.testing.assert_close(excess(cost, best), torch.tensor([0.5, 0.5, 20.0, 20.0]))
