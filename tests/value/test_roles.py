"""Agents that are alike: every order of them has the same optimum, and the best order speaks."""

from __future__ import annotations

import itertools

import pytest
import torch

from pontryagin import ImplicitPolicy, MultiBicycle, Problem, Quadrotor, rollout
from pontryagin.controllers.optimum import expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue
from pontryagin.controllers.value.roles import assigned, interchangeable, reordered, restored


class Priced(MultiBicycle):
    """The first rider's heading costs more."""

    def running_cost(self, t, z, u):
        return super().running_cost(t, z, u) + 1e-3 * z[..., 2] ** 2


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (MultiBicycle(num_agents=3), True),
        (MultiBicycle(num_agents=100), True),
        (MultiBicycle(num_agents=3, targets=((0.0, 1.0), (1.0, 1.0), (1.0, 0.0))), False),
        (MultiBicycle(num_agents=5), False),
        (MultiBicycle(num_agents=4, layout="swap"), False),
        (Priced(num_agents=3), False),
        (MultiBicycle(num_agents=1), False),
        (Quadrotor(), False),
    ],
)
def test_which_agents_are_alike(problem: Problem, expected: bool) -> None:
    assert interchangeable(problem) is expected


def test_orders() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 8, generator=generator)
    order = torch.stack([torch.randperm(4, generator=generator) for _ in range(5)])
    turned = reordered(x, order, 2)
    assert torch.equal(turned[2, 2:4], x[2, 2 * order[2, 1] : 2 * order[2, 1] + 2])
    assert torch.equal(restored(turned, order, 2), x)
    cost = torch.randn(5, 4, 4, generator=generator)
    for table, found in zip(cost, assigned(cost), strict=True):
        best = min(itertools.permutations(range(4)), key=lambda p: sum(float(table[p[j], j]) for j in range(4)))
        assert tuple(found.tolist()) == best


@pytest.fixture(scope="module")
def three() -> tuple[MultiBicycle, ExpandedValue, torch.Tensor]:
    problem = MultiBicycle(num_agents=3, steps=12)
    z = problem.sample_initial_state(6, torch.Generator().manual_seed(0)).double()
    expansion = expand_agents(problem, solve_optimum(problem, z[:2]))
    return problem, ExpandedValue(problem, expansion, width=4, seed=1).double(), z


def test_phi_does_not_know_the_order(three: tuple[MultiBicycle, ExpandedValue, torch.Tensor]) -> None:
    problem, value, z = three
    assert value.network is not None
    torch.nn.init.normal_(value.network.output, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([2, 0, 1]).expand(len(z), -1)
    w = reordered(z, order, 4)
    t = torch.tensor(0.77).double()
    torch.testing.assert_close(value(t, z), value(t, w))
    rising, p = value.gradient(t, z)
    torch.testing.assert_close(value.gradient(t, w), (rising, reordered(p, order, 4)))
    torch.testing.assert_close(value.feedback(t, w), reordered(value.feedback(t, z), order, 2))
    policy = ImplicitPolicy(problem, value, hamiltonian="held")
    torch.testing.assert_close(policy(t, w), reordered(policy(t, z), order, 2))


def test_gradient_is_that_of_automatic_differentiation(
    three: tuple[MultiBicycle, ExpandedValue, torch.Tensor],
) -> None:
    _, value, z = three
    z, t = z.clone().requires_grad_(), torch.full((len(z),), 0.77).double().requires_grad_()
    exact = torch.autograd.grad(value(t, z).sum(), (t, z))
    torch.testing.assert_close(value.gradient(t, z), exact)


def test_an_optimum_of_others_is_flown_by_whoever_fits(
    three: tuple[MultiBicycle, ExpandedValue, torch.Tensor],
) -> None:
    """From another order of the same riders the flight is the optimum of the first, whoever had to turn how."""
    problem, value, z = three
    silent = ExpandedValue(problem, expand_agents(problem, solve_optimum(problem, z[:1]))).double()
    turned = reordered(z[:1], torch.tensor([[1, 2, 0]]), 4)
    costs = [rollout(problem, silent.feedback, x).cost for x in (z[:1], turned)]
    torch.testing.assert_close(costs[0], costs[1])
    torch.testing.assert_close(costs[0], silent(0.0, z[:1]))
