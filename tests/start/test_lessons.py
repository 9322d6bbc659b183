"""Lessons under H_dt: the regret, what is asked, and what a network that has learned it flies without any roll-out."""

import dataclasses

import pytest
import torch

import pontryagin
from pontryagin import DoubleIntegrator, ImplicitPolicy, MultiBicycle, TrainConfig, rollout, solve_optimum, train
from pontryagin.controllers.held import held_hamiltonian
from pontryagin.controllers.held_argmax import solve_held_argmax
from pontryagin.controllers.value import ExpandedValue
from pontryagin.training.start import Lessons, beginning, lessons, teach
from pontryagin.training.start.lessons import regret


def known_of(problem, count=6, seed=0):
    z0 = problem.sample_initial_state(count, torch.Generator().manual_seed(seed)).double()
    return solve_optimum(problem, z0)


def points(problem, count=64):
    generator = torch.Generator().manual_seed(1)
    z = problem.sample_initial_state(count, generator).double()
    low, high = problem.control_bounds(z)
    u = low + (high - low) * torch.rand(count, problem.control_dim, generator=generator).double()
    t = torch.randint(problem.steps, (count,), generator=generator) * problem.time_step
    return t.double(), z, u


@pytest.fixture
def value(pendulum):
    made = beginning(pendulum, known_of(pendulum), 8, 4).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)).double()
    return made


def test_the_regret_is_0_at_what_phi_plays_and_never_below(pendulum, value):
    t, z, u = points(pendulum)
    best = solve_held_argmax(pendulum, value, t, z, max_iterations=50, tolerance=1e-12).control
    assert regret(pendulum, value, t, z, best).abs().max() < 1e-9
    found = regret(pendulum, value, t, z, u)
    h = held_hamiltonian(pendulum, value, t, z, pendulum.time_step).value(torch.stack([best, u])).squeeze(-1)
    assert (found >= 0).all() and found.median() > 0.1
    assert (found <= h[0] - h[1] + 1e-9).all()  # one application of T says less than all of them
    torch.testing.assert_close(found.sum(), (h[0] - h[1]).sum(), rtol=0.1, atol=0)


def test_under_the_value_function_it_is_what_the_control_costs_too_much():
    """Linear-quadratic: Q(z, u) - V(z), by Riccati, which one application of T finds."""
    problem = DoubleIntegrator()
    exact = beginning(problem, known_of(problem), 4, 2).double()
    t, z, u = points(problem)
    t = torch.zeros_like(t)
    after, cost = pontryagin.envs.integrate.advance(problem, t, z, u, problem.time_step)
    wasted = (cost + exact(t + problem.time_step, after) - exact(t, z)) / problem.time_step
    torch.testing.assert_close(regret(problem, exact, t, z, u), wasted, rtol=1e-4, atol=1e-5)


def test_its_derivative_is_that_of_phi_at_two_states(pendulum, value):
    t, z, u = points(pendulum, 16)
    weights = list(value.parameters())
    slopes = torch.autograd.grad(regret(pendulum, value, t, z, u).sum(), weights)
    steps = [torch.randn(w.shape, generator=torch.Generator().manual_seed(5)).double() for w in weights]

    def at(size):
        with torch.no_grad():
            for w, step in zip(weights, steps, strict=True):
                w += size * step
            found = solve_held_argmax(pendulum, value, t, z, max_iterations=50, tolerance=1e-13).control
            h = held_hamiltonian(pendulum, value, t, z, pendulum.time_step).value(torch.stack([found, u])).squeeze(-1)
            for w, step in zip(weights, steps, strict=True):
                w -= size * step
            return float((h[0] - h[1]).sum())

    expected = (at(1e-5) - at(-1e-5)) / 2e-5
    found = float(sum((a * b).sum() for a, b in zip(slopes, steps, strict=True)))
    assert found == pytest.approx(expected, rel=0.1)  # one application of T is not all of them


def test_lessons_are_the_optima_and_the_feedback_beside_them(pendulum):
    known = known_of(pendulum)
    asked = Lessons.of(pendulum, known)
    t, z, u, weight = asked.ask(512, torch.Generator().manual_seed(0))
    k = (t / pendulum.time_step).round().long()
    apart, nearest = (z.unsqueeze(1) - asked.state[k]).norm(dim=-1).min(-1)
    on = apart == 0
    assert 0.15 < on.double().mean() < 0.35
    torch.testing.assert_close(u[on], known.u[k, nearest].float()[on])
    low, high = pendulum.control_bounds(u)
    assert (u >= low).all() and (u <= high).all()
    assert asked.weight.mean() == pytest.approx(1.0) and (weight > 0).all()
    wanted = (
        known.u.float()[k, nearest]
        + (asked.gain[k, nearest] @ (z - asked.state[k, nearest])[:, None, :, None])[:, 0, :, 0]
    )
    assert ((u - wanted.clamp(low, high)).abs().amax(-1) < 1e-3).double().mean() > 0.8  # the nearest is not always it
    order = known.cost.argsort()
    assert (asked.weight[order].diff() <= 0).all()  # what is dear counts less


def test_what_has_not_converged_teaches_nothing(pendulum):
    known = known_of(pendulum)
    some = dataclasses.replace(known, converged=torch.arange(6) > 2)
    assert len(Lessons.of(pendulum, some).weight) == 3


