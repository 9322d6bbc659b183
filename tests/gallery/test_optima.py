"""The optima of the gallery: they are found, and they are those that were published."""

import numpy as np
import pytest
import torch

from pontryagin import make_problem, solve_optimum, solve_reference
from pontryagin.envs.checking import check_functions
from pontryagin.envs.gallery import (
    CartPole,
    Dubins,
    Epidemic,
    Goddard,
    Harvest,
    MinFuel,
    Pendulum,
    ReactionDiffusion,
    Rocket,
    VanDerPol,
)
from pontryagin.envs.penalty import violation

NAMES = {
    "dubins", "van_der_pol", "epidemic", "reactor", "harvest", "rocket", "burgers", "reaction_diffusion", "pendulum",
    "cartpole", "goddard", "min_fuel",
}  # fmt: skip


def states(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_two_optima_converge(name):
    problem = make_problem(name)
    check_functions(problem)
    z0 = problem.sample_initial_state(4, torch.Generator().manual_seed(0)).double()[1:3]
    optimum = solve_optimum(problem, z0)
    assert optimum.converged.all(), optimum.status


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NAMES - {"harvest", "pendulum", "goddard"}))
def test_ipopt_finds_them_too(name):
    pytest.importorskip("casadi")
    problem = make_problem(name)
    z0 = problem.sample_initial_state(1, torch.Generator().manual_seed(0)).double()
    check = solve_reference(problem, z0)
    begun = iter(check.u)  # of several routes around the discs each search may take its own
    optimum = solve_optimum(problem, z0, lambda t, z: next(begun))
    assert optimum.converged.all() and check.converged.all()
    torch.testing.assert_close(optimum.cost, check.cost, rtol=1e-6, atol=0)


def test_van_der_pol_costs_what_propt_says():
    assert solve_optimum(VanDerPol(), states([0, 1])).cost.item() == pytest.approx(2.867259538, rel=6e-4)


def test_cartpole_costs_about_what_dymos_says():
    optimum = solve_optimum(CartPole(), states([0, 0, 0, 0]))
    assert (optimum.running_cost + 2 * optimum.terminal_cost).item() == pytest.approx(58.884, rel=0.02)


def test_harvest_reinvests_until_one_growth_before_the_end():
    z0 = states([100], [30])
    optimum = solve_optimum(Harvest(), z0)
    torch.testing.assert_close(optimum.cost, -z0[:, 0] * np.exp(4.0), rtol=1e-4, atol=0)
    invested = optimum.u[..., 0]
    assert (invested[:39] > 0.99).all() and (invested[41:] < 0.01).all()


def test_harvest_with_a_discount_switches_earlier():
    optimum = solve_optimum(Harvest(discount=0.1), states([100]))
    switch = 5 + np.log(1 - 0.1) / 0.1
    assert optimum.u.sum().item() * 0.1 == pytest.approx(switch, abs=0.06)


def test_min_fuel_is_bang_off_bang():
    z0 = states([1.75, 0], [-1, 0])
    exact = 4 - (16 - 4 * z0[:, 0].abs()).sqrt()
    optimum = solve_optimum(MinFuel(), z0)
    assert optimum.converged.all()
    torch.testing.assert_close(optimum.running_cost + 2 * optimum.terminal_cost, exact, rtol=3e-3, atol=0)
    round = solve_optimum(MinFuel(rounding=0.02), z0)
    assert round.converged.all()
    torch.testing.assert_close(round.running_cost + 2 * round.terminal_cost, exact, rtol=0.02, atol=0)
    assert (round.u.prod(-1) < 1e-3).all(), "one of the two thrusts is 0"


def test_dubins_keeps_out_of_the_discs_and_bends_like_an_elastica():
    problem = Dubins()
    optimum = solve_optimum(problem, states([0, 0, 0], [0, -0.5, 0.3]))
    assert violation(problem.excess, optimum).worst.max() < 0.05
    free = Dubins(obstacles=0.0, steps=120)
    path = solve_optimum(free, states([0, 0.5, 0.3], [0.2, -0.4, -0.6]))
    assert path.converged.all() and (path.u.abs() < 2).all()
    # with p constant, H = -p·f - L does not change along it, and its dependence on θ is what bends it
    p = path.costate[:-1]
    assert (p[..., :2] - p[:1, :, :2]).abs().max() < 1e-6
    heading = path.z[:-1, :, 2:]
    f = torch.cat([torch.cos(heading), torch.sin(heading), path.u], -1)
    h = -(p * f).sum(-1) - 0.1 * (path.u**2).sum(-1)
    assert (h.amax(0) - h.amin(0)).max() < 0.02 * p[..., :2].norm(dim=-1).max()


