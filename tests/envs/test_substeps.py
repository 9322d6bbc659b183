"""Several Runge-Kutta steps in a control step: where f is too stiff for one, everywhere the same."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from pontryagin import (
    ImplicitPolicy,
    OptimalControlEnv,
    TimeVaryingLQR,
    ValueFunction,
    rollout,
    solve_optimum,
)
from pontryagin.controllers.held import HeldHamiltonian
from pontryagin.controllers.optimum.later import Later
from pontryagin.envs.checking import check_functions
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.envs.free_time import FreeTime
from pontryagin.envs.integrate import advance, runge_kutta
from pontryagin.envs.priced_rate import PricedRate
from pontryagin.training.disturbances import Forced


@dataclasses.dataclass(frozen=True)
class Lagged(DoubleIntegrator):
    """The speed follows the control with a lag of 1 / rate: stable in one step up to rate · dt = 2.8, dt = 0.1."""

    rate: float = 60.0
    substeps: int = 1

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.cat([z[..., 1:], self.rate * (u - z[..., 1:])], -1)


def test_the_warning_names_the_cure_and_the_cure_helps():
    with pytest.warns(UserWarning, match=r"stiff.*raise substeps \(now 1\) or steps \(now 20\)"):
        check_functions(Lagged())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_functions(Lagged(substeps=8))
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(ValueError, match=r"Lagged\.substeps is"):
            Lagged(substeps=wrong)


def test_a_step_is_so_many_steps():
    problem, z, u = Lagged(substeps=4), torch.randn(3, 2).double(), torch.randn(3, 1).double()
    t, dt = torch.tensor(0.2).double(), problem.time_step
    whole, spent = advance(problem, t, z, u, dt)
    paid = torch.zeros(3).double()
    for k in range(4):
        z, cost = runge_kutta(problem, t + k * dt / 4, z, u, dt / 4)
        paid = paid + cost
    torch.testing.assert_close(whole, z)
    torch.testing.assert_close(spent, paid)
    exact = advance(Lagged(substeps=64), t, torch.ones(1, 2).double(), u[:1], dt)[0]
    near = advance(Lagged(substeps=8), t, torch.ones(1, 2).double(), u[:1], dt)[0]
    once = advance(Lagged(), t, torch.ones(1, 2).double(), u[:1], dt)[0]
    assert (near - exact).abs().max() < 1e-3 < (once - exact).abs().max()


def test_env_rollout_and_optimum_agree():
    problem, z0 = Lagged(substeps=8), torch.tensor([[1.0, -0.5]]).double()
    found = solve_optimum(problem, z0)
    assert found.converged.all()
    path = rollout(problem, lambda t, z: found.u[min(round(float(t) / problem.time_step), problem.steps - 1)], z0)
    torch.testing.assert_close(path.cost, found.cost, rtol=1e-9, atol=1e-9)
    env = OptimalControlEnv(problem)
    env.reset(options={"state": z0[0].numpy()})
    low, high = problem.control_bounds(z0)
    total = 0.0
    for u in found.u[:, 0]:
        _, reward, *_ = env.step((2 * (u - low) / (high - low) - 1).numpy().astype(np.float32))
        total -= reward
    assert total == pytest.approx(float(found.cost[0]), rel=1e-4)
    feedback = rollout(problem, TimeVaryingLQR(problem, found), z0 + 0.01).cost
    again = solve_optimum(problem, z0 + 0.01).cost
    torch.testing.assert_close(feedback, again, rtol=1e-3, atol=1e-4)


def test_ipopt_takes_the_same_steps():
    pytest.importorskip("casadi")
    problem, z0 = Lagged(substeps=8), torch.tensor([[1.0, -0.5], [0.3, 0.2]]).double()
    ours, theirs = solve_optimum(problem, z0), solve_optimum(problem, z0, method="ipopt")
    assert theirs.converged.all()
    torch.testing.assert_close(ours.cost, theirs.cost, rtol=1e-6, atol=1e-8)


def test_whatever_is_made_of_a_problem_keeps_them():
    problem = Lagged(substeps=3)
    for made in (Later(problem, 2), Forced(problem), FreeTime(problem), PricedRate(problem)):
        assert made.substeps == 3
    again = ImplicitPolicy(problem, ValueFunction(problem, width=4))
    held = HeldHamiltonian(problem, again.value, torch.tensor(0.1), torch.ones(2, 2), problem.time_step)
    u = torch.zeros(2, 1)
    after, cost = advance(problem, torch.tensor(0.1), torch.ones(2, 2), u, problem.time_step)
    expected = -(cost + again.value(torch.tensor(0.1) + problem.time_step, after)) / problem.time_step
    torch.testing.assert_close(held.value(u).squeeze(-1), expected)