def test_a_taught_network_flies_better_than_the_expansion_that_it_begins_from(pendulum):
    problem = dataclasses.replace(pendulum, horizon=2.0, steps=16)
    known, z0 = known_of(problem, 48), problem.sample_initial_state(64, torch.Generator().manual_seed(9))
    best = solve_optimum(problem, z0.double()).cost
    value, asked = beginning(problem, known, 16, 8), Lessons.of(problem, known)
    lessons.attune(value, asked)

    def gap():
        policy = ImplicitPolicy(problem, value, hamiltonian="held")
        with torch.no_grad():
            return ((rollout(problem, policy, z0).cost - best) / best).mean()

    before = gap()
    teach(value, asked, lambda k: k / 400)
    assert gap() < 0.4 * before


def test_beside_the_path_the_feedback_asks_for_little(pendulum):
    known = known_of(pendulum)
    asked = Lessons.of(pendulum, known)
    stiff = dataclasses.replace(asked, gain=1e3 * asked.gain)
    t, z, u, _ = stiff.ask(512, torch.Generator().manual_seed(0))
    k = (t / pendulum.time_step).round().long()
    i = (z.unsqueeze(1) - stiff.state[k]).norm(dim=-1).argmin(-1)
    low, high = pendulum.control_bounds(u)
    assert ((u - stiff.control[k, i]).abs() <= lessons.REACH * (high - low) + 1e-5).all()


def test_the_network_sees_lessons_of_size_one(pendulum):
    known = known_of(pendulum)
    value, asked = beginning(pendulum, known, 8, 4), Lessons.of(pendulum, known)
    before = value.network.opening.detach().clone()
    lessons.attune(value, asked)
    ratio = (before / value.network.opening)[0, :2, 0]  # of each of the two states
    away = asked.state - value.state[:-1]
    s = (value.root[:-1].mT @ away.unsqueeze(2).unsqueeze(-1)).flatten(2)
    torch.testing.assert_close(ratio, s.square().mean((0, 1)).sqrt())
    assert torch.equal(before[:, 2], value.network.opening[:, 2])  # time is as it was


def test_what_cannot_be_compiled_is_taught_all_the_same(pendulum, monkeypatch):
    known = known_of(pendulum)
    asked, values = Lessons.of(pendulum, known), [beginning(pendulum, known, 4, 2) for _ in range(2)]

    def refuses(*_):
        raise RuntimeError("no graph")

    monkeypatch.setattr(lessons, "compiled", lambda loss, device: refuses)
    assert teach(values[0], asked, lambda k: k / 3, compile=True) == teach(values[1], asked, lambda k: k / 3)


def test_teaching_is_the_same_twice_and_a_loss_that_is_not_finite_is_refused(pendulum):
    known = known_of(pendulum)
    asked, values = Lessons.of(pendulum, known), [beginning(pendulum, known, 4, 2) for _ in range(2)]
    left = [teach(value, asked, lambda k: k / 3) for value in values]
    assert left[0] == left[1]
    assert all(torch.equal(a, b) for a, b in zip(values[0].parameters(), values[1].parameters(), strict=True))
    broken = dataclasses.replace(asked, weight=asked.weight * float("nan"))
    with pytest.raises(ValueError, match="ended with a loss of nan"):
        teach(values[0], broken, lambda k: k / 3)
    assert all(torch.equal(a, b) for a, b in zip(values[0].parameters(), values[1].parameters(), strict=True))


def test_agents_are_taught_one_by_one():
    problem = MultiBicycle(2, targets=((1.0, 1.0), (1.0, 0.5)), steps=12, horizon=2.0)
    known = known_of(problem, 4)
    value = beginning(problem, known, 4, 2)
    assert value.network.opening.shape[0] == 2
    teach(value, Lessons.of(problem, known), lambda k: k / 3)
    assert all(w.isfinite().all() for w in value.parameters()) and value.network.output.abs().max() > 0


BRIEF = {"anchor": "distilled", "hamiltonian": "held", "anchors": 6, "candidates": 3, "distill_iterations": 4}
RUN = BRIEF | {"iterations": 2, "batch": 4, "agent_width": 4, "validation_states": 4, "validate_every": 1}


def test_a_run_begins_with_it_and_goes_on_without(tmp_path, pendulum, monkeypatch):
    policy, history = train(pendulum, TrainConfig(**RUN, out=tmp_path))
    assert isinstance(policy.value, ExpandedValue) and history.rows[0]["iteration"] == 0
    monkeypatch.setattr("pontryagin.training.train.taught", None)
    longer, rows = train(pendulum, TrainConfig(**RUN | {"iterations": 3}, out=tmp_path, resume=True))
    assert rows.rows[-1]["iteration"] == 3 and rows.rows[: len(history.rows)] == history.rows


def test_its_options():
    assert TrainConfig(**BRIEF).learns_expanded and not TrainConfig(anchor="distilled").learns_expanded
    with pytest.raises(ValueError, match="TrainConfig.steps is 4 with anchor 'distilled'"):
        TrainConfig(**BRIEF, steps=4)


def test_optima_come_in_chunks(pendulum, monkeypatch):
    counts, solved = [], lessons.solve_optimum
    monkeypatch.setattr(lessons, "CHUNK", 4)
    monkeypatch.setattr(
        lessons, "solve_optimum", lambda problem, z0, **k: (counts.append(len(z0)), solved(problem, z0, **k))[1]
    )
    lessons.taught(pendulum, TrainConfig(**BRIEF, width=4))
    assert counts == [4, 2]
