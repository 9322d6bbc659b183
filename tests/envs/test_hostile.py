"""What is given to a public entry point is what it expects, or is refused in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pontryagin
from pontryagin import DoubleIntegrator, OptimalControlEnv, OptimalControlVectorEnv, evaluate, rollout
from pontryagin.envs.catalog import recorded_problem
from pontryagin.envs.compiling import device_named
from pontryagin.envs.record import problem_record

PROBLEM = DoubleIntegrator(steps=4)
Z = torch.ones(2, 2)
HUGE = 10**400
TORTURE = Path(pontryagin.__file__).resolve().parent / ".ci" / "torture.py"


def first(t, z):
    return z[:, :1]


def after_reset(env, action):
    env.reset(seed=0)
    return env.step(action)


def argmax(**changes):
    usual = {"problem": PROBLEM, "t": 0.0, "z": Z, "p": Z}
    return pontryagin.solve_argmax(**{**usual, **changes})


HOSTILE = [
    (lambda: rollout(3, first, Z), "problem is a int; expected a pontryagin.Problem"),
    (lambda: evaluate(None, first, Z), "problem is a NoneType"),
    (lambda: rollout(PROBLEM, lambda t, z: None, Z), r"the controller returned a NoneType; expected \(2, 1\)"),
    (lambda: rollout(PROBLEM, lambda t, z: [0.0, 0.0], Z), "the controller returned a list"),
    (lambda: evaluate(PROBLEM, first, Z, {}), "reference_cost is a dict of no numbers"),
    (lambda: after_reset(OptimalControlEnv(PROBLEM), HUGE), "action is a int"),
    (lambda: OptimalControlVectorEnv(PROBLEM, 2, device=-1), "device is -1"),
    (lambda: device_named(b"bytes"), "device is b'bytes'; expected auto, cpu"),
    (lambda: pontryagin.Quadrotor(gravity=HUGE), "Quadrotor.gravity is 1000.*expected a finite number"),
    (lambda: OptimalControlEnv(PROBLEM).reset(options=Z), "options is a Tensor; expected a dict"),
    (lambda: OptimalControlVectorEnv(PROBLEM, HUGE), "num_envs is 1000.*at most"),
    (lambda: rollout(PROBLEM, first, Z, HUGE), "steps is 1000.*at most"),
    (lambda: DoubleIntegrator(horizon=HUGE), "horizon is 1000.*expected a .*finite"),
    (lambda: pontryagin.TrainConfig(time_budget=HUGE), "time_budget is 1000"),
    (lambda: argmax(problem=None), "problem is a NoneType"),
    (lambda: argmax(z=[1.0]), "z is a list; expected a torch.Tensor"),
    (lambda: argmax(p=b"p"), "p is a bytes"),
    (lambda: argmax(u0={}), "u0 is a dict"),
    (lambda: argmax(t=HUGE), "t is a int"),
    (lambda: argmax(gradient=Z), "gradient is tensor"),
    (lambda: argmax(tolerance=HUGE), "tolerance=1000"),
    (lambda: pontryagin.MultiBicycle(targets=HUGE), "targets is 1000"),
    (lambda: argmax(max_iterations=2.5), "max_iterations=2.5"),
]


@pytest.mark.parametrize(("case", "words"), HOSTILE)
def test_a_sentence_says_what_came(case, words):
    with pytest.raises(ValueError, match=words):
        case()


@pytest.mark.parametrize(("size", "words"), [(10**8, "expected 100000 at most"), (3, "DoubleIntegrator.dynamics")])
def test_a_file_does_not_declare_what_the_class_is_not(size, words):
    record = problem_record(PROBLEM)
    record["parameters"]["control_dim"] = size
    with pytest.raises(ValueError, match=words):
        recorded_problem(record, None, "a file")


@pytest.mark.parametrize("state", [{}, [], (), (None,), 3])
def test_predict_takes_back_what_it_returned(state, policy):
    with pytest.raises(ValueError, match="expected None, or what the last call returned"):
        policy.predict(np.zeros((2, 13), np.float32), state=state)


@pytest.mark.slow
@pytest.mark.skipif(not TORTURE.exists(), reason="an installed package has no .ci")
def test_a_minute_of_torture():
    environment = {**os.environ, "PYTHONPATH": str(Path(pontryagin.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    line = [
        sys.executable,
        str(TORTURE),
        "--cases",
        "4000",
        "--files",
        "400",
        "--disk",
        "0.05",
        "--seed",
        "1",
        "--seconds",
        "60",
    ]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("damaged files", "killed: ", "full disk: ", "limit of the kernel: ", "two at once: "):
        assert f"| {part}" in done.stdout
