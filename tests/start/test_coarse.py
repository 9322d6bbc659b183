"""Optima of the steps, not of the model, are told apart."""

import dataclasses
import warnings

import pytest
import torch

from pontryagin import DoubleIntegrator, rollout, solve_optimum
from pontryagin.envs.gallery import Pendulum, VanDerPol
from pontryagin.training.start import check_steps, coarse, coarseness


def test_where_the_step_is_exact_nothing_changes():
    problem = DoubleIntegrator()
    known = solve_optimum(problem, torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    assert coarseness(problem, known).max() < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_steps(problem, known)


def test_it_is_what_half_steps_change_of_the_cost():
    """Where the open loop is stable, flying the same controls by half steps says the same."""
    problem = dataclasses.replace(VanDerPol(), steps=24)
    known = solve_optimum(problem, torch.tensor([[1.5, 1.5], [-1.5, 1.0]]))
    halves = dataclasses.replace(problem, steps=48)
    u = iter(known.u.repeat_interleave(2, 0))
    flown = rollout(halves, lambda t, z: next(u), known.z[0]).cost
    expected = (flown - known.cost).abs() / known.cost.abs()
    torch.testing.assert_close(coarseness(problem, known), expected, rtol=0.1, atol=1e-6)


def test_an_unstable_open_loop_is_no_coarseness():
    """The pendulum's optima, flown open loop by half steps, fall; its steps are fine all the same."""
    problem = Pendulum()
    known = solve_optimum(problem, torch.tensor([[3.0, 0.0], [2.0, 0.5]]))
    assert known.converged.all() and coarseness(problem, known).max() < 0.01


def test_coarse_steps_are_warned_of():
    z0 = torch.tensor([[1.5, 1.5], [-1.5, 1.0]])
    apart = []
    for steps in (6, 48):
        problem = dataclasses.replace(VanDerPol(), steps=steps)
        known = solve_optimum(problem, z0)
        apart.append(float(coarseness(problem, known).median()))
        if steps == 6:
            with pytest.warns(UserWarning, match="half as long.* raise steps .now 6"):
                check_steps(problem, known)
    assert apart[1] < 0.01 * apart[0]


def test_a_few_that_jump_through_the_steps_are_warned_of(monkeypatch):
    problem = VanDerPol()
    known = solve_optimum(problem, torch.tensor([[1.5, 1.5], [-1.5, 1.0], [1.0, 1.0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_steps(problem, known)
    exact = coarse.coarseness
    monkeypatch.setattr(coarse, "coarseness", lambda *of: exact(*of) + torch.tensor([0.0, 0.9, 0.0]))
    with pytest.warns(UserWarning, match="more than 50% in 1 of 3: .* raise steps"):
        check_steps(problem, known)
