"""The methods of the benchmark, each with the same interface: a problem, a seed and a budget in, a controller out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from itertools import cycle
from typing import Any

from ...controllers.baselines import RecedingHorizon, TimeVaryingLQR
from ...controllers.policy import Hamiltonian
from ...envs.integrate import Controller
from ...envs.problem import Problem
from ..agents import digest, load_controller
from ..checkpoint import History, plain_config
from ..config import TrainConfig
from ..direct import train_direct
from ..gear import PAYS
from ..recipes import recipe
from ..solve import solve
from ..start import nominal_path
from ..train import train
from .rl import Row, train_rl
from .rl_recipes import Algorithm, rl_recipe

DIRECT_RATES = {"quadrotor": 3e-2, "bicycle100": 2e-3}
"""Problem -> learning rate of the analytic policy gradient, where a trial found a better one than the recipe's, or
the recipe's is for a policy that begins from another."""
BEGUN = 10
"""Iterations below which a run has not begun to learn when its budget is over."""
UNLIMITED = 10**9
SOLVED = 1e-3
"""The mean gap at which ``solve`` ends before its budget does."""
LARGE = 100
"""States above which an optimum by IPOPT with exact second derivatives is out of reach of a benchmark."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a method is asked for: ``name`` is that of the problem, ``budget`` is in seconds, everything included.

    ``source`` says where an agent of the user's own is.
    """

    name: str
    problem: Problem
    seed: int
    budget: float
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Trained:
    """What it answers.

    Attributes:
        controller: the best on the validation states, where there was anything to choose.
        curve: rows of ``seconds``, ``env_steps`` and ``validation_cost``.
        seconds: wall time, everything included.
        env_steps: of the environment, or of its model where the method differentiates that.
        settings: as plain data.
        note: what has to be said beside its figures.
    """

    controller: Controller
    curve: list[Row]
    seconds: float
    env_steps: float
    settings: dict[str, Any]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Method:
    """A method by name: how it is written in tables, its colour, whether seeds mean anything to it.

    ``needs`` are modules that it imports, each with the extra that brings it. ``robust_share``: of the states that are
    flown under each disturbance it flies one in so many, for it seeks an optimum wherever it is pushed to;
    ``crowd_share``: the same of problems with more than ``LARGE`` states, where its argmax takes a tenth of a second a
    state.
    """

    label: str
    color: str
    learns: bool
    make: Callable[[Task], Trained]
    needs: tuple[tuple[str, str], ...] = ()
    robust_share: int = 1
    crowd_share: int = 1


def _jfb(task: Task, hamiltonian: Hamiltonian | None = None, taught: bool = True) -> Trained:
    """``train`` with the recipe of the problem; of optima to be taught no more than about half the budget pays for."""
    begun = time.monotonic()
    found = recipe(task.name, hamiltonian, taught)
    anchors = min(found.anchors, max(8, round(task.budget)))
    lessons = min(found.distill_iterations, 10 * anchors)
    few: dict[str, Any] = {"anchors": anchors, "distill_iterations": lessons} if found.anchor == "distilled" else {}
    config = _budgeted(dataclasses.replace(found, begin_from=None, **few), task)
    policy, history = train(task.problem, config)
    return _trained(policy, history, config, task.problem, time.monotonic() - begun)


def _direct(task: Task) -> Trained:
    """Analytic policy gradient: ``train_direct`` with what the recipe has for it, at a learning rate of its own."""
    begun = time.monotonic()
    found = recipe(task.name, taught=False)
    config = _budgeted(
        dataclasses.replace(
            found, width=max(found.width, 64), learning_rate=DIRECT_RATES.get(task.name, found.learning_rate),
            anchor="none", begin_from=None, nominal=False, bound_penalty=0.0, hjb_weight=0.0, terminal_value_weight=0.0,
            terminal_gradient_weight=0.0,
        ),
        task,
    )  # fmt: skip
    policy, history = train_direct(task.problem, config)
    return _trained(policy, history, config, task.problem, time.monotonic() - begun)


def _budgeted(config: TrainConfig, task: Task) -> TrainConfig:
    """``config`` within the task's seconds of wall time, all counted; on the CPU, as the others."""
    return dataclasses.replace(
        config, time_budget=task.budget, iterations=UNLIMITED, seed=task.seed, count_all=True, out=None,
        compile=config.compile and task.budget >= PAYS, device="cpu",
    )  # fmt: skip


def _trained(
    policy: Controller, history: History, config: TrainConfig, problem: Problem, seconds: float
) -> Trained:  # fmt: skip
    counted = env_steps(history, config, problem)
    curve = [
        {"seconds": row["seconds"], "env_steps": n, "validation_cost": row["validation_cost"]}
        for row, n in zip(history.rows, counted, strict=True)
    ]
    iterations, note = history.rows[-1]["iteration"] if history.rows else 0.0, ""
    if iterations < BEGUN:
        first = "compiling and the start" if config.compiled else "the start"
        note = f"no more than {iterations:.0f} iterations, for the budget went into {first}; give it more"
    return Trained(policy, curve, seconds, counted[-1] if counted else 0.0, plain_config(config), note)


