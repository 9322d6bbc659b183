"""A policy that chooses among flights and remembers its plan, flown in a simulator and past way-points."""

from __future__ import annotations

import pytest
import torch
from test_plant import Model

from pontryagin import Crazyflie, DoubleIntegrator, ImplicitPolicy, Waypoints, rollout
from pontryagin.controllers.chosen import CHOICES, Flight
from pontryagin.controllers.optimum import expand_agents, solve_optimum
from pontryagin.controllers.plants.plant import simulate
from pontryagin.controllers.value import FlownValue, Plan
from pontryagin.envs.gallery.van_der_pol import VanDerPol


@pytest.fixture(scope="module")
def policy() -> ImplicitPolicy:
    problem = VanDerPol()
    z0 = problem.sample_initial_state(6, torch.Generator().manual_seed(1)).double()
    value = FlownValue(problem, expand_agents(problem, solve_optimum(problem, z0)), sweeps=2).double()
    return ImplicitPolicy(problem, value, max_iterations=0, hamiltonian="held")


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    heard: list[float] = []
    foremost = FlownValue.foremost

    def listening(self: FlownValue, t: torch.Tensor, z: torch.Tensor, count: int) -> torch.Tensor:
        heard.append(float(torch.as_tensor(t).max()))
        return foremost(self, t, z, count)

    monkeypatch.setattr(FlownValue, "foremost", listening)
    return heard


@pytest.mark.parametrize("settles", [True, False])
def test_a_simulator_flies_it_as_a_rollout_does(
    policy: ImplicitPolicy, choices: list[float], settles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = policy.problem
    if not settles:
        monkeypatch.setattr(Plan, "holds", lambda plan, step, z: torch.zeros_like(plan.settled))
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(5)).double()
    flown = rollout(problem, policy, z0)
    once = 1 if settles else CHOICES
    assert len(choices) == once
    there = simulate(problem, Model(problem, problem.time_step), policy, z0)
    assert len(choices) == 3 * once  # each state is an episode
    torch.testing.assert_close(there.z, flown.z, atol=1e-3, rtol=0)


def test_between_its_steps_it_knows_where_the_plan_is(policy: ImplicitPolicy) -> None:
    problem = policy.problem
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(5)).double()
    flown = rollout(problem, policy, z0)
    often = simulate(problem, Model(problem), policy, z0, rate=5 * problem.steps / problem.horizon)
    torch.testing.assert_close(often.cost, flown.cost, rtol=0.01, atol=1e-3)
    torch.testing.assert_close(often.z[::5], flown.z, rtol=0, atol=0.05)


def test_a_plan_is_not_carried_from_one_leg_to_the_next() -> None:
    problem = Crazyflie(steps=20)
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(1)).double()
    value = FlownValue(problem, expand_agents(problem, solve_optimum(problem, z0)), sweeps=1).double()
    fly = Waypoints(
        ImplicitPolicy(problem, value, max_iterations=0, hamiltonian="held"), [(0, 0, 1), (0.3, 0, 1)], "again", 2.0
    )
    begun = fly.begin()
    assert (
        all(isinstance(leg.policy, Flight) for leg in begun.legs) and begun.legs[0].policy is not begun.legs[1].policy
    )
    rest = z0[:1] * 0
    rest[:, 2] = 1.0
    path = rollout(fly.problem, fly, rest)
    error = (
        path.z[20, 0, :3] - torch.tensor([0, 0, 1.0]).double(),
        path.z[-1, 0, :3] - torch.tensor([0.3, 0, 1.0]).double(),
    )
    assert max(float(x.norm()) for x in error) < 0.1


def test_what_does_not_choose_is_flown_as_it_is() -> None:
    problem = DoubleIntegrator()
    z0 = torch.tensor([[1.0, 0.0]]).double()
    plain = lambda t, z: -z.sum(-1, keepdim=True)  # noqa: E731
    assert not hasattr(plain, "begin")
    torch.testing.assert_close(rollout(problem, plain, z0).u[0], -z0.sum(-1, keepdim=True).clamp(-9, 9))
