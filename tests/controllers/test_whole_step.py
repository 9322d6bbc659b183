"""A step of Newton's that can be taken whole needs no search along it; the answer is that of the search."""

import pytest
import torch

from pontryagin import ImplicitPolicy, MultiBicycle, Quadrotor, TrainConfig, ValueFunction
from pontryagin.controllers import argmax
from pontryagin.controllers.held import HeldHamiltonian, held_hamiltonian
from pontryagin.controllers.held_argmax import solve_held_argmax
from pontryagin.training import split_step
from pontryagin.training.held_step import make_held_answer

PROBLEMS = {"quadrotor": Quadrotor(steps=20), "bicycles": MultiBicycle(2, steps=20, wheelbase=0.5)}


def wild(problem, scale):
    """A network under which H_dt is far from concave."""
    value = ValueFunction(problem, 8, seed=0)
    for weight in value.parameters():
        weight.data = scale * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    return value.double()


def states(problem, count=16):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(("name", "scale"), [("quadrotor", 0.3), ("quadrotor", 1.5), ("bicycles", 1.0)])
@pytest.mark.parametrize("count", [1, 16])
def test_the_answer_is_that_of_the_search(name, scale, count, monkeypatch):
    """With a scale of 1.5 and 1 some steps are refused, with 0.3 none is: then nothing is searched."""
    problem = PROBLEMS[name]
    policy, z = (
        ImplicitPolicy(problem, wild(problem, scale), max_iterations=30, hamiltonian="held"),
        states(problem, count),
    )
    searched, whole = [], argmax._whole_step
    monkeypatch.setattr(argmax, "_whole_step", lambda *x: (found := whole(*x), searched.append(found is None))[0])
    with torch.no_grad():
        quick = policy.solve(0.3, z)
        assert len(searched) > 0 and (count == 1 or any(searched) == (scale > 0.5))
        monkeypatch.setattr(argmax, "_whole_step", lambda *_: None)
        slow = policy.solve(0.3, z)
    torch.testing.assert_close(quick.control, slow.control, rtol=0, atol=1e-9)
    assert torch.equal(quick.iterations, slow.iterations)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_later_look_leaves_out_the_slope_at_rest(name):
    problem = PROBLEMS[name]
    z = states(problem, 3)
    with torch.no_grad():
        h = held_hamiltonian(problem, wild(problem, 0.3), torch.tensor(0.3).double(), z, problem.time_step)
        u = 0.1 * torch.ones(3, problem.control_dim, dtype=torch.float64)
        first, later = h.look(u), h.look(u, False)
    assert later[1] is None
    for a, b in zip(first, later, strict=True):
        if b is not None:
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("name", "scale"), [("quadrotor", 0.3), ("quadrotor", 1.5)])
def test_the_search_in_parts_ends_where_it_has_converged(name, scale, monkeypatch):
    """The functions that would be compiled, one by one, as they are."""
    monkeypatch.setattr(split_step, "compiled", lambda f, device: f)
    problem = PROBLEMS[name]
    value, z, t = wild(problem, scale), states(problem), torch.tensor(0.3).double()
    config = TrainConfig(hamiltonian="held", compile=True, argmax_iterations=40, argmax_tolerance=1e-6, backtracks=8)
    answer = make_held_answer(problem, value, config)
    looks, look = [], HeldHamiltonian.look
    monkeypatch.setattr(HeldHamiltonian, "look", lambda *x: looks.append(1) or look(*x))
    found = answer(t, z, torch.tensor(problem.time_step, dtype=torch.float64))
    taken = len(looks)
    expected = solve_held_argmax(problem, value, t, z, max_iterations=40)
    assert taken <= 2 * (int(expected.iterations.max()) + 1) < 40
    torch.testing.assert_close(found.control, expected.control, rtol=0, atol=1e-9)
    assert (found.residual <= 1e-6).all()


def test_a_state_that_is_no_number_does_not_send_the_others_searching(monkeypatch):
    problem = PROBLEMS["quadrotor"]
    policy, z = ImplicitPolicy(problem, wild(problem, 0.3), max_iterations=30, hamiltonian="held"), states(problem, 8)
    with torch.no_grad():
        expected = policy.solve(0.3, z).control[1:]
        searched, whole = [], argmax._whole_step
        monkeypatch.setattr(argmax, "_whole_step", lambda *x: (found := whole(*x), searched.append(found is None))[0])
        h = held_hamiltonian(
            problem, policy.value, torch.tensor(0.3).double(), z.index_fill(0, torch.tensor([0]), torch.nan), policy.dt
        )
        search = argmax.Search(policy.operator, max_iterations=30)
        found = argmax.iterate(h, problem.control_bounds(z), h.block, search, h.start().nan_to_num())
    assert searched and not any(searched)
    torch.testing.assert_close(found.control[1:], expected, rtol=0, atol=1e-9)


def test_what_was_refused_once_is_not_tried_again(monkeypatch):
    problem = PROBLEMS["quadrotor"]
    policy = ImplicitPolicy(problem, wild(problem, 1.5), max_iterations=30, hamiltonian="held")
    tried, whole = [], argmax._whole_step
    monkeypatch.setattr(argmax, "_whole_step", lambda *x: (found := whole(*x), tried.append(found is None))[0])
    with torch.no_grad():
        assert policy.solve(0.3, states(problem)).iterations.max() > len(tried)
    assert sum(tried) == 1 and tried[-1]
