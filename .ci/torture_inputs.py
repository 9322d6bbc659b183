"""Hostile arguments for every public entry point; sizes stay below what a machine can hold."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pontryagin
from pontryagin.envs.checking import check_functions
from pontryagin.training.commands.cli import _parsed
from pontryagin.training.console import one_sentence

Surface = Callable[[random.Random, list[object]], object]
WORDS = ["", "x", "nan", "-1", "[/x]", "auto", "human", "rgb_array", "jfb", "cpu", "cuda:9", "é\udc80", "..", "a" * 300]


def values(chance: random.Random) -> Any:
    """Something of any kind."""
    infinite = float("inf")
    number = chance.choice([0, 1, -1, 2, 3, 7, 0.5, -0.0, 1e-30, 1e30, -1e300, float("nan"), infinite, -infinite])
    shape = tuple(chance.choice([0, 1, 2, 3, 4, 12, 13]) for _ in range(chance.randrange(4)))
    kind = chance.choice([torch.float32, torch.float64, torch.float16, torch.int64, torch.bool, torch.complex64])
    makers: list[Callable[[], Any]] = [
        lambda: number,
        lambda: None,
        lambda: chance.choice([True, False]),
        lambda: chance.choice(WORDS),
        lambda: b"bytes",
        lambda: object(),
        lambda: values,
        lambda: [],
        lambda: {},
        lambda: {"state": number, 3: None},
        lambda: [number, None],
        lambda: (number,) * chance.randrange(5),
        lambda: [[number], [number, number]],
        lambda: np.float64(number),
        lambda: np.int64(chance.randrange(-2, 9)),
        lambda: 10 ** chance.randrange(1, 4) + 0j,
        lambda: 10**400,
        lambda: np.full(shape, number),
        lambda: np.full(shape, chance.choice(WORDS)),
        lambda: np.full(shape, None),
        lambda: torch.full(shape, float(number), dtype=torch.float64).to(kind),
        lambda: torch.rand(shape).to(kind),
    ]
    return chance.choice(makers)()


def finite(answer: Any, *shape: int) -> Any:
    """The answer, which must be one."""
    from torture import Wrong

    array = np.asarray(answer.detach() if isinstance(answer, torch.Tensor) else answer, dtype=float)
    if array.shape != shape or not np.isfinite(array).all():
        raise Wrong(f"{array.shape} {array.ravel()[:3]}; expected finite {shape}")
    return answer


def spoiled(chance: random.Random, usual: dict[str, Any], about: list[object]) -> dict[str, Any]:
    """One to three of the usual arguments replaced."""
    arguments = dict(usual)
    for name in chance.sample(sorted(usual), min(len(usual), chance.choice([1, 1, 1, 2, 3]))):
        arguments[name] = values(chance)
    about.append(arguments)
    return arguments


PROBLEM = pontryagin.DoubleIntegrator(steps=4)
KINDS = [pontryagin.DoubleIntegrator, pontryagin.Quadrotor, pontryagin.MultiBicycle, pontryagin.CoupledControls]


def problem(chance: random.Random, about: list[object]) -> None:
    """A problem with fields of any kind; one that is accepted has functions that work."""
    kind = chance.choice(KINDS)
    usual = dict.fromkeys(inspect.signature(kind).parameters)
    names = chance.sample(sorted(usual), min(len(usual), chance.choice([1, 1, 2])))
    fields = {name: values(chance) for name in names}
    about.append((kind, fields))
    made = kind(**fields)
    if made.state_dim * made.control_dim < 10_000:
        check_functions(made)


def rollout(chance: random.Random, about: list[object]) -> None:
    usual = {"problem": PROBLEM, "controller": lambda t, z: z[:, :1], "z0": torch.ones(2, 2), "steps": None}
    arguments = spoiled(chance, usual, about)
    if chance.random() < 0.3:
        answer = values(chance)
        about.append(answer)
        arguments["controller"] = lambda t, z: answer
    path = pontryagin.rollout(**arguments)
    finite(path.cost, len(arguments["z0"]))


def evaluation(chance: random.Random, about: list[object]) -> None:
    usual = {"problem": PROBLEM, "controller": lambda t, z: z[:, :1], "z0": torch.ones(2, 2), "reference_cost": None}
    arguments = spoiled(chance, usual, about)
    finite(pontryagin.evaluate(**arguments).cost, len(arguments["z0"]))


def argmax(chance: random.Random, about: list[object]) -> None:
    usual = {
        "problem": PROBLEM, "t": torch.zeros(()), "z": torch.ones(2, 2), "p": torch.ones(2, 2), "u0": torch.zeros(2, 1),
        "operator": pontryagin.ProjectedNewton(), "gradient": "jfb", "max_iterations": 5, "tolerance": 1e-6,
        "starts": "single",
    }  # fmt: skip
    arguments = spoiled(chance, usual, about)
    finite(pontryagin.solve_argmax(**arguments).control, len(arguments["z"]), 1)


@functools.cache
def policies() -> list[Any]:
    value = pontryagin.ValueFunction(PROBLEM, 8, seed=0)
    return [
        pontryagin.ImplicitPolicy(PROBLEM, value, max_iterations=3),
        pontryagin.ControllerPolicy(PROBLEM, lambda t, z: z[:, :1]),
        pontryagin.ControllerPolicy(PROBLEM, pontryagin.DirectPolicy(PROBLEM, 8)),
    ]


def predict(chance: random.Random, about: list[object]) -> None:
    usual = {"observation": np.zeros((2, 3), np.float32), "state": None, "episode_start": None, "deterministic": True}
    policy = chance.choice(policies())
    arguments = spoiled(chance, usual, about)
    about.append(policy)
    finite(policy.predict(**arguments)[0], *np.shape(arguments["observation"])[:-1], 1)


def single(chance: random.Random, about: list[object]) -> None:
    usual = {"problem": PROBLEM, "render_mode": None}
    env = pontryagin.OptimalControlEnv(**spoiled(chance, usual, about) if chance.random() < 0.2 else usual)
    options = values(chance) if chance.random() < 0.3 else {chance.choice(["state", "x"]): values(chance)}
    choice = chance.randrange(3)
    about.append((options, choice))
    env.reset(seed=values(chance) if choice == 0 else 0, options=options if choice == 1 else None)
    action = values(chance)
    about.append(action)
    finite(env.step(action)[0], 3)


def vector(chance: random.Random, about: list[object]) -> None:
    usual = {
        "problem": PROBLEM, "num_envs": 2, "device": "cpu", "autoreset_mode": "NextStep", "max_episode_steps": None,
        "render_mode": None, "compile": False,
    }  # fmt: skip
    made = spoiled(chance, usual, about) | {"compile": False} if chance.random() < 0.3 else usual
    env = pontryagin.OptimalControlVectorEnv(**made)
    choice = chance.randrange(3)
    options = {chance.choice(["state", "reset_mask", "x"]): values(chance)}
    about.append((options, choice))
    env.reset(seed=values(chance) if choice == 0 else 0, options=options if choice == 1 else None)
    action = values(chance)
    about.append(action)
    finite(env.step(action)[0], env.num_envs, 3)


def sb3(chance: random.Random, about: list[object]) -> None:
    env = pontryagin.as_sb3(pontryagin.OptimalControlVectorEnv(PROBLEM, 2) if chance.random() < 0.8 else values(chance))
    env.reset()
    action = values(chance)
    about.append(action)
    finite(env.step(action)[0], 2, 3)


def configuration(chance: random.Random, about: list[object]) -> None:
    names = list(inspect.signature(pontryagin.TrainConfig).parameters)
    fields = {name: values(chance) for name in chance.sample(names, chance.choice([1, 1, 2]))}
    about.append(fields)
    pontryagin.TrainConfig(**fields)


COMMANDS = "train evaluate diagnose play plot reference compare-gradients benchmark tune simulate export parity x -h"
OPTIONS = (
    "--states --seed --out-dir --problem --json --iterations --time-budget --methods --to --plant --video --resume "
    "--operator --anchor --hamiltonian --width --bogus --no-resume --compile"
)
NAMES = "quadrotor bicycle5 double_integrator 0 -3 1e9 10m 0s inf numpy a:b [x] None"


def command_line(chance: random.Random, about: list[object]) -> None:
    """Read, not run."""
    words = [*WORDS, *NAMES.split(), *OPTIONS.split()]
    line = [chance.choice(COMMANDS.split()), *chance.choices(words, k=chance.randrange(5))]
    about.append(line)
    with one_sentence():
        _parsed(line)


def loading(work: Path, chance: random.Random, about: list[object]) -> None:
    usual = {"path": work / "policy", "device": "cpu", "problem": None}
    pontryagin.ImplicitPolicy.load(**spoiled(chance, usual, about))


def surfaces(work: Path) -> dict[str, Surface]:
    """Name -> case."""
    policies()[0].save(work / "policy")
    return {
        "problems": problem, "rollout": rollout, "evaluate": evaluation, "solve_argmax": argmax, "predict": predict,
        "environment": single, "vector environment": vector, "as_sb3": sb3, "TrainConfig": configuration,
        "command line": command_line, "load": functools.partial(loading, work),
    }  # fmt: skip
