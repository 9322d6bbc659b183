"""What members cost when they are flown, and optima that agree."""

import pytest
import torch

from pontryagin import MultiBicycle, rollout
from pontryagin.controllers.optimum import ReferenceTrajectory, expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue
from pontryagin.training.start import agreed, excess, member_costs


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
    assert torch.equal(later.state[-1], expansion.state[-1])


def test_excess_is_relative_and_bounded():
    best = torch.tensor([2.0, -4.0, 1e-12, 1.0])
    cost = torch.tensor([3.0, -2.0, 1.0, torch.nan])
    torch.testing.assert_close(excess(cost, best), torch.tensor([0.5, 0.5, 20.0, 20.0]))


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_one_state_that_nothing_flies_does_not_hide_the_others(bad):
    best = torch.tensor([2.0, bad, bad])
    torch.testing.assert_close(excess(torch.tensor([3.0, 5.0, torch.inf]), best), torch.tensor([0.5, 0.0, 20.0]))
    nothing = torch.full((2,), bad)
    torch.testing.assert_close(excess(torch.tensor([1.0, torch.nan]), nothing), torch.tensor([0.0, 20.0]))
    many = torch.tensor([[3.0, 4.0], [5.0, torch.inf], [torch.inf, 1.0]])  # by flight
    torch.testing.assert_close(excess(many, best.unsqueeze(-1)), torch.tensor([[0.5, 1.0], [0.0, 20.0], [20.0, 0.0]]))
