"""The open-loop optimum against models written by hand, Riccati's equation and the conditions of optimality."""

import dataclasses
import math
import multiprocessing
import os
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("casadi")

from casadi_models import HandQuadrotor
from oscillators import Oscillator, oscillator

from pontryagin import DoubleIntegrator, Quadrotor, rollout
from pontryagin.controllers.optimum import cheaper, solve_reference
from pontryagin.envs.integrate import advance


def test_bad_arguments(pendulum):
    z0 = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="state_dim 2"):
        solve_reference(pendulum, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="index 1"):
        solve_reference(pendulum, torch.tensor([[0.0, 0.0], [math.nan, 0.0]]))
    for wrong in ({"starts": 0}, {"steps": 2.5}, {"processes": 0}, {"max_iterations": True}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            solve_reference(pendulum, z0, **wrong)
    with pytest.raises(ValueError, match="controller returned shape"):
        solve_reference(pendulum, z0, guess=lambda t, z: z[:, :1])
    with pytest.raises(ValueError, match="processes=1"):
        solve_reference(oscillator(), torch.zeros(2, 2), processes=2)


def test_without_casadi(pendulum, monkeypatch):
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(ImportError, match=r"pontryagin\[reference\]"):
        solve_reference(pendulum, torch.zeros(1, 2))


def test_double_integrator_is_riccati():
    """With u held over h: z_{k+1} = A z_k + B u_k, cost ½ h u², and p_k = P_k z_k by the discrete Riccati recursion."""
    problem = DoubleIntegrator()
    h = problem.horizon / problem.steps
    a, b, r = np.array([[1, h], [0, 1]]), np.array([[h * h / 2], [h]]), h
    riccati, gains = [10 * np.eye(2)], []
    for _ in range(problem.steps):
        after = riccati[0]
        gains.insert(0, np.linalg.solve(r + b.T @ after @ b, b.T @ after @ a))
        riccati.insert(0, a.T @ after @ (a - b @ gains[0]))
    z0 = problem.sample_initial_state(4, torch.Generator().manual_seed(0)).double()
    reference = solve_reference(problem, z0)
    assert reference.converged.all()
    assert set(reference.status) == {"Solve_Succeeded"}
    np.testing.assert_allclose(reference.cost, np.einsum("bi,ij,bj->b", z0, riccati[0], z0) / 2, rtol=1e-8)
    z = reference.z.numpy()
    np.testing.assert_allclose(reference.u, -np.einsum("kmi,kbi->kbm", gains, z[:-1]), atol=1e-6)
    np.testing.assert_allclose(reference.costate, np.einsum("kij,kbj->kbi", riccati, z), atol=1e-6)


def test_quadrotor_is_the_one_written_by_hand():
    problem, model = Quadrotor(), HandQuadrotor()
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    z0[0] = 0
    reference = solve_reference(problem, z0)
    assert reference.converged.all()
    assert reference.cost[0].item() == pytest.approx(15.444475, rel=1e-6)
    for b, start in enumerate(z0.numpy()):
        cost, z, u = model.solve(start)
        assert reference.cost[b].item() == pytest.approx(cost, rel=1e-6)
        np.testing.assert_allclose(reference.z[:, b], z, atol=1e-4)
        np.testing.assert_allclose(reference.u[:, b], u, atol=1e-3)


def test_quadrotor_that_may_push_down():
    """The bound thrust >= 0 costs 1.75: without it the optimum from rest at the origin is 13.69, not 15.44.

    From other states there are then several local optima, so the second state begins at the one found by hand.
    """
    problem = type("Pushing", (Quadrotor,), {"control_low": (-3.0, -2.0, -2.0, -2.0)})()
    model = HandQuadrotor(lowest_thrust=-3.0)
    assert solve_reference(problem, torch.zeros(1, 12)).cost.item() == pytest.approx(13.690001, rel=1e-6)
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0))[1:].double()
    cost, z, u = model.solve(z0[0].numpy())
    held = iter(torch.from_numpy(u)[:, None])
    reference = solve_reference(problem, z0, guess=lambda t, z: next(held))
    assert reference.cost.item() == pytest.approx(cost, rel=1e-6)
    np.testing.assert_allclose(reference.z[:, 0], z, atol=1e-4)


