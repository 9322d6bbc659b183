"""Expansions by agent about a few optima: tables, the minimum over them, natural coordinates."""

import dataclasses

import pytest
import torch
from conftest import Offset

from pontryagin import ImplicitPolicy, MultiBicycle, Quadrotor, solve_reference
from pontryagin.controllers.optimum import AgentExpansion, expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue
from pontryagin.envs.gallery import MinFuel
from pontryagin.training.start import member_costs


def invented(problem, members, seed=0):
    """An expansion of random numbers, of the right shape."""
    generator = torch.Generator().manual_seed(seed)
    blank = AgentExpansion.blank(problem, members)
    drawn = {
        f.name: torch.randn(getattr(blank, f.name).shape, generator=generator).double()
        for f in dataclasses.fields(blank)
    }
    bend = drawn.pop("curvature")
    return AgentExpansion(**drawn, curvature=bend @ bend.mT + torch.eye(bend.shape[-1]).double())


def woken(problem, members):
    value = ExpandedValue(problem, invented(problem, members), width=5, rank=3).double()
    with torch.no_grad():
        for weight in value.network.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    return value


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("batched", [False, True])
def test_the_gradient_is_that_of_autograd(members, batched):
    problem = MultiBicycle(2, steps=6)
    value = woken(problem, members)
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(1)).double()
    t = torch.tensor([0.1, 1.0, 2.5, 3.2, 3.9] if batched else 1.3, dtype=torch.float64)
    tracked_t, tracked_z = t.expand(5).clone().requires_grad_(), z.clone().requires_grad_()
    slopes = torch.autograd.grad(value(tracked_t, tracked_z).sum(), (tracked_t, tracked_z))
    found = value.gradient(t, z)
    torch.testing.assert_close(found, slopes)
    assert value.network is not None and (value(t, z) - value(t.expand(5), z)).abs().max() == 0


def test_it_is_the_least_of_its_members():
    problem = MultiBicycle(2, steps=6)
    whole = invented(problem, 3)
    parts = [ExpandedValue(problem, whole.members(torch.tensor([j]))).double() for j in range(3)]
    z = torch.randn(7, 8, generator=torch.Generator().manual_seed(1)).double()
    both = ExpandedValue(problem, whole).double()
    torch.testing.assert_close(both(0.7, z), torch.stack([part(0.7, z) for part in parts]).amin(0))
    best = torch.stack([part(0.7, z) for part in parts]).argmin(0)
    played = torch.stack([part.feedback(0.7, z) for part in parts])
    torch.testing.assert_close(both.feedback(0.7, z), played[best, torch.arange(7)])
    assert len(best.unique()) > 1


def test_one_unit_of_natural_coordinates_costs_one_half():
    problem = Quadrotor(steps=6)
    expansion = invented(problem, 1)
    value = ExpandedValue(problem, expansion).double()
    away = torch.linalg.solve(value.root[2, 0, 0].mT, torch.eye(12).double()[:, :3]).mT  # s = e_1, e_2, e_3
    t, at = 2 * problem.time_step, expansion.state[2]
    excess = value(t, at + away) - value(t, at) - away @ expansion.costate[2, 0]
    torch.testing.assert_close(excess, torch.full((3,), 0.5).double())


def test_the_expansion_is_that_of_optimal_costs():
    """V(z0 + δ) by IPOPT, to second order in δ; a bound is active on the way."""
    problem = Quadrotor(steps=30)
    z0 = torch.zeros(1, 12).double()
    path = solve_reference(problem, z0)
    expansion = expand_agents(problem, path)
    value = ExpandedValue(problem, expansion).double()
    assert (path.u[:, 0, 0] < 1e-6).any()
    way = torch.randn(1, 12, generator=torch.Generator().manual_seed(5)).double()
    for size in (3e-3, 1e-3):
        exact = solve_reference(problem, z0 + size * way).cost - path.cost
        torch.testing.assert_close(value(0.0, z0 + size * way) - value(0.0, z0), exact, rtol=10 * size, atol=1e-7)


