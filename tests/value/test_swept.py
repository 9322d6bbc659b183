"""The cheapest flight swept before its first control is played: Newton's step of the whole flight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oscillators import Known, expanded_oscillator
from torch import Tensor

from pontryagin import ImplicitPolicy, export_policy, rollout
from pontryagin.controllers.chosen import CHOICES, FIRST, TRIES, Chosen, chosen
from pontryagin.controllers.optimum import Later, descend, expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue, FlownValue, Plan, planned, replanned
from pontryagin.controllers.value.plans import worth
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.envs.gallery.van_der_pol import VanDerPol
from pontryagin.envs.integrate import Controller


@pytest.fixture(scope="module")
def known() -> Known:
    return expanded_oscillator()


def test_it_is_a_descent_from_the_cheapest_flight(known: Known) -> None:
    problem, expansion, z = known
    flies = FlownValue(problem, expansion).double()
    path = rollout(problem, lambda t, x: flies.feedback(t, x, flies.speaker(0.0, z)), z)
    lower = descend(problem, z, path.u, 2)
    assert (lower.cost < path.cost).all()
    value = FlownValue(problem, expansion, sweeps=2).double()
    torch.testing.assert_close(value.feedback(0.0, z), lower.u[0])
    torch.testing.assert_close(value(0.0, z), flies(0.0, z))  # phi is what the flight costs without them
    k = 11
    rest = descend(Later(problem, k), path.z[k], _onward(problem, flies, k, path.z[k]), 2)
    torch.testing.assert_close(value.feedback(k * problem.time_step, path.z[k]), rest.u[0])


def _onward(problem: VanDerPol, value: FlownValue, k: int, z: Tensor) -> Tensor:
    """Controls of the flights along the cheapest member, from step k on."""
    who = value.speaker(k * problem.time_step, z)
    return rollout(Later(problem, k), lambda t, x: value.feedback(t + k * problem.time_step, x, who), z).u


def test_sweeps_bring_the_flights_near_the_optimum(known: Known) -> None:
    problem, expansion, z = known
    best, gaps = solve_optimum(problem, z).cost, []
    for sweeps in (0, 1, 3):
        policy = ImplicitPolicy(
            problem, FlownValue(problem, expansion, sweeps).double(), max_iterations=0, hamiltonian="held"
        )
        gaps.append(float((rollout(problem, policy, z).cost / best - 1).mean()))
    assert gaps[1] < 0.5 * gaps[0] and gaps[2] < gaps[1] + 1e-12


def test_a_plan_is_followed_until_the_next_choice_and_swept_on_then(known: Known, monkeypatch) -> None:
    problem, expansion, z = known
    monkeypatch.setattr("pontryagin.controllers.chosen.FIRST", 1)  # too few to settle
    value = FlownValue(problem, expansion, sweeps=1).double()
    policy = ImplicitPolicy(problem, value, max_iterations=0, hamiltonian="held")
    young = -(-problem.steps // CHOICES)
    path, who = rollout(problem, policy, z), value.foremost(0.0, z, TRIES)
    first = planned(problem, value, 0, z, who, 1)
    torch.testing.assert_close(path.u[:young].movedim(0, 1), first.control[:, :young])  # nothing disturbs it
    still = rollout(problem, lambda t, x: first.answer(problem, t, x), z)
    torch.testing.assert_close(still.z.movedim(0, 1), first.state)
    best = solve_optimum(problem, z).cost
    assert (path.cost - best).mean() < 0.3 * (still.cost - best).mean()  # ten sweeps instead of one
    anew = rollout(problem, policy.forward, z).cost  # without a memory one sweep is all there is at each step
    assert (path.cost - best).mean() < (anew - best).mean()


def test_a_plan_that_is_settled_is_followed_as_long_as_the_state_is_on_it(known: Known, monkeypatch) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=20).double()
    last = chosen(value, torch.tensor(0.0).double(), z, None)
    plan = last.plan
    assert plan is not None and bool(plan.settled.any())
    guess = rollout(problem, _followed(problem, plan.rows(plan.settled.nonzero().ravel())), z[plan.settled]).u
    found = descend(problem, z[plan.settled], guess)
    torch.testing.assert_close(found.u, plan.control[plan.settled].movedim(1, 0), rtol=1e-3, atol=1e-3)
    k = 2 * -(-problem.steps // CHOICES)
    at, settled = plan.state[:, k].clone(), plan.settled.nonzero().ravel()
    at[settled[0]] += 0.05
    chose = []
    monkeypatch.setattr(
        value, "foremost", lambda t, x, count: chose.append(x) or FlownValue.foremost(value, t, x, count)
    )
    again = chosen(value, torch.tensor(k * problem.time_step).double(), at, last)
    due = ~plan.settled
    due[settled[0]] = True
    torch.testing.assert_close(torch.cat(chose), at[due])
    torch.testing.assert_close(again.step, torch.where(due, k, 0))
    assert again.plan is not None
    torch.testing.assert_close(again.plan.control[~due], plan.control[~due])


def test_a_flight_that_follows_a_cheaper_one_or_cannot_reach_it_is_not_swept(known: Known) -> None:
    problem, expansion, z = known
    z = z[:2].repeat_interleave(4, 0)
    low, high = problem.control_bounds(z)
    u = low + (high - low) * torch.tensor([0.5, 0.52, 0.9, 0.1] * 2, dtype=z.dtype)[:, None]
    path = descend(problem, z, u.expand(problem.steps, 8, 1).clone(), 0)
    path.cost, path.left = (torch.tensor(x * 2).double() for x in ([2.0, 1.0, 4.0, 4.0], [torch.inf, 0.0, 0.5, 0.1]))
    assert worth(problem, path, 4).tolist() == [False, True, True, False] * 2
    assert worth(problem, path, 1).all()  # each by itself
    path.cost[:] = torch.inf
    worth(problem, path, 4)  # nothing to choose from


def test_what_is_not_swept_costs_nothing(known: Known) -> None:
    """The cheapest of the flights is what it is when every one of them is swept."""
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=1).double()
    who = value.foremost(0.0, z, TRIES)
    plan = planned(problem, value, 0, z, who, 20)
    each = [
        rollout(problem, _followed(problem, planned(problem, value, 0, z, who[:, [i]], 20)), z).cost for i in range(8)
    ]
    torch.testing.assert_close(
        rollout(problem, _followed(problem, plan), z).cost, torch.stack(each).amin(0), rtol=1e-5, atol=1e-6
    )


def _followed(problem: VanDerPol, plan: Plan) -> Controller:
    return lambda t, x: plan.answer(problem, t, x)


def test_a_plan_gives_way_where_it_is_disturbed(known: Known) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=1).double()
    plan = planned(problem, value, 0, z, value.foremost(0.0, z, 1), 1)
    away = z + 1e-4
    change = plan.answer(problem, 0, away) - plan.answer(problem, 0, z)
    low, high = problem.control_bounds(z)
    free = ((plan.control[:, 0] > low + 0.1) & (plan.control[:, 0] < high - 0.1)).all(-1)
    other = planned(problem, value, 0, away, value.foremost(0.0, z, 1), 1)
    torch.testing.assert_close(change[free], (other.control - plan.control)[free, 0], rtol=0.3, atol=1e-5)
    assert bool(free.any()) and bool((change[free] != 0).all())
    assert bool(((plan.answer(problem, 0, z + 1e3) >= low) & (plan.answer(problem, 0, z - 1e3) <= high)).all())


def test_rows_plan_on_their_own(known: Known) -> None:
    problem, expansion, z = known
    value, dt = FlownValue(problem, expansion, sweeps=1).double(), problem.time_step
    z = z[:3]
    last = chosen(value, torch.zeros(3).double(), z, None)
    times = torch.tensor([dt, 20 * dt, 20 * dt]).double()
    now = chosen(value, times, z, last, torch.tensor([False, True, False]))
    assert last.plan is not None and now.plan is not None and now.step.tolist() == [0, 20, 20]
    torch.testing.assert_close(now.plan.control[0], last.plan.control[0])  # young enough
    for row, old in ((1, None), (2, last.plan.rows(torch.tensor([2])))):
        at = z[row : row + 1]
        who = value.foremost(20 * dt, at, TRIES)
        if old is None:
            plan = planned(problem, value, 20, at, who, FIRST)
        else:
            plan = replanned(problem, value, 20, at, who[:, 0], 1, old)
        torch.testing.assert_close(now.plan.rows(torch.tensor([row])).control, plan.control)
    plain = Chosen(last.member, last.step)  # the memory of a policy that does not sweep
    torch.testing.assert_close(chosen(value, times * 0, z, plain).plan.control, last.plan.control)


def test_predict_remembers_the_plan(known: Known) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=2).double()
    policy = ImplicitPolicy(problem, value, max_iterations=0, hamiltonian="held")
    path, state = rollout(problem, policy, z), None
    low, high = problem.control_bounds(z)
    for k in range(problem.steps):
        seen = torch.cat([path.z[k], torch.full((len(z), 1), k * problem.time_step)], -1).numpy()
        action, state = policy.predict(seen, state)
        u = low + (high - low) * (torch.from_numpy(action).double() + 1) / 2
        torch.testing.assert_close(u, path.u[k], rtol=1e-3, atol=1e-3)
    assert state is not None and [len(x) for x in state] == [len(z)] * 7


@pytest.mark.parametrize("part", [0, 3, 4, 5])
@pytest.mark.parametrize("iterations", [0, 1])
def test_a_nan_in_the_memory_of_a_plan_does_not_persist(known: Known, iterations: int, part: int) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=1).double()
    policy = ImplicitPolicy(problem, value, max_iterations=iterations, hamiltonian="held")
    seen = torch.cat([z[:3], torch.zeros(3, 1)], -1).numpy()
    _, memory = policy.predict(seen)
    assert memory is not None
    seen[:, -1] = problem.time_step  # the plan is young enough to be followed
    expected, _ = policy.predict(seen, memory)
    lost = [table.copy() for table in memory]
    lost[part][1] = float("nan")
    action, again = policy.predict(seen, tuple(lost))
    torch.testing.assert_close(action[[0, 2]], expected[[0, 2]])
    torch.testing.assert_close(action[1], policy.predict(seen[1])[0] if part else expected[1], rtol=1e-3, atol=1e-3)
    assert again is not None and all(bool(torch.as_tensor(table).isfinite().all()) for table in again[1:])


def test_where_the_expansion_is_exact_nothing_is_left_to_sweep() -> None:
    problem = DoubleIntegrator()
    z = problem.sample_initial_state(6, torch.Generator().manual_seed(0)).double()
    expansion = expand_agents(problem, solve_optimum(problem, z[:1]))
    plain, more = (FlownValue(problem, expansion, sweeps).double().feedback(0.3, z) for sweeps in (0, 1))
    torch.testing.assert_close(more, plain, rtol=1e-6, atol=1e-6)


def test_times_may_differ(known: Known) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=1).double()
    times = torch.tensor([0.0, 3.0, 3.4, problem.steps] * 4).double() * problem.time_step
    together = value.feedback(times, z)
    for i, t in enumerate(times):
        torch.testing.assert_close(together[i : i + 1], value.feedback(float(t), z[i : i + 1]))


def test_it_is_kept_answers_and_is_not_exported(known: Known, tmp_path: Path) -> None:
    problem, expansion, z = known
    value = FlownValue(problem, expansion, sweeps=1)
    policy = ImplicitPolicy(problem, value.double(), max_iterations=0, hamiltonian="held")
    policy.save(tmp_path / "policy")
    again = ImplicitPolicy.load(tmp_path / "policy", "cpu")
    assert isinstance(again.value, FlownValue) and again.value.sweeps == 1
    torch.testing.assert_close(again(0.0, z), policy(0.0, z), rtol=1e-5, atol=1e-5)
    assert again.predict(torch.cat([z[0], torch.zeros(1)]).float().numpy())[0].shape == (problem.control_dim,)
    for to in ("numpy", "onnx"):  # neither sends on to the other
        with pytest.raises(ValueError, match=r"flies along its optima in a VanDerPol .*fly it from Python"):
            export_policy(policy, tmp_path / "out", to, "test")
    with pytest.raises(ValueError, match="sweeps is -1"):
        FlownValue(problem, expansion, -1)


def test_a_flight_that_is_not_finite_is_played_as_it_is(known: Known) -> None:
    problem, expansion, z = known
    far = torch.full_like(z[:1], 1e200)
    value = ExpandedValue(problem, expansion).double()
    who = torch.zeros(1, dtype=torch.long)
    torch.testing.assert_close(
        planned(problem, value, 0, far, who.unsqueeze(1), 1).control[:, 0], value.feedback_in(0, far, who)
    )