def env_steps(history: History, config: TrainConfig, problem: Problem) -> list[float]:
    """Control steps of the model that training had flown (and differentiated) by each row of the history.

    A run that begins with shorter rollouts changes to the problem's own between two rows; which iteration it was is not
    in the history, so the count is right to one validation interval.
    """
    assert config.budget_seconds is not None
    counted, last = 0.0, 0.0
    found = []
    for row in history.rows:
        late = row["seconds"] / config.budget_seconds >= 1 - config.fine_share
        steps = problem.steps if late or config.steps is None else config.steps
        counted += (row["iteration"] - last) * config.batch * steps
        last = row["iteration"]
        found.append(counted)
    return found


def _rl(task: Task, algorithm: Algorithm) -> Trained:
    """Stable-Baselines3 with the tuned recipe of the problem."""
    begun = time.monotonic()
    settings = rl_recipe(task.name, algorithm)
    states = recipe(task.name).validation_states
    learned = train_rl(task.problem, settings, task.budget, task.seed, states=states)
    seconds = time.monotonic() - begun
    steps, told = learned.curve[-1]["env_steps"], dataclasses.asdict(settings) | {"diverged": learned.diverged}
    return Trained(learned.policy, learned.curve, seconds, steps, told)


def _lqr_tracking(task: Task) -> Trained:
    """Time-varying LQR along the optimum from the mean initial state."""
    _refuse_large(task.problem)
    begun = time.monotonic()
    controller = TimeVaryingLQR(task.problem, nominal_path(task.problem))
    return Trained(controller, [], time.monotonic() - begun, 0.0, {"about": "the optimum from the mean initial state"})


def _mpc(task: Task) -> Trained:
    """The rest of the problem solved at every step, all states at once, from the last optimum."""
    _refuse_large(task.problem)
    begun = time.monotonic()
    controller = RecedingHorizon(task.problem)
    return Trained(controller, [], time.monotonic() - begun, 0.0, {"every": 1})


def _refuse_large(problem: Problem) -> None:
    if problem.state_dim > LARGE:
        raise ValueError(
            f"{type(problem).__name__} has {problem.state_dim} states: its optima take IPOPT minutes each; "
            f"LQR and MPC are made for up to {LARGE}"
        )


def _solved(task: Task) -> Trained:
    """``solve`` with its defaults on one thread, until it is a tenth as far above the optimum as is enough for it."""
    begun = time.monotonic()
    found = solve(task.problem, task.budget, task.seed, gap=SOLVED)
    settings = {"gap": SOLVED, "optima": found.known, "stage": found.history[-1]["stage"]}
    return Trained(found.policy, [], time.monotonic() - begun, 0.0, settings)


SB3 = (("stable_baselines3", "sb3"),)
METHODS: dict[str, Method] = {
    "jfb": Method("JFB", "#2563eb", True, _jfb, crowd_share=8),
    "jfb-continuous": Method("JFB, continuous H", "#0891b2", True, lambda task: _jfb(task, "continuous")),
    "jfb-random": Method("JFB, random weights", "#06b6d4", True, lambda task: _jfb(task, taught=False)),
    "ppo": Method("PPO", "#d97706", True, lambda task: _rl(task, "ppo"), SB3),
    "sac": Method("SAC", "#b91c1c", True, lambda task: _rl(task, "sac"), SB3),
    "tqc": Method("TQC", "#0e7490", True, lambda task: _rl(task, "tqc"), (*SB3, ("sb3_contrib", "contrib"))),
    "solve": Method("solve", "#111827", True, _solved, robust_share=8),
    "direct": Method("analytic policy gradient", "#7c3aed", True, _direct),
    "lqr-tracking": Method("LQR tracking", "#15803d", False, _lqr_tracking),
    "mpc": Method("MPC", "#6b7280", False, _mpc),
}
"""Name -> method."""
OWN_COLORS = ("#db2777", "#0f766e", "#9333ea", "#ca8a04")
"""Of agents of the user's own."""


def method_named(name: str) -> Method:
    """The method called ``name``; any other name is that of an agent of the user's own, which is not trained here."""
    return METHODS.get(name) or Method(name, OWN_COLORS[0], False, _own)


def methods_named(names: Iterable[str]) -> dict[str, Method]:
    """The methods of one figure: agents of the user's own have a colour each, as far as there are some."""
    colors = cycle(OWN_COLORS)
    return {name: METHODS.get(name) or Method(name, next(colors), False, _own) for name in names}


def own_files(source: str) -> tuple[str, str | None]:
    """``model.zip+stats.pkl`` as the agent and the statistics of its observations."""
    agent, plus, statistics = source.partition(".zip+")
    return (f"{agent}.zip", statistics) if plus else (source, None)


def own_digest(source: str) -> str:
    """What tells a file from what it is by now: SHA-256 of an agent, and of its statistics."""
    return "+".join(digest(file) for file in own_files(source) if file is not None)


def _own(task: Task) -> Trained:
    """An agent that was trained elsewhere."""
    agent, statistics = own_files(task.source)
    controller: Any = load_controller(agent, task.problem, vecnormalize=statistics)
    return Trained(controller, [], 0.0, 0.0, {"source": task.source})
