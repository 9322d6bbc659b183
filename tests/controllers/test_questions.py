"""What a caller may hand over: one state or many, of torch, NumPy or in lists; all else is refused in a sentence."""

import functools

import numpy as np
import pytest
import torch

import pontryagin
from pontryagin import (
    ControllerPolicy,
    DirectPolicy,
    DoubleIntegrator,
    ExplicitPolicy,
    ImplicitPolicy,
    LinearQuadraticRegulator,
    RecedingHorizon,
    TimeVaryingLQR,
    ValueFunction,
    evaluate,
    rollout,
    solve_optimum,
)

PROBLEM = DoubleIntegrator(steps=4)
Z = torch.tensor([[1.0, -0.5], [0.25, 0.75]])
VALUE = ValueFunction(PROBLEM, 8, seed=0)
OTHERS = [3, None, "x", [1.0], np.ones(2), torch.ones(2, 2), {}]


LAWS = {
    "implicit": lambda: ImplicitPolicy(PROBLEM, VALUE),
    "held": lambda: ImplicitPolicy(PROBLEM, VALUE, hamiltonian="held"),
    "direct": lambda: DirectPolicy(PROBLEM, 8, seed=0),
    "controller": lambda: ControllerPolicy(PROBLEM, lambda t, z: -z[:, :1] - t),
    "explicit": lambda: ExplicitPolicy(PROBLEM, VALUE),
    "lqr": lambda: LinearQuadraticRegulator(PROBLEM),
    "lqr-tracking": lambda: TimeVaryingLQR(PROBLEM, solve_optimum(PROBLEM, torch.zeros(1, 2))),
    "mpc": lambda: RecedingHorizon(PROBLEM, max_iterations=20),
}


@functools.cache
def law(name):
    return LAWS[name]()


@pytest.mark.parametrize("name", LAWS)
def test_a_law_answers_one_state_or_many_of_any_kind(name):
    asked = law(name)
    expected = asked(torch.tensor(0.5), Z).detach()
    assert expected.shape == (2, 1)
    for z in (Z.double(), Z.numpy(), Z.double().numpy(), Z.tolist()):
        found = asked(0.5, z).detach()
        assert found.dtype == (torch.float64 if "64" in str(getattr(z, "dtype", "")) else torch.float32)
        torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)
    for one in (Z[0], Z[0].numpy(), Z[0].tolist()):
        assert asked(0.5, one).shape == (1,)
    whole = asked(0.5, torch.tensor([[1, -1]]))  # a control is no whole number because the state was one
    torch.testing.assert_close(whole, asked(0.5, torch.tensor([[1.0, -1.0]])))
    for wrong, words in ((torch.ones(2, 3), r"shape \(2, 3\)"), (None, "NoneType"), ("x", "str"), ([[1], [1, 2]], "z")):
        with pytest.raises(ValueError, match=words):
            asked(0.5, wrong)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("fly", [rollout, evaluate])
def test_a_law_flies_from_states_of_any_kind(name, fly):
    expected = fly(PROBLEM, law(name), Z).cost
    for z in (Z.double(), Z.numpy(), Z.double().numpy(), Z.tolist()):
        torch.testing.assert_close(fly(PROBLEM, law(name), z).cost.float(), expected, rtol=1e-4, atol=1e-4)
    for wrong in (Z[0], Z[0].numpy(), Z[0].tolist(), Z.long(), None, "x"):
        with pytest.raises(ValueError, match="z0"):
            fly(PROBLEM, law(name), wrong)


@pytest.mark.parametrize("solver", ["ddp", "ipopt"])
def test_an_optimum_is_sought_from_states_of_any_kind(solver):
    if solver == "ipopt":
        pytest.importorskip("casadi")
    expected = solve_optimum(PROBLEM, Z, method=solver).cost
    for z in (Z.double(), Z.numpy(), Z.double().numpy(), Z.tolist()):
        torch.testing.assert_close(solve_optimum(PROBLEM, z, method=solver).cost, expected, rtol=1e-6, atol=1e-6)
    for wrong in (Z[0], Z.tolist()[0], Z.long(), None):
        with pytest.raises(ValueError, match="z0"):
            solve_optimum(PROBLEM, wrong, method=solver)


