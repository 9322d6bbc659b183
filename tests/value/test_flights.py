"""Members that are flown before one speaks: what is flown, and that the choice is never dearer than any of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from oscillators import Known, expanded_oscillator
from torch import Tensor

from pontryagin import ImplicitPolicy, MultiBicycle, TrainConfig, rollout, train
from pontryagin.controllers.held import held_hamiltonian
from pontryagin.controllers.optimum import AgentExpansion, expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue, FlownValue, flights, restore_value
from pontryagin.controllers.value.flights import flown
from pontryagin.envs.gallery.van_der_pol import VanDerPol
from pontryagin.envs.integrate import advance


@pytest.fixture(scope="module")
def known() -> Known:
    return expanded_oscillator()


def every(expansion: AgentExpansion, z: Tensor) -> Tensor:
    return torch.arange(expansion.state.shape[1]).expand(len(z), -1)


def test_costs_are_those_of_flights(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, expansion, z = known
    value = ExpandedValue(problem, expansion).double()
    costs = flown(problem, value, 0.0, z, every(expansion, z))
    alone = ExpandedValue(problem, expansion.members(torch.tensor([5]))).double()
    path = rollout(problem, alone.feedback, z)
    torch.testing.assert_close(costs[:, 5], path.cost)
    monkeypatch.setattr(flights, "ROWS", 16)
    torch.testing.assert_close(flown(problem, value, 0.0, z, every(expansion, z)), costs)
    k = 7  # and later what is left to pay
    late = flown(problem, value, k * problem.time_step, path.z[k], every(expansion, z))
    part = dataclasses.replace(problem, horizon=problem.time_step * k, steps=k)
    spent = rollout(part, alone.feedback, z).running_cost
    torch.testing.assert_close(late[:, 5] + spent, path.cost)


def test_times_may_differ_and_lie_between_steps(known: Known) -> None:
    problem, expansion, z = known
    value = ExpandedValue(problem, expansion).double()
    t = torch.tensor([0.0, 3.3 * problem.time_step] * (len(z) // 2)).double()
    both = flown(problem, value, t, z, every(expansion, z))
    for row in (0, 1):
        one = flown(problem, value, float(t[row]), z[row : row + 1], every(expansion, z[:1]))
        torch.testing.assert_close(both[row : row + 1], one)
    assert torch.equal(flown(problem, value, problem.horizon, z, every(expansion, z))[:, 0], problem.terminal_cost(z))


def test_the_choice_is_never_dearer_than_the_best_of_them(known: Known) -> None:
    """Made anew at each step it may leave a member for another, and only for a cheaper way on."""
    problem, expansion, z = known
    members = expansion.state.shape[1]
    value = FlownValue(problem, expansion).double()
    costs = flown(problem, value, 0.0, z, every(expansion, z))
    assert torch.equal(value.speaker(0.0, z), costs.argmin(-1))
    found = rollout(problem, value.feedback, z).cost
    bounds = rollout(problem, ExpandedValue(problem, expansion).double().feedback, z).cost
    assert (found <= costs.amin(-1) * (1 + 1e-9)).all() and found.mean() < 0.9 * bounds.mean()
    assert value.config["flights"] == members and restore_value(problem, value.config).config == value.config


@pytest.mark.parametrize("k", [0, 3.3, 30])
def test_phi_is_what_the_cheapest_flight_costs_and_its_gradient_the_adjoint(known: Known, k: float) -> None:
    problem, expansion, z = known
    value, t = FlownValue(problem, expansion).double(), k * problem.time_step
    costs = flown(problem, value, t, z, every(expansion, z))
    torch.testing.assert_close(value(t, z), costs.amin(-1))
    who = value.speaker(t, z)
    slope, p = value.gradient(t, z)
    way = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).double()
    rise = (value(t, z + 1e-6 * way, who) - value(t, z - 1e-6 * way, who)) / 2e-6
    torch.testing.assert_close((p * way).sum(-1), rise, rtol=1e-5, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(value.gradient(t, z)[1], p)
    if k == 0:
        u = value.feedback(t, z, who)
        h = -(p * problem.dynamics(z.new_tensor(t), z, u)).sum(-1) - problem.running_cost(z.new_tensor(t), z, u)
        torch.testing.assert_close(slope, h)  # HJB holds along the flight, with what it plays
        after, paid = advance(problem, torch.zeros((), dtype=torch.float64), z, u, problem.time_step)
        torch.testing.assert_close(paid + value(t + problem.time_step, after, who), value(t, z))


def test_times_of_a_batch_may_differ(known: Known) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion).double()
    t = torch.tensor([0.0, 3 * problem.time_step] * (len(z) // 2)).double()
    both, p = value(t, z), value.gradient(t, z)[1]
    for row in (0, 1):
        torch.testing.assert_close(both[row : row + 1], value(float(t[row]), z[row : row + 1]))
        torch.testing.assert_close(p[row : row + 1], value.gradient(float(t[row]), z[row : row + 1])[1])


def test_the_argmax_improves_on_the_feedback(known: Known) -> None:
    """One step of policy improvement: never dearer than phi says at the start, and nearer the optimum by far."""
    problem, expansion, z = known
    value = FlownValue(problem, expansion).double()
    best = solve_optimum(problem, z).cost
    gaps = []
    for iterations in (0, 1):
        policy = ImplicitPolicy(problem, value, max_iterations=iterations, hamiltonian="held")
        cost = rollout(problem, policy, z).cost
        assert (cost <= value(0.0, z) * (1 + 1e-6)).all()
        gaps.append((cost / best - 1).mean())
    assert gaps[1] < 0.3 * gaps[0]


def test_the_argmax_is_that_of_flights_on_a_grid(known: Known) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion).double()
    h = held_hamiltonian(problem, value, torch.zeros((), dtype=torch.float64), z, problem.time_step)
    low, high = problem.control_bounds(z)
    grid = torch.linspace(0, 1, 201).double().reshape(-1, 1, 1) * (high - low) + low
    most = h.value(grid.expand(-1, len(z), -1)).amax(0).squeeze(-1)
    u = ImplicitPolicy(problem, value, max_iterations=8, hamiltonian="held")(0.0, z)
    found = h.value(u).squeeze(-1)
    assert ((most - found) / (1 + most.abs())).quantile(0.9) < 1e-4  # those with one hill
    with torch.no_grad():
        steep = h.gradient(u)
    taped = h.gradient(u)  # with a tape: the way back along the flight
    torch.testing.assert_close(steep, taped.detach(), rtol=1e-4, atol=1e-4)


@dataclasses.dataclass(frozen=True)
class Free(VanDerPol):
    """Nothing is paid at the end."""

    def terminal_cost(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z[..., 0])


def test_the_end_may_cost_nothing() -> None:
    problem = Free(steps=20)
    z = problem.sample_initial_state(4, torch.Generator().manual_seed(0)).double()
    value = FlownValue(problem, expand_agents(problem, solve_optimum(problem, z))).double()
    assert (value.gradient(problem.horizon, z)[1] == 0).all()
    policy = ImplicitPolicy(problem, value, max_iterations=1, hamiltonian="held")
    x = z.clone().requires_grad_()
    rollout(problem, policy, x).cost.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_times_on_the_grid_are_flown_together(known: Known) -> None:
    """Each joins at its own step: Bellman's residual of a whole path is one sweep, and the same numbers."""
    problem, expansion, z = known
    value = FlownValue(problem, expansion).double()
    rows = torch.tensor([0, 3, problem.steps, 7] * 4)
    who = value.speaker(0.0, z)
    assert who is not None
    joined = flights.remaining(problem, value, rows * problem.time_step, z, who)
    for i in range(4):
        alone = flights.remaining(problem, value, float(rows[i]) * problem.time_step, z[i : i + 1], who[i : i + 1])
        torch.testing.assert_close(joined[i : i + 1], alone)


