"""Pontryagin's conditions as numbers: tiny at an optimum, and not elsewhere."""

import dataclasses
import json

import pytest
import torch

from pontryagin import DoubleIntegrator, Quadrotor, ValueFunction, rollout, solve_reference
from pontryagin.controllers.optimum.certificates import certify, open_loop_costate
from pontryagin.training.commands.cli import main

pytest.importorskip("casadi")


@pytest.fixture(scope="module")
def flown():
    """A quadrotor in few steps, its optima from two states, where the thrust rests on its bound."""
    problem = Quadrotor(steps=30)
    return problem, solve_reference(problem, problem.sample_initial_state(2, torch.Generator().manual_seed(0)))


def test_an_optimum_has_none(flown):
    problem, best = flown
    found = certify(problem, best)
    assert found.worst.shape == (2,) and found.worst.max() < 1e-5 and found.stationarity_mean.max() < 1e-7
    assert (found.active > 0.02).all() and (found.active < 0.25).all()  # of four controls the thrust alone
    assert found.hjb is None


def test_the_open_loop_costate_is_the_optimisers(flown):
    problem, best = flown
    torch.testing.assert_close(open_loop_costate(problem, best), best.costate, rtol=1e-4, atol=2e-3)


def test_a_perturbed_flight_has_some(flown):
    problem, best = flown
    generator = torch.Generator().manual_seed(1)
    bent = (best.u + 0.05 * torch.randn(best.u.shape, generator=generator).double()).clamp_min(0)
    controls = iter(bent)
    path = rollout(problem, lambda t, z: next(controls), best.z[0])
    found = certify(problem, path)
    assert found.stationarity.min() > 0.1
    assert max(found.adjoint.max(), found.transversality.max(), found.dynamics.max()) < 1e-12  # by construction


@pytest.mark.parametrize(("field", "name"), [("z", "dynamics"), ("costate", "adjoint"), ("costate", "transversality")])
def test_each_condition_is_told_apart(flown, field, name):
    problem, best = flown
    wrong = getattr(best, field).clone()
    wrong[-1, 1] += 0.1
    found = certify(problem, dataclasses.replace(best, **{field: wrong}))
    assert getattr(found, name)[1] > 1e-3 and getattr(found, name)[0] < 1e-5


def test_the_costate_is_the_gradient_of_the_cost():
    problem = DoubleIntegrator(steps=5)
    z0 = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_(True)
    u = torch.randn(5, 3, 1, generator=torch.Generator().manual_seed(1)).double()
    controls = iter(u)
    path = rollout(problem, lambda t, z: next(controls), z0)
    expected = torch.autograd.grad(path.cost.sum(), z0)[0]
    detached = dataclasses.replace(path, z=path.z.detach())
    torch.testing.assert_close(open_loop_costate(problem, detached)[0], expected)


def test_the_hjb_residual_is_that_of_the_value_function(policy):
    problem = policy.problem
    with torch.no_grad():
        path = rollout(problem, policy, problem.sample_initial_state(2))
    found = certify(problem, path, policy.value.gradient)
    assert found.hjb is not None and found.hjb.shape == (2,) and (found.hjb > 0).all()
    value = ValueFunction(DoubleIntegrator(), 4, rank=1, seed=0)
    value.silence(0.0)
    resting = rollout(DoubleIntegrator(), lambda t, z: torch.zeros(1, 1), torch.ones(1, 2))
    assert certify(DoubleIntegrator(), resting, value.gradient).hjb.max() == 0  # phi = 0 solves it with L = ½u²


def test_what_does_not_fit_is_refused(flown):
    problem, best = flown
    with pytest.raises(ValueError, match="expected"):
        certify(DoubleIntegrator(), best)
    with pytest.raises(ValueError, match="index 1"):
        broken = best.u.clone()
        broken[3, 1] = torch.nan
        certify(problem, dataclasses.replace(best, u=broken))


def test_the_command_prints_the_certificate(capsys):
    main(["evaluate", "quadrotor", "--states", "4", "--certificate", "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["transversality_worst"] < 1e-12 and figures["adjoint_worst"] < 1e-12  # by construction
    assert 0 < figures["stationarity_median"] <= figures["stationarity_worst"] and figures["hjb_median"] > 0
    assert "bellman_median" not in figures


def test_the_command_prints_the_bellman_residual_of_a_held_policy(capsys):
    main(["evaluate", "bicycle5", "--states", "2", "--certificate", "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert 0 < figures["bellman_median"] <= figures["bellman_worst"] < figures["hjb_median"]