ENTRIES = {
    "rollout": lambda x: rollout(x, law("lqr"), Z),
    "rollout, controller": lambda x: rollout(PROBLEM, x, Z),
    "evaluate": lambda x: evaluate(x, law("lqr"), Z),
    "evaluate, controller": lambda x: evaluate(PROBLEM, x, Z),
    "simulate": lambda x: pontryagin.simulate(x, None, law("lqr"), Z),
    "simulate, plant": lambda x: pontryagin.simulate(PROBLEM, x, law("lqr"), Z),
    "simulate, controller": lambda x: pontryagin.simulate(PROBLEM, None, x, Z),
    "hamiltonian": lambda x: pontryagin.hamiltonian(x, torch.zeros(()), Z, Z, Z[:, :1]),
    "hamiltonian, z": lambda x: pontryagin.hamiltonian(PROBLEM, torch.zeros(()), x, Z[:1], Z[:1, :1]),
    "solve_argmax": lambda x: pontryagin.solve_argmax(x, 0.0, Z, Z),
    "solve_held_argmax": lambda x: pontryagin.solve_held_argmax(x, VALUE, 0.0, Z),
    "solve_held_argmax, z": lambda x: pontryagin.solve_held_argmax(PROBLEM, VALUE, 0.0, [x]),
    "solve_optimum": lambda x: solve_optimum(x, Z),
    "improve_optimum": lambda x: pontryagin.improve_optimum(x, solve_optimum(PROBLEM, Z)),
    "improve_optimum, reference": lambda x: pontryagin.improve_optimum(PROBLEM, x),
    "certify": lambda x: pontryagin.certify(x, solve_optimum(PROBLEM, Z)),
    "certify, path": lambda x: pontryagin.certify(PROBLEM, x),
    "bellman_residual": lambda x: pontryagin.bellman_residual(PROBLEM, x, VALUE),
    "export_policy": lambda x: pontryagin.export_policy(x, "never", "numpy"),
    "train": lambda x: pontryagin.train(x),
    "train_direct": lambda x: pontryagin.train_direct(x),
    "solve": lambda x: pontryagin.solve(x),
    "ImplicitPolicy": lambda x: ImplicitPolicy(x, VALUE),
    "ImplicitPolicy, value": lambda x: ImplicitPolicy(PROBLEM, x),
    "DirectPolicy": lambda x: DirectPolicy(x),
    "ControllerPolicy": lambda x: ControllerPolicy(x, print),
    "ControllerPolicy, controller": lambda x: ControllerPolicy(PROBLEM, x),
    "ExplicitPolicy": lambda x: ExplicitPolicy(x, VALUE),
    "ExplicitPolicy, value": lambda x: ExplicitPolicy(PROBLEM, x),
    "LinearQuadraticRegulator": lambda x: LinearQuadraticRegulator(x),
    "TimeVaryingLQR": lambda x: TimeVaryingLQR(PROBLEM, x),
    "OptimalControlEnv": lambda x: pontryagin.OptimalControlEnv(x),
    "OptimalControlVectorEnv": lambda x: pontryagin.OptimalControlVectorEnv(x),
    "as_parallel": lambda x: pontryagin.as_parallel(x),
    "as_sb3": lambda x: pontryagin.as_sb3(x),
    "make_problem": lambda x: pontryagin.make_problem(x),
    "recipe": lambda x: pontryagin.recipe([x]),  # any name is one: of a problem without a recipe of its own
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_of_another_kind_is_refused_in_a_sentence(name):
    for other in OTHERS:
        with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
            ENTRIES[name](other)


def test_a_value_function_of_another_precision_is_named():
    with pytest.raises(ValueError, match="z has dtype torch.float64, the weights of phi torch.float32"):
        pontryagin.solve_held_argmax(PROBLEM, VALUE, 0.0, Z.double())
