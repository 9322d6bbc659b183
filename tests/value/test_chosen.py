"""Which optimum is followed is chosen a few times an episode, remembered in between, and by row of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oscillators import Known, expanded_oscillator

from pontryagin import ImplicitPolicy, evaluate, rollout
from pontryagin.controllers.chosen import CHOICES, Chosen, Flight, chosen
from pontryagin.controllers.optimum import expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue, FlownValue
from pontryagin.envs.double_integrator import DoubleIntegrator


@pytest.fixture(scope="module")
def known() -> Known:
    return expanded_oscillator()


@pytest.fixture
def policy(known: Known) -> ImplicitPolicy:
    problem, expansion, _ = known
    return ImplicitPolicy(problem, FlownValue(problem, expansion).double(), max_iterations=0, hamiltonian="held")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The control step and the number of states of each choice among flights."""
    heard: list[list[int]] = []
    foremost = FlownValue.foremost

    def listening(self: FlownValue, t: torch.Tensor, z: torch.Tensor, count: int) -> torch.Tensor:
        heard.append([round(float(x) / self.problem.time_step) for x in torch.as_tensor(t).expand(len(z))])
        return foremost(self, t, z, count)

    monkeypatch.setattr(FlownValue, "foremost", listening)
    return heard


def test_a_flight_chooses_a_tenth_as_often_and_costs_the_same(
    policy: ImplicitPolicy, known: Known, asked: list[list[int]]
) -> None:
    problem, _, z = known
    path = rollout(problem, policy, z)
    young = -(-problem.steps // CHOICES)
    assert asked == [[k] * len(z) for k in range(0, problem.steps, young)]
    always = rollout(problem, policy.forward, z).cost
    assert path.cost.mean() < 1.001 * always.mean()
    first = policy.value.speaker(0.0, z)
    held = rollout(problem, lambda t, x: policy.value.feedback(t, x, first), z)
    torch.testing.assert_close(path.z[young], held.z[young])


def test_every_flight_begins_anew(policy: ImplicitPolicy, known: Known) -> None:
    problem, _, z = known
    both = rollout(problem, policy, z).cost
    for row in (slice(0, 3), slice(3, None)):  # another batch than the last one's
        torch.testing.assert_close(rollout(problem, policy, z[row]).cost, both[row])
    assert evaluate(problem, policy, z).cost.tolist() == both.tolist()
    assert isinstance(policy.begin(), Flight) and policy.begin() is not policy.begin()


def test_predict_remembers_as_a_rollout_does(policy: ImplicitPolicy, known: Known) -> None:
    problem, _, z = known
    path, x, state = rollout(problem, policy, z), z, None
    low, high = problem.control_bounds(z)
    for k in range(problem.steps):
        seen = torch.cat([x, x.new_full((len(x), 1), k * problem.time_step)], -1).numpy()
        action, state = policy.predict(seen, state)
        u = low + (high - low) * (torch.from_numpy(action).double() + 1) / 2
        torch.testing.assert_close(u, path.u[k], rtol=1e-4, atol=1e-4)
        x = path.z[k + 1]
    assert state is not None and len(state) == 3


def test_rows_that_begin_choose_and_the_others_do_not(
    policy: ImplicitPolicy, known: Known, asked: list[list[int]]
) -> None:
    problem, _, z = known
    dt, z = problem.time_step, z[:4]
    value = policy.value
    assert isinstance(value, FlownValue)
    last = Chosen(torch.full((4,), 7), torch.tensor([2, 2, 2, 2]))
    t = torch.tensor([3 * dt, 3 * dt, 0.0, 30 * dt]).double()
    begins = torch.tensor([False, True, False, False])
    now = chosen(value, t, z, last, begins)  # asked to, back in time, too old
    assert asked == [[3, 0, 30]] and now.step.tolist() == [2, 3, 0, 30] and now.member[0] == 7
    assert chosen(value, t, z, now).member.tolist() == now.member.tolist() and len(asked) == 1
    assert chosen(value, t[:2], z[:2], now).step.tolist() == [3, 3]  # another batch


def test_a_memory_of_another_policy_is_only_where_the_search_begins(policy: ImplicitPolicy, known: Known) -> None:
    problem, expansion, z = known
    seen = np.concatenate([z.numpy(), np.zeros((len(z), 1))], -1).astype(np.float32)
    plain = ImplicitPolicy(problem, ExpandedValue(problem, expansion).double(), max_iterations=0, hamiltonian="held")
    assert plain.begin() is plain
    _, theirs = plain.predict(seen)
    _, ours = policy.predict(seen)
    assert theirs is not None and ours is not None and (len(theirs), len(ours)) == (1, 3)
    np.testing.assert_array_equal(policy.predict(seen, theirs)[0], policy.predict(seen)[0])
    assert np.isfinite(plain.predict(seen, ours)[0]).all()


def test_a_memory_that_cannot_be_ours_is_none(known: Known) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=1).double()
    policy, t = ImplicitPolicy(problem, value, max_iterations=0, hamiltonian="held"), torch.zeros(len(z), 1)
    seen = torch.cat([z.float(), t], -1).numpy()
    action, state = policy.predict(seen)
    assert state is not None
    u, member, step, *plan = state
    for forged in (
        (u, member + 10_000, step, *plan),
        (u, member - 10_000, step, *plan),
        (u, member[:, None], step, *plan),
        (u, member, step + 10_000, *plan),
        (u, member, step, plan[0][:, :3], *plan[1:]),
        (u, member, step, plan[0], plan[1][:, :3], plan[2]),
        (u, member, step, *plan[:2], plan[2][:, :, :, :, :1]),
    ):
        np.testing.assert_array_equal(policy.predict(seen, forged)[0], action)


def test_one_optimum_needs_no_choice() -> None:
    problem = DoubleIntegrator()
    z = problem.sample_initial_state(3, torch.Generator().manual_seed(0)).double()
    value = FlownValue(problem, expand_agents(problem, solve_optimum(problem, z[:1]))).double()
    policy = ImplicitPolicy(problem, value, max_iterations=0, hamiltonian="held")
    torch.testing.assert_close(rollout(problem, policy, z).cost, rollout(problem, policy.forward, z).cost)