def test_conditions_of_optimality():
    """p(T) = ∇G, p_k = ∇_z (c + p_{k+1}·F), and ∇_u (c + p_{k+1}·F) vanishes where no bound is active."""
    problem = Quadrotor(steps=40)
    reference = solve_reference(problem, 0.1 * torch.ones(1, 12))
    last = reference.z[-1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.terminal_cost(last).sum(), last)
    torch.testing.assert_close(reference.costate[-1], gradient, rtol=1e-4, atol=1e-3)
    low, high = problem.control_bounds(reference.u)
    for k, t in enumerate(reference.t[:-1]):
        z, u = reference.z[k].clone().requires_grad_(), reference.u[k].clone().requires_grad_()
        after, cost = advance(problem, t, z, u, problem.time_step)
        p, slope = torch.autograd.grad(cost.sum() + (reference.costate[k + 1] * after).sum(), (z, u))
        torch.testing.assert_close(reference.costate[k], p, rtol=1e-5, atol=1e-5)
        free = (u - low > 1e-6) & (high - u > 1e-6)
        assert slope[free].abs().max() < 1e-5
        assert (slope[u - low <= 1e-6] > 0).all()


def test_costate_is_the_derivative_of_the_cost(pendulum):
    z0, e = torch.tensor([[0.4, -0.3]], dtype=torch.float64), 1e-3 * torch.eye(2, dtype=torch.float64)
    slope = (solve_reference(pendulum, z0 + e).cost - solve_reference(pendulum, z0 - e).cost) / 2e-3
    torch.testing.assert_close(solve_reference(pendulum, z0).costate[0, 0], slope, rtol=1e-5, atol=1e-6)


def test_result_is_a_flight_of_its_controls(pendulum):
    reference = solve_reference(pendulum, pendulum.sample_initial_state(3, torch.Generator().manual_seed(0)), steps=12)
    held = iter(reference.u)
    path = rollout(pendulum, lambda t, z: next(held), reference.z[0], 12)
    assert reference.z.dtype == torch.float64
    assert torch.equal(path.z, reference.z)
    assert torch.equal(path.cost, reference.cost)
    assert (reference.u >= -1.5).all()
    assert (reference.u <= 1.0).all()
    assert (reference.seconds > 0).all()


def test_no_policy_is_cheaper(pendulum):
    z0 = pendulum.sample_initial_state(8, torch.Generator().manual_seed(0)).double()
    best = solve_reference(pendulum, z0).cost
    for gain in (0.0, 0.5, 1.0):
        controller = lambda t, z, gain=gain: torch.stack([-gain * z[:, 1], -gain * z[:, 0]], -1).clamp(-1.5, 1.0)  # noqa: E731
        assert (rollout(pendulum, controller, z0).cost >= best).all()


def test_starts_never_hurt_and_repeat(pendulum):
    z0 = pendulum.sample_initial_state(2, torch.Generator().manual_seed(0))
    one, many = solve_reference(pendulum, z0), solve_reference(pendulum, z0, starts=4, seed=3)
    assert (many.cost <= one.cost + 1e-9).all()
    assert torch.equal(many.u, solve_reference(pendulum, z0, starts=4, seed=3).u)
    guided = solve_reference(pendulum, z0, guess=lambda t, z: z.new_zeros(len(z), 2))
    torch.testing.assert_close(guided.cost, one.cost, rtol=1e-8, atol=0)
    lost = solve_reference(pendulum, z0, guess=lambda t, z: z.new_full((len(z), 2), math.nan))
    assert torch.equal(lost.u, one.u)


def test_failures_are_reported_by_sample(caplog):
    problem = oscillator(
        running_cost=lambda self, t, z, u: (u * u).sum(-1) + torch.sqrt(z[:, 0]),
        sample_initial_state=lambda self, batch, generator=None: 2 + torch.rand(batch, 2, generator=generator),
    )
    reference = solve_reference(problem, torch.tensor([[2.0, 0.0], [-2.0, 0.0]]))
    assert reference.converged.tolist() == [True, False]
    assert reference.status == ("Solve_Succeeded", "Invalid_Number_Detected")
    assert "1 of 2 references did not converge" in caplog.text


