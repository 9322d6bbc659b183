"""A seed, a count, a size of a step or a flag may be NumPy's, wherever one is asked for."""

import json

import numpy as np
import pytest
import torch

import pontryagin
from pontryagin import (
    DirectPolicy,
    DoubleIntegrator,
    GradientAscent,
    ImplicitGradient,
    ImplicitPolicy,
    ProjectedNewton,
    TrainConfig,
    ValueFunction,
    solve_argmax,
    solve_optimum,
)
from pontryagin.envs.files import plain
from pontryagin.training.theory import diagnose

PROBLEM = DoubleIntegrator(steps=3)
Z = torch.ones(2, 2)
THREE = (np.int64(3), np.int32(3), np.uint8(3))


def argmax(**options):
    return solve_argmax(PROBLEM, 0.0, Z, Z, operator=GradientAscent(0.5), **options).control


def casadi(make):
    def made(n):
        pytest.importorskip("casadi")
        return make(n)

    return made


def diagnosed(**options):
    policy = ImplicitPolicy(PROBLEM, ValueFunction(PROBLEM, 4, seed=0))
    return diagnose(policy, Z, ProjectedNewton(), **options).cost


WHOLE = {
    "operators": lambda n: (GradientAscent(0.5, memory=n), ProjectedNewton(n)),
    "gradient": lambda n: ImplicitGradient(max_iterations=n),
    "argmax": lambda n: argmax(max_iterations=n, jfb_steps=n),
    "descent": lambda n: solve_optimum(PROBLEM, Z, starts=n, seed=n, max_iterations=n).cost,
    "ipopt": casadi(lambda n: pontryagin.solve_reference(PROBLEM, Z, starts=n, seed=n, max_iterations=10 * n).cost),
    "steps": casadi(lambda n: pontryagin.solve_reference(PROBLEM, Z, steps=n).cost),
    "mpc": lambda n: pontryagin.RecedingHorizon(PROBLEM, every=n, starts=n, max_iterations=5 * n)(0.0, Z),
    "improved": lambda n: pontryagin.improve_optimum(PROBLEM, solve_optimum(PROBLEM, Z), max_iterations=n).cost,
    "diagnosis": lambda n: diagnosed(times=n, seed=n),
    "value": lambda n: ValueFunction(PROBLEM, 4, seed=n)(torch.zeros(()), Z),
    "direct": lambda n: DirectPolicy(PROBLEM, width=n, seed=n)(torch.zeros(()), Z),
    "policy": lambda n: ImplicitPolicy(PROBLEM, ValueFunction(PROBLEM, 4, seed=0), max_iterations=n)(0.0, Z),
    "configuration": lambda n: TrainConfig(seed=n, iterations=n, width=n),
}


@pytest.mark.parametrize("number", THREE, ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_of_numpy(name, number):
    found, expected = WHOLE[name](number), WHOLE[name](3)
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found, expected, equal_nan=True)
    elif not isinstance(expected, tuple | TrainConfig):
        assert found == expected and type(found.max_iterations) is int
    else:
        assert found == expected


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_numbers_of_numpy(kind):
    half = kind(1)
    assert GradientAscent(half) == GradientAscent(1.0) and type(GradientAscent(half).step_size) is float
    assert ImplicitGradient(tolerance=half) == ImplicitGradient(tolerance=1.0)
    torch.testing.assert_close(argmax(tolerance=half), argmax(tolerance=1.0))
    torch.testing.assert_close(
        solve_argmax(PROBLEM, half, Z, Z).control, solve_argmax(PROBLEM, float(half), Z, Z).control
    )
    assert json.dumps(plain(vars(GradientAscent(half, np.int64(2))), "operator"))


def test_flags_of_numpy():
    assert TrainConfig(compile=np.bool_(False)).compile is False
    env = pontryagin.OptimalControlVectorEnv(PROBLEM, np.int64(2), compile=np.bool_(False))
    assert env.reset(seed=np.int64(1))[0].shape == (2, 3)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "3", True, [3], np.float64(3.0)])
@pytest.mark.parametrize("name", ["operators", "gradient", "descent", "ipopt", "mpc", "improved"])
def test_what_is_no_count_is_a_sentence(name, wrong):
    if name == "operators" and wrong == 0 and wrong is not True:
        wrong = -1  # no memory is one
    with pytest.raises(ValueError, match="expected"):
        WHOLE[name](wrong)
