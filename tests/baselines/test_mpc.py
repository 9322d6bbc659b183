"""Model predictive control: on its model it is the optimum, a batch is each of its states, and IPOPT agrees."""

import math

import pytest
import torch
from conftest import Pendulum

from pontryagin import MultiBicycle, Quadrotor, RecedingHorizon, rollout, solve_optimum, solve_reference

METHODS = ["ddp", "ipopt"]


def changed(base, **methods):
    return type("Changed", (base,), methods)()


def states(problem, count=4, seed=0):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(seed)).double()


@pytest.fixture(params=METHODS)
def method(request):
    if request.param == "ipopt":
        pytest.importorskip("casadi")
    return request.param


def test_it_is_the_open_loop_optimum_where_nothing_disturbs_it(pendulum, method):
    z0 = states(pendulum, 3)
    best = solve_optimum(pendulum, z0)
    for every, solves in ((1, 24), (3, 9), (100, 3)):
        mpc = RecedingHorizon(pendulum, every=every, method=method)
        path = rollout(pendulum, mpc, z0)
        torch.testing.assert_close(path.cost, best.cost, rtol=1e-7, atol=0)
        assert (mpc.solves, mpc.failures) == (solves, 0) and mpc.seconds > 0
    again = rollout(pendulum, mpc, z0.flip(0))  # t = 0 begins anew
    torch.testing.assert_close(again.cost.flip(0), path.cost, rtol=1e-8, atol=0)
    late = RecedingHorizon(pendulum, method=method)(best.t[5], best.z[5])
    torch.testing.assert_close(late, best.u[5], rtol=0, atol=1e-6)


def test_it_answers_to_what_it_did_not_expect(pendulum, method):
    """Another plant than the model: solving again is better than holding on to the first plan."""
    plant = changed(Pendulum, dynamics=lambda s, t, z, u: Pendulum.dynamics(s, t, z, u) + 0.3)
    z0 = 0.3 * states(pendulum)
    flown = [rollout(plant, RecedingHorizon(pendulum, every=every, method=method), z0) for every in (1, 4, 8)]
    costs = [path.cost.mean() for path in flown]
    assert solve_optimum(plant, z0).cost.mean() < costs[0] < costs[1] < costs[2]


def disturbed(problem, method, z0, count=None, push=0.02):
    """Flights that are pushed after every step, all alike, and the planner; row by row where ``count`` is 1."""
    generator = torch.Generator().manual_seed(3)
    noise = push * torch.randn(problem.steps, *z0.shape, generator=generator, dtype=z0.dtype)
    controls = []
    for rows in range(len(z0)) if count == 1 else [slice(None)]:
        mpc, pushes = RecedingHorizon(problem, method=method), iter(noise)
        own = slice(rows, rows + 1) if count == 1 else rows
        controls.append(rollout(problem, lambda t, z, m=mpc, p=pushes, o=own: m(t, z + next(p)[o]), z0[own]).u)
    return torch.cat(controls, 1)


def test_a_batch_is_each_of_its_states(pendulum):
    z0 = states(pendulum, 3)
    batch, single = disturbed(pendulum, "ddp", z0), disturbed(pendulum, "ddp", z0, 1)
    torch.testing.assert_close(batch, single, rtol=0, atol=1e-6)


@pytest.mark.parametrize("problem", [Pendulum(), Quadrotor(steps=8)], ids=["pendulum", "quadrotor"])
def test_ipopt_agrees_under_pushes(problem):
    pytest.importorskip("casadi")
    z0 = states(problem, 2)
    found, check = (disturbed(problem, method, z0) for method in METHODS)
    torch.testing.assert_close(found, check, rtol=1e-6, atol=2e-6)


def test_agents_that_meet_and_times_of_their_own():
    problem = MultiBicycle(num_agents=2, steps=10, wheelbase=0.5)
    z0 = states(problem, 2)
    best = solve_optimum(problem, z0)
    mpc = RecedingHorizon(problem)
    torch.testing.assert_close(mpc(0.0, z0), best.u[0], rtol=0, atol=1e-5)
    u = mpc(best.t[[3, 6]], torch.stack([best.z[3, 0], best.z[6, 1]]))
    torch.testing.assert_close(u, torch.stack([best.u[3, 0], best.u[6, 1]]), rtol=0, atol=1e-5)
    assert (mpc.solves, mpc.failures) == (4, 0)


def test_costs_that_depend_on_time():
    """Late in the horizon the same clock runs: L = u² + (z - sin 3t)²."""
    problem = changed(
        Pendulum, running_cost=lambda s, t, z, u: (u * u).sum(-1) + 9 * (z[..., 0] - torch.sin(3 * t)) ** 2
    )
    best = solve_optimum(problem, states(problem, 2))
    torch.testing.assert_close(RecedingHorizon(problem)(best.t[4], best.z[4]), best.u[4], rtol=0, atol=1e-6)


def test_it_keeps_its_plan_when_ipopt_fails(pendulum):
    pytest.importorskip("casadi")
    z0 = states(pendulum, 1)
    mpc = RecedingHorizon(pendulum, method="ipopt")
    plan = solve_reference(pendulum, z0)
    mpc(plan.t[0], z0)
    mpc.planner._warm = RecedingHorizon(pendulum, method="ipopt", max_iterations=1).planner._warm
    u = mpc(plan.t[1], z0 + 1.0)
    assert mpc.failures == 1
    torch.testing.assert_close(u, plan.u[1], rtol=0, atol=1e-6)
    hasty = RecedingHorizon(pendulum, method="ipopt", max_iterations=1)
    path = rollout(pendulum, hasty, z0)
    assert hasty.failures == hasty.solves == 8 and path.cost.isfinite().all()


def test_a_descent_cut_short_counts_as_a_failure_and_is_followed(pendulum):
    z0 = 3 * states(pendulum, 2)
    hasty = RecedingHorizon(pendulum, max_iterations=1)
    path = rollout(pendulum, hasty, z0)
    assert 2 <= hasty.failures < hasty.solves == 16  # later calls go on where the first was cut short
    rest = rollout(pendulum, lambda t, z: torch.zeros(len(z), 2).double(), z0)
    assert (path.cost < rest.cost).all()
    with pytest.raises(ValueError, match="index 0"):
        hasty(0.0, z0 * math.nan)


def test_where_no_number_comes_back_the_plan_stays(method):
    problem = changed(Pendulum, running_cost=lambda s, t, z, u: (u * u).sum(-1) + torch.sqrt(z[..., 0] + 3))
    mpc = RecedingHorizon(problem, method=method)
    sane, lost = torch.tensor([[1.0, 0.0]]), torch.tensor([[-9.0, 0.0]])
    assert torch.equal(mpc(0.0, lost), torch.zeros(1, 2)) and mpc.failures == 1
    first = mpc(0.0, sane)
    path = solve_optimum(problem, sane)
    torch.testing.assert_close(first, path.u[0].float())
    torch.testing.assert_close(mpc(path.t[1], lost), path.u[1].float(), rtol=0, atol=1e-5)
    assert mpc.failures == 2


def test_starts_and_bad_arguments(pendulum, method):
    mpc = RecedingHorizon(pendulum, starts=3, every=8, method=method)
    mpc(0.0, states(pendulum, 2))
    assert mpc.solves == 6
    for wrong in ({"every": 0}, {"max_iterations": 2.5}, {"starts": True}, {"hessian": "none"}, {"method": "sqp"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RecedingHorizon(pendulum, **wrong)
