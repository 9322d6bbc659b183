"""IPOPT goes ahead where time is short, and what it comes to is an optimum of ours."""

import pytest
import torch

from pontryagin import DoubleIntegrator, solve_optimum
from pontryagin.controllers.optimum import ipopt, raced, searches
from pontryagin.controllers.optimum.flights import fly
from pontryagin.envs.gallery import Pendulum

pytest.importorskip("casadi")


@pytest.fixture
def calls(monkeypatch):
    """How many states IPOPT has been asked about."""
    seen = []
    there = raced.solve_one
    monkeypatch.setattr(raced, "solve_one", lambda *given: seen.append(given[2]) or there(*given))
    return seen


@pytest.fixture(scope="module")
def pendulum():
    problem = Pendulum(steps=20)
    z0 = problem.sample_initial_state(6, torch.Generator().manual_seed(1)).double()
    return problem, z0, solve_optimum(problem, z0)


def test_without_a_limit_of_time_it_is_not_asked(calls, pendulum):
    problem, z0, _ = pendulum
    solve_optimum(problem, z0[:1])
    assert not calls


def test_its_optima_are_ours(calls, pendulum):
    problem, z0, ours = pendulum
    found = solve_optimum(problem, z0, seconds=600)
    assert len(calls) >= len(z0) and found.converged.all()
    again = searches.descend(problem, z0, found.u, 1)
    assert (again.cost >= found.cost - 1e-6 * found.cost.abs()).all()  # no step of ours goes further down
    near = solve_optimum(problem, z0, seconds=600, known=ours)
    assert (near.cost <= ours.cost * (1 + 1e-6)).all()  # it stays in their families


def test_time_that_is_up_leaves_the_flights_of_the_guesses(calls, pendulum):
    problem, z0, _ = pendulum
    found = solve_optimum(problem, z0, seconds=1e-9)
    assert found.cost.isfinite().all() and not calls


def test_in_vain_it_is_asked_no_more(monkeypatch, pendulum):
    problem, z0, ours = pendulum
    asked = []

    def fails(problem, solver, z0, guess):
        asked.append(z0)
        return ipopt._failure(problem, problem.steps, "Infeasible")

    monkeypatch.setattr(raced, "solve_one", fails)
    z = fly(problem, z0, torch.zeros_like(ours.u)).z
    assert raced.raced(problem, z, torch.zeros_like(ours.u), 50, float("inf"), 0.1) is None
    assert len(asked) == raced.VAIN
    assert solve_optimum(problem, z0, seconds=600).converged.any()


def test_what_cannot_be_traced_is_searched_here(calls):
    class Untraceable(DoubleIntegrator):
        def running_cost(self, t, z, u):
            return (0.5 * u**2 + 1 - torch.special.i0e(u)).sum(-1)  # CasADi knows no Bessel functions

    z0 = torch.ones(2, 2).double()
    found = solve_optimum(Untraceable(), z0, seconds=60)
    assert not calls and found.cost.isfinite().all()


def test_a_large_problem_is_searched_here(monkeypatch, calls, pendulum):
    problem, z0, _ = pendulum
    monkeypatch.setattr(raced, "LARGEST", 2)
    assert solve_optimum(problem, z0, seconds=600).converged.any()
    assert not calls
