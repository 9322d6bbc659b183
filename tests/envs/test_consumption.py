"""Households at one price: against loops, Merton's closed form, brute force, symmetry and IPOPT."""

import math

import gymnasium
import pytest
import torch

from pontryagin import make_problem, solve_argmax, solve_optimum, solve_reference
from pontryagin.envs.consumption import Consumption

NOW = torch.tensor(1.5, dtype=torch.float64)


def drawn(problem, batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = problem.sample_initial_state(batch, generator).double()
    return z, 0.3 + torch.rand(batch, problem.households, generator=generator).double()


def test_the_model_is_that_of_loops():
    problem = Consumption(3, pressure=0.7, bequest=2.0, aversion=3.0)
    z, c = drawn(problem)
    z[1, 0], z[2, 1] = 0.2, -0.1
    f, cost, end = problem.dynamics(NOW, z, c), problem.running_cost(NOW, z, c), problem.terminal_cost(z)
    for b in range(3):
        price = 1 + 0.7 * sum(c[b].tolist()) / 3
        spent, left = 0.0, 0.0
        for i, r in enumerate((0.02, 0.04, 0.06)):
            w, u = z[b, i].item(), c[b, i].item()
            assert f[b, i].item() == pytest.approx(r * w - price * u, rel=1e-12)
            spent += math.exp(-0.045) * u**-2 / 2 / 3
            below = 2.0 + 8.0 * (0.5 - w) + 0.5 * 3 * 16 * (0.5 - w) ** 2
            left += 2.0 * math.exp(-0.3) * (w**-2 / 2 if w > 0.5 else below) / 3
        assert cost[b].item() == pytest.approx(spent, rel=1e-12) and end[b].item() == pytest.approx(left, rel=1e-12)


def merton(problem, w0):
    """u ``(K, B, N)`` and J of the optimum without coupling, exact for held controls and Runge-Kutta's steps."""
    dt, steps, a = problem.time_step, problem.steps, problem.aversion
    x = problem.returns(w0) * dt
    grow = 1 + x + x**2 / 2 + x**3 / 6 + x**4 / 24
    cost = dt * (1 + x / 2 + x**2 / 6 + x**3 / 24)
    t = dt * torch.arange(steps).double()
    fade = torch.exp(-problem.discount * torch.stack([t, t + dt / 2, t + dt]))
    weight = dt / 6 * (fade[0] + 4 * fade[1] + fade[2])
    last = problem.bequest * math.exp(-problem.discount * problem.horizon)
    # λ_{k+1} = grow^(K-1-k) λ_K; weight c^-a = λ_{k+1} cost; last w_K^-a = λ_K: all in units of s = λ_K^(-1/a)
    price = cost * grow ** (steps - 1 - torch.arange(steps).double().unsqueeze(-1))
    share = (weight.unsqueeze(-1) / price) ** (1 / a)
    wealth = last ** (1 / a) * grow**-steps + (
        share * cost * grow ** -(1 + torch.arange(steps).double().unsqueeze(-1))
    ).sum(0)
    s = w0 / wealth
    u = share.unsqueeze(1) * s
    paid = (weight[:, None, None] * problem.disutility(u, 0.05)).sum(0) + last * problem.disutility(
        last ** (1 / a) * s, 0.5
    )
    return u, paid.mean(-1)


@pytest.mark.parametrize("aversion", [2.0, 3.5])
def test_without_coupling_it_is_mertons(aversion):
    problem = Consumption(4, pressure=0.0, aversion=aversion)
    z0, _ = drawn(problem)
    u, cost = merton(problem, z0)
    found = solve_optimum(problem, z0)
    assert found.converged.all() and u.min() > 0.05 and u.max() < 5
    torch.testing.assert_close(found.cost, cost, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.u, u, rtol=1e-4, atol=1e-5)


def test_ipopt_finds_the_coupled_optimum_too():
    pytest.importorskip("casadi")
    problem = Consumption(3, steps=10)
    z0, _ = drawn(problem, 2)
    found, check = solve_optimum(problem, z0), solve_reference(problem, z0)
    assert found.converged.all() and check.converged.all()
    torch.testing.assert_close(found.cost, check.cost, rtol=1e-7, atol=0)
    torch.testing.assert_close(found.u, check.u, rtol=1e-3, atol=1e-3)
    alone = solve_optimum(Consumption(3, steps=10, pressure=0.0), z0)
    assert (found.cost > 1.2 * alone.cost).all(), "the price that all share is felt"


def test_the_argmax_is_that_of_brute_force():
    problem = Consumption(2)
    z, _ = drawn(problem)
    p = -torch.tensor([[0.3, 0.5], [0.05, 0.2], [2.0, 0.01]]).double()
    found = solve_argmax(problem, NOW, z, p, max_iterations=30)
    assert found.converged.all()
    axis = torch.linspace(0.05, 5, 991, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    for b in range(3):
        h = -(problem.dynamics(NOW, z[b : b + 1], grid) * p[b]).sum(-1) - problem.running_cost(NOW, z[b : b + 1], grid)
        best = grid[h.argmax()]
        torch.testing.assert_close(found.control[b], best, rtol=0, atol=0.006)


def test_households_of_one_return_may_change_places():
    problem = Consumption(5, low_return=0.04, high_return=0.04)
    z, c = drawn(problem)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(problem.dynamics(NOW, z, c)[:, order], problem.dynamics(NOW, z[:, order], c[:, order]))
    torch.testing.assert_close(problem.running_cost(NOW, z, c), problem.running_cost(NOW, z[:, order], c[:, order]))


def test_the_bequest_has_two_derivatives_at_the_floor():
    problem = Consumption(1)
    near = torch.tensor([0.5 - 1e-9, 0.5 + 1e-9], dtype=torch.float64).unsqueeze(-1)
    slope = torch.func.vmap(torch.func.grad(lambda x: problem.terminal_cost(x.unsqueeze(0)).squeeze(0)))(near)
    bend = torch.func.vmap(torch.func.hessian(lambda x: problem.terminal_cost(x.unsqueeze(0)).squeeze(0)))(near)
    assert slope[0].item() == pytest.approx(slope[1].item(), rel=1e-6)
    assert bend[0].item() == pytest.approx(bend[1].item(), rel=1e-6)


def test_debt_is_no_success_and_a_frame_is_drawn():
    problem = make_problem("consumption")
    z = problem.sample_initial_state(2, torch.Generator().manual_seed(0))
    z[1, 7] = -0.5
    assert problem.terminal_error(z).tolist() == [0.0, pytest.approx(0.01)]
    env = gymnasium.make("pontryagin/Consumption-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.std() > 10 and env.unwrapped.problem.control_dim == 100
    env.close()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"households": 0}, "households is 0"),
        ({"households": 20_000}, "at most 10000"),
        ({"aversion": 1.0}, "aversion is 1.0; expected a number above 1"),
        ({"floor": 0.0}, "floor is 0.0; expected a positive"),
        ({"pressure": -0.1}, "pressure is -0.1; expected a number >= 0"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Consumption(**fields)