def test_there_is_nothing_to_train(known: Known) -> None:
    problem, expansion, _ = known
    with pytest.raises(ValueError, match="FlownValue has no weights to train"):
        train(problem, TrainConfig(iterations=1), FlownValue(problem, expansion))


def test_both_hamiltonians_listen_to_it(known: Known) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion).double()
    who = value.speaker(0.0, z)
    assert who is not None and len(who.unique()) > 1
    torch.testing.assert_close(value(0.0, z), value(0.0, z, who))
    for way in ("held", "continuous"):
        policy = ImplicitPolicy(problem, value, hamiltonian=way)  # type: ignore[arg-type]
        for j in who.unique():
            alone = FlownValue(problem, expansion.members(j.reshape(1))).double()
            lone = ImplicitPolicy(problem, alone, hamiltonian=way)  # type: ignore[arg-type]
            torch.testing.assert_close(policy(0.0, z)[who == j], lone(0.0, z[who == j]))


def test_it_is_kept_and_made_again(known: Known, tmp_path: Path) -> None:
    problem, expansion, z = known
    policy = ImplicitPolicy(problem, FlownValue(problem, expansion).double(), max_iterations=1, hamiltonian="held")
    policy.save(tmp_path)
    again = ImplicitPolicy.load(tmp_path, "cpu")
    assert isinstance(again.value, FlownValue)
    torch.testing.assert_close(again(0.0, z), policy(0.0, z), rtol=1e-5, atol=1e-5)
    observation = torch.cat([z[0], torch.zeros(1)]).float().numpy()
    assert again.predict(observation)[0].shape == (problem.control_dim,)
    x = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(policy(0.0, x).sum(), x)  # the tape goes through the flight twice
    assert slope.isfinite().all() and slope.abs().max() > 0


def test_agents_that_are_alike_are_flown_in_their_roles() -> None:
    problem = MultiBicycle(num_agents=3, steps=8, wheelbase=0.5)
    z = problem.sample_initial_state(4, torch.Generator().manual_seed(0)).double()
    value = FlownValue(problem, expand_agents(problem, solve_optimum(problem, z[:2]))).double()
    who = value.speaker(0.0, z)
    assert who is not None and who.shape == (4, 4)
    costs = torch.stack([rollout(problem, lambda t, x, j=j: value.feedback(t, x, j), z).cost for j in _alone(z)], -1)
    assert (rollout(problem, value.feedback, z).cost <= costs.amin(-1) * (1 + 1e-6)).all()


def _alone(z: Tensor) -> list[Tensor]:
    return [torch.full((len(z),), j) for j in range(2)]