def sweep(problem, z0, rounds=40):
    """The forward-backward sweep of Lenhart and Workman: z forwards, λ backwards, u from ∂H/∂u = 0, averaged."""
    dt, u = problem.time_step, torch.zeros(problem.steps, 1).double()
    for _ in range(rounds):
        z = [z0]
        for v in u:
            z.append(z[-1] + dt * problem.dynamics(None, z[-1] + 0.5 * dt * problem.dynamics(None, z[-1], v), v))
        costate, found = torch.zeros_like(z0), []
        for x, v in zip(z[:0:-1], u.flip(0), strict=True):
            x = x.detach().requires_grad_()
            h = problem.running_cost(None, x, v) + (costate * problem.dynamics(None, x, v)).sum(-1)
            costate = costate + dt * torch.autograd.grad(h.sum(), x)[0]
            found.append((costate[:, :1] * x[:, :1] / 2).detach().clamp(0, 0.9)[0])
        u = 0.5 * (u + torch.stack(found[::-1]))
    return u


def test_epidemic_is_what_the_sweep_finds():
    problem, z0 = Epidemic(steps=160), states([1000, 100, 50, 1165])
    optimum, swept = solve_optimum(Epidemic(), z0), sweep(problem, z0)
    average = swept.reshape(80, 2).mean(1)
    assert (optimum.u[:, 0, 0] - average).abs().mean() < 0.01 and optimum.converged.all()


def test_reaction_diffusion_without_reaction_is_riccatis():
    problem = ReactionDiffusion(reaction=0.0)
    none, unit = torch.zeros(64, 4).double(), torch.eye(64).double()
    a, b = (
        problem.dynamics(None, unit, none).T,
        problem.dynamics(None, torch.zeros(4, 64).double(), torch.eye(4).double()).T,
    )
    q = unit / 16
    p, steps = 2 * q, 4000  # J = ½ zᵀ P z
    for _ in range(steps):
        step = lambda x: 2 * q + a.T @ x + x @ a - x @ b @ b.T @ x / (2 * problem.effort)  # noqa: E731
        half = p + 1 / steps * step(p)
        p = p + 2 / steps * step(half)
    z0 = 0.3 * problem.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    optimum = solve_optimum(problem, z0)
    assert (optimum.u.abs() < 4).all()
    torch.testing.assert_close(optimum.cost, 0.5 * ((z0 @ p) * z0).sum(-1), rtol=2e-3, atol=0)


def test_pendulum_and_rocket_have_mirror_images_and_ipopt_agrees():
    pytest.importorskip("casadi")
    z0 = states([2, 4, 0, 0, -0.5, 0], [-2, 4, 0, 0, -0.5, 0])
    optimum = solve_optimum(Rocket(), z0)
    torch.testing.assert_close(optimum.cost[0], optimum.cost[1])
    torch.testing.assert_close(solve_reference(Rocket(), z0[:1]).cost, optimum.cost[:1], rtol=1e-6, atol=0)
    short = Pendulum(horizon=1.0, steps=20)
    fall = solve_optimum(short, states([1, 0.5], [-1, -0.5]))
    torch.testing.assert_close(fall.cost[0], fall.cost[1])


def test_goddard_gets_as_high_as_cops_says():
    problem = Goddard()
    optimum = solve_optimum(problem, states([1, 0, 1]))
    height, _, mass = optimum.z[-1, 0].tolist()
    burnt = 1000 * (mass - 0.6) ** 2  # twice its price
    assert 100 * (height - 1) - burnt == pytest.approx(1.283, rel=0.01)
    assert problem.duration(optimum).item() == pytest.approx(0.199, rel=0.04)
    thrust = optimum.u[:, 0, 0]
    assert thrust[0] > 3.4 and thrust[-1] < 0.01 and ((thrust > 1.5) & (thrust < 3)).sum() >= 10, "a singular arc"