def test_a_held_control_gives_way_where_little_pushes_it(monkeypatch):
    """Bang-bang: without that no feedback moves a switch. P is that of controls that stay."""
    problem = MinFuel()
    path = solve_optimum(problem, problem.sample_initial_state(12, torch.Generator().manual_seed(1)))
    soft = expand_agents(problem, path)
    monkeypatch.setattr("pontryagin.controllers.optimum.by_agent.BARRIER", 1e-30)
    hard = expand_agents(problem, path)
    torch.testing.assert_close(soft.curvature, hard.curvature)
    on_bound = (path.u < 1e-6) | (path.u > 1 - 1e-6)
    assert on_bound.double().mean() > 0.8 and hard.gain.squeeze(2)[on_bound].abs().max() < 1e-12
    assert torch.equal(soft.gain.squeeze(2)[~on_bound], hard.gain.squeeze(2)[~on_bound])
    z0 = problem.sample_initial_state(32, torch.Generator().manual_seed(2)).double()
    costs = [member_costs(problem, x, z0).amin(-1).mean() for x in (soft, hard)]
    assert costs[0] < 0.5 * costs[1]


def test_riccati_for_a_linear_quadratic_problem():
    problem = Offset()
    expansion = expand_agents(problem, solve_reference(problem, torch.tensor([[2.0, -1.0], [0.5, 0.5]])))
    dt, p = problem.time_step, 10 * torch.eye(2).double()
    a, b = torch.tensor([[1.0, dt], [0.0, 1.0]]).double(), torch.tensor([[dt * dt / 2], [dt]]).double()
    for k in reversed(range(problem.steps)):
        gain = torch.linalg.solve(dt + b.T @ p @ b, b.T @ p @ a)
        p = a.T @ p @ (a - b @ gain)
        torch.testing.assert_close(expansion.gain[k, :, 0], -gain.expand(2, 1, 2))
        torch.testing.assert_close(expansion.curvature[k, :, 0], p.expand(2, 2, 2))


def test_refusals():
    problem = Offset()
    path = solve_reference(problem, torch.tensor([[2.0, -1.0]]))
    with pytest.raises(
        ValueError, match="the reference has 20 steps of 2 states and 1 controls; Quadrotor has 160 of 12"
    ):
        expand_agents(Quadrotor(), path)
    with pytest.raises(ValueError, match="the expansion has 20 steps of 2 states; expected 160 of 12"):
        ExpandedValue(Quadrotor(), expand_agents(problem, path))


def test_the_least_bound_speaks():
    problem = MultiBicycle(2, targets=((1.0, 1.0), (1.0, 0.5)), steps=6)
    whole = invented(problem, 4)
    value = ExpandedValue(problem, whole).double()
    z = torch.randn(9, 8, generator=torch.Generator().manual_seed(2)).double()
    k, bound = 3, torch.empty(9, 4).double()
    for j in range(4):
        d = z - whole.state[k, j]
        own = d.unflatten(-1, (2, 4))
        bent = torch.einsum("bni,nij,bnj->b", own, whole.curvature[k, j], own)
        bound[:, j] = whole.value[k, j] + d @ whole.costate[k, j] + 1.5 * bent
    assert torch.equal(value.speaker(k * problem.time_step, z), bound.argmin(-1))


def test_without_iterations_the_feedback_is_played_whatever_came_before():
    problem = MultiBicycle(2, steps=6)
    value = ExpandedValue(problem, invented(problem, 3)).double()
    policy = ImplicitPolicy(problem, value, hamiltonian="held", max_iterations=0)
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        warm = policy.solve(0.7, z, u0=torch.zeros(5, 4).double()).control
        torch.testing.assert_close(warm, value.feedback(0.7, z))
        torch.testing.assert_close(policy(0.7, z), value.feedback(0.7, z))
