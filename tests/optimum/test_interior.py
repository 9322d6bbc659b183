"""The interior-point search: its Newton step against the dense system, its error, its filter, and what it finds."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from pontryagin import DoubleIntegrator, Quadrotor, certify, make_problem, solve_optimum, solve_reference
from pontryagin.controllers.optimum import rescue, searches
from pontryagin.controllers.optimum.flights import fly
from pontryagin.controllers.optimum.interior import interior
from pontryagin.controllers.optimum.iterate import begin, errors, expanded, measure, room
from pontryagin.controllers.optimum.kkt import newton_step, swept
from pontryagin.controllers.optimum.line_search import accepted
from pontryagin.controllers.optimum.rescue import ATTEMPTS, by_ipopt, feedback_flight, softer_end, straight_line
from pontryagin.envs.gallery import CartPole, Pendulum, VanDerPol


def states(problem, count: int = 4, seed: int = 0) -> Tensor:
    return problem.sample_initial_state(count, torch.Generator().manual_seed(seed)).double()


def guess(problem, z0: Tensor) -> tuple[Tensor, Tensor]:
    """The states stay, no control."""
    u = torch.zeros(problem.steps, len(z0), problem.control_dim).double()
    return z0.expand(problem.steps + 1, -1, -1), u


def somewhere(problem, count: int = 2):
    """An iterate that is no flight, with costates of any kind."""
    generator = torch.Generator().manual_seed(1)
    now = begin(problem, *guess(problem, states(problem, count)), 0.1)
    for name in ("z", "p"):
        x = getattr(now, name)
        setattr(now, name, x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype))
    return now


@pytest.mark.parametrize("problem", [VanDerPol(steps=4), Quadrotor(steps=3)], ids=["van_der_pol", "quadrotor"])
def test_the_step_solves_the_dense_system(problem) -> None:
    """min ½ yᵀ W y + cᵀ y over dz_1, .., dz_K and du, s.t. dz' = A dz + B du + gap, by its KKT matrix."""
    now = somewhere(problem)
    model = expanded(problem, now)
    model.bend.diagonal(dim1=-2, dim2=-1)[:] += 1e3  # convex
    step = newton_step(now, model)
    assert not step.failed.any() and not now.damping.any()
    steps, batch, n, d = model.jacobian.shape
    width = steps * d + n  # (z_0, u_0, z_1, u_1, .., z_K)
    for i in range(batch):
        hessian, rows = torch.zeros(width, width).double(), torch.zeros((steps + 1) * n, width).double()
        slope, right = torch.zeros(width).double(), torch.zeros((steps + 1) * n).double()
        rows[:n, :n] = torch.eye(n)
        for k in range(steps):
            own = slice(k * d, k * d + d)
            hessian[own, own], slope[own] = model.bend[k, i], model.slope[k, i]
            rows[(k + 1) * n : (k + 2) * n, own] = -model.jacobian[k, i]
            rows[(k + 1) * n : (k + 2) * n, k * d + d : k * d + d + n] = torch.eye(n)
            right[(k + 1) * n : (k + 2) * n] = model.gap[k, i]
        hessian[-n:, -n:], slope[-n:] = model.end_bend[i], model.end_slope[i]
        whole = torch.cat([torch.cat([hessian, rows.T], 1), torch.cat([rows, torch.zeros(len(rows), len(rows))], 1)])
        found = torch.linalg.solve(whole, torch.cat([-slope, right]))
        y, multipliers = found[:width], found[width:].unflatten(0, (-1, n))
        table = y[: steps * d].unflatten(0, (steps, d))
        torch.testing.assert_close(step.dz[:-1, i], table[:, :n], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(step.du[:, i], table[:, n:], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(step.dz[-1, i], y[-n:], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(step.p[1:, i], -multipliers[1:], rtol=1e-6, atol=1e-7)


def test_where_there_is_no_minimum_as_much_is_added_as_it_takes() -> None:
    now = somewhere(VanDerPol(steps=4))
    model = expanded(VanDerPol(steps=4), now)
    model.bend[:, 0].diagonal(dim1=-2, dim2=-1)[:] -= 3.0
    model.bend[:, 1].diagonal(dim1=-2, dim2=-1)[:] += 3.0
    step = newton_step(now, model)
    assert not step.failed.any() and now.damping[1] == 0.0
    assert now.damping[0] > 1.0 and swept(model, torch.tensor([0]), now.damping[:1] / 8)[-1].all(), "no more than that"
    before = float(now.damping[0])
    newton_step(now, model)
    assert now.damping[0] >= before / 8 and not step.feedback.isnan().any()


def test_costs_slopes_and_gaps_are_those_of_automatic_differentiation() -> None:
    problem = CartPole(steps=5)
    now = somewhere(problem)
    model, (gap, cost) = expanded(problem, now), measure(problem, now.z, now.u)
    torch.testing.assert_close(model.gap, gap)
    torch.testing.assert_close(model.cost, now.scale * cost)

    def lagrangian(z: Tensor, u: Tensor) -> Tensor:
        gap, cost = measure(problem, z, u)
        return now.scale * cost + (now.p[1:] * gap).sum((0, 2))

    z, u = now.z.clone().requires_grad_(), now.u.clone().requires_grad_()
    by_z, by_u = torch.autograd.grad(lagrangian(z, u).sum(), (z, u))
    up, down = room(problem, now.u)
    exact = torch.maximum(by_z[1:].abs().amax((0, 2)), (by_u - now.above + now.below).abs().amax((0, 2)))
    exact = torch.maximum(exact, torch.maximum(up * now.above, down * now.below).amax((0, 2)))
    mean = 0.5 * now.p.abs().mean((0, 2)) + 0.25 * (now.above + now.below).mean((0, 2))
    exact = torch.maximum(exact / (mean / 100).clamp_min(1.0), gap.abs().amax((0, 2)))
    torch.testing.assert_close(errors(problem, now, model, torch.zeros(2).double()), exact)


def test_the_filter_takes_what_is_better_in_one_way_and_worse_in_none_it_knows() -> None:
    now = somewhere(VanDerPol(steps=2), 5)
    now.filter_gap[0], now.filter_cost[0] = 0.5, 8.0
    gap, cost, slope = (torch.full((5,), x).double() for x in (1.0, 10.0, -1e-3))
    new_gap = torch.tensor([0.4, 1.0, 1.5, 0.6, 1.1]).double()
    new_cost = torch.tensor([20.0, 7.0, 7.0, 9.0, 10.1]).double()
    taken, _ = accepted(now, (gap, cost, slope), torch.ones(5).double(), (new_gap, new_cost))
    assert taken.tolist() == [True, True, True, False, False]
    flying = torch.zeros(5).double()
    new_cost = torch.tensor([9.9, 10.0 - 1e-12, 10.1, torch.nan, 10.0 - 1e-8]).double()
    taken, falls = accepted(now, (flying, cost, 1e3 * slope), torch.ones(5).double(), (flying, new_cost))
    assert taken.tolist() == falls.tolist() == [True, False, False, False, False]


def test_linear_quadratic_in_a_few_steps() -> None:
    problem = DoubleIntegrator()
    z0 = states(problem)
    path = interior(problem, *guess(problem, z0))
    assert path.converged.all() and path.iterations.max() < 12
    torch.testing.assert_close(path.cost, solve_optimum(problem, z0).cost, rtol=1e-8, atol=1e-9)
    early = interior(problem, *guess(problem, z0), max_iterations=1)
    assert not early.converged.any() and early.cost.isfinite().all()


@dataclasses.dataclass(frozen=True)
class Bounded(DoubleIntegrator):
    control_low: float = -0.5
    control_high: float = 0.8


def test_controls_on_their_bounds_are_on_them_exactly() -> None:
    problem = Bounded()
    optimum = solve_optimum(problem, states(problem))
    assert ((optimum.u == -0.5) | (optimum.u == 0.8)).sum() > 10
    assert certify(problem, optimum).stationarity.max() < 1e-4


@pytest.mark.parametrize("name", ["min_fuel", "dubins", "cartpole"])
def test_none_of_sixteen_fails(name: str) -> None:
    problem = make_problem(name)
    optimum = solve_optimum(problem, states(problem, 16))
    assert optimum.converged.all(), optimum.status


def test_an_unstable_balance_is_held_from_a_guess_that_would_fall() -> None:
    """From rest without torque the pendulum falls; the states of the guess stay up, and so does the optimum."""
    problem = Pendulum()
    optimum = solve_optimum(problem, torch.tensor([[0.05, 0.0], [-0.1, 0.1]]))
    assert optimum.converged.all()
    assert (optimum.z[..., 0].abs() < 0.2).all() and (optimum.cost < 0.1).all()


def test_ipopt_finds_the_same_from_the_same_guess() -> None:
    pytest.importorskip("casadi")
    problem = make_problem("cartpole")
    z0 = states(problem, 4)
    found, check = interior(problem, *guess(problem, z0)), solve_reference(problem, z0)
    assert found.converged.all() and check.converged.all()
    torch.testing.assert_close(found.cost, check.cost, rtol=1e-7, atol=0)


@pytest.mark.parametrize("attempt", [attempt for attempt, _ in ATTEMPTS], ids=lambda f: f.__name__)
def test_other_guesses_lead_to_the_optimum(attempt) -> None:
    if attempt is by_ipopt:
        pytest.importorskip("casadi")
    problem = {softer_end: CartPole(), feedback_flight: Bounded(control_low=-3.0, control_high=3.0)}.get(
        attempt, Quadrotor(steps=30, initial_scale=0.5)
    )
    z0 = states(problem, 3)
    z, u = attempt(problem, z0, 200, None)
    torch.testing.assert_close(z[0], z0)
    low, high = problem.control_bounds(u)
    assert ((u >= low) & (u <= high)).all()
    flown = fly(problem, z0, u)
    still = fly(problem, z0, guess(problem, z0)[1].clamp(low, high))
    if attempt is straight_line:  # not a flight, but it ends where G is least
        assert problem.terminal_cost(z[-1]).max() < 1e-9
    else:
        torch.testing.assert_close(flown.z, z)
        assert (flown.cost < 0.5 * still.cost).all()
    found = interior(problem, z, u)
    assert found.converged.all()


def test_what_the_first_search_leaves_is_rescued(monkeypatch) -> None:
    """The first search is cut short; the flight of the linear feedback is what the others begin with."""
    problem, calls = Quadrotor(steps=30), []
    real = searches.interior

    def short(problem, z, u, limit, barrier, end):
        calls.append(z)
        return real(problem, z, u, 1 if len(calls) == 1 else limit, barrier, end)

    monkeypatch.setattr(searches, "interior", short)
    z0 = states(problem, 2)
    found = solve_optimum(problem, z0)
    assert found.converged.all() and len(calls) == 2
    torch.testing.assert_close(calls[1], feedback_flight(problem, z0, 200, None)[0])


def test_ipopt_is_asked_where_it_is_at_hand_and_time_is_not_short(monkeypatch) -> None:
    problem, asked = Quadrotor(steps=30), []
    z0 = states(problem, 3)

    def solved(problem, z0, **_):
        asked.append(len(z0))
        return solve_optimum(problem, z0)

    monkeypatch.setattr(rescue, "solve_reference", solved)
    assert by_ipopt(problem, z0, 200, float("inf")) is None and not asked  # there it went ahead
    z, u = by_ipopt(problem, z0, 200, None)
    assert asked == [3] and z.shape == (31, 3, 12)

    def missing(*_, **__):
        raise ImportError

    monkeypatch.setattr(rescue, "solve_reference", missing)
    assert by_ipopt(problem, z0, 200, None) is None


def test_there_is_not_always_an_equilibrium() -> None:
    assert feedback_flight(Quadrotor(gravity=10.0), torch.zeros(1, 12).double(), 200, None) is None