def test_infeasible_is_reported():
    """z' = z³ from 100 leaves the floating-point numbers before T: no control has a finite cost."""
    problem = oscillator(dynamics=lambda self, t, z, u: z**3 + u)
    reference = solve_reference(problem, torch.tensor([[100.0, 100.0]]))
    assert not reference.converged.any()
    assert reference.status[0] != "Solve_Succeeded"


def test_too_few_iterations_still_cost_what_they_say():
    problem = Quadrotor(steps=20)
    z0 = torch.zeros(1, 12)
    early, best = solve_reference(problem, z0, max_iterations=3), solve_reference(problem, z0)
    assert early.status == ("Maximum_Iterations_Exceeded",)
    assert not early.converged.any()
    assert early.cost > best.cost


def test_empty_batch(pendulum):
    reference = solve_reference(pendulum, torch.zeros(0, 2))
    assert reference.z.shape == (9, 0, 2)
    assert reference.costate.shape == (9, 0, 2)
    assert reference.status == ()


def test_processes_change_nothing():
    problem = DoubleIntegrator()
    z0 = problem.sample_initial_state(3, torch.Generator().manual_seed(0))
    alone, together = solve_reference(problem, z0, starts=2), solve_reference(problem, z0, starts=2, processes=2)
    assert torch.equal(alone.u, together.u)
    assert torch.equal(alone.costate, together.costate)
    assert together.converged.all()


class Deadly(Oscillator):
    """Kills the process that traces it, unless that is the one of the tests."""

    def terminal_cost(self, z):
        if multiprocessing.parent_process() is not None:
            os._exit(1)
        return super().terminal_cost(z)


@pytest.mark.slow
def test_a_dead_process_is_reported_by_sample():
    reference = solve_reference(Deadly(), torch.zeros(3, 2), processes=2)
    assert reference.status == ("Process_Died",) * 3
    assert not reference.converged.any()
    assert reference.cost.isnan().all()


def test_limited_memory_finds_the_same_optimum(pendulum):
    """Without second derivatives it takes longer and ends less exactly, at the same place."""
    z0 = pendulum.sample_initial_state(2, torch.Generator().manual_seed(0))
    exact, cheap = (solve_reference(pendulum, z0, hessian=h) for h in ("exact", "limited-memory"))
    torch.testing.assert_close(cheap.cost, exact.cost, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cheap.u, exact.u, rtol=1e-2, atol=1e-2)
    with pytest.raises(ValueError, match="'bfgs'; expected one of"):
        solve_reference(pendulum, z0, hessian="bfgs")


def test_the_command_takes_a_policy_as_its_guess(tmp_path, capsys):
    import json

    from pontryagin import ImplicitPolicy, ValueFunction
    from pontryagin.training.commands.cli import main

    problem = DoubleIntegrator()
    ImplicitPolicy(problem, ValueFunction(problem, 4, seed=0)).save(tmp_path / "policy")
    guess = ["--guess", str(tmp_path / "policy"), "--method", "ipopt", "--max-iterations", "50"]
    main(["reference", "double_integrator", "--states", "2", "--out-dir", str(tmp_path), *guess])
    assert "optimal cost" in capsys.readouterr().out
    record = json.loads((tmp_path / "double_integrator-2-0.json").read_text())
    assert record["command"].endswith("--max-iterations 50") and "--guess" in record["command"]
    assert "--method ipopt" in record["command"]


def test_the_cheaper_of_two_optima_is_kept_state_by_state():
    problem = DoubleIntegrator(steps=5)
    z0 = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]).double()
    one = solve_reference(problem, z0)
    worse = dataclasses.replace(one, running_cost=one.running_cost + torch.tensor([1.0, -1.0, -1.0]).double(),
                                converged=torch.tensor([True, True, False]), status=("a", "b", "c"))  # fmt: skip
    kept = cheaper(one, worse)
    assert torch.equal(kept.cost, torch.stack([one.cost[0], worse.cost[1], one.cost[2]]))
    assert kept.status == (one.status[0], "b", one.status[2]) and kept.converged.all()
    assert torch.equal(kept.z, one.z) and torch.equal(kept.u, one.u)
