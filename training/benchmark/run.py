"""One run of the benchmark, in a process of its own: train, evaluate, disturb; what it finds is plain data."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...controllers.adapter import ControllerPolicy
from ...controllers.optimum import ReferenceTrajectory, known_reference
from ...envs.catalog import make_problem
from ...envs.problem import Problem
from ...envs.record import class_name, problem_parameters
from ...envs.states import draw_states
from ..evaluate import evaluate
from .methods import Task, Trained, method_named, own_digest
from .robustness import robustness

Record = dict[str, Any]
SEED = 0
"""Of the initial states of the evaluation, as in ``pontryagin evaluate``."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One run: a method, a seed, and what it is measured by. All of it can be pickled."""

    name: str
    method: str
    seed: int
    budget: float
    threads: int
    states: int
    robust_states: int
    command: str
    source: str = ""

    @property
    def label(self) -> str:
        """``ppo-0``: the names of its files."""
        return f"{self.method}-{self.seed}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run sends back, from wherever it ran: its record, and the files of its policy."""

    record: Record
    files: dict[str, bytes]


def run_job(job: Job) -> Outcome:
    """Train, evaluate, disturb. What fails is recorded with its reason."""
    torch.set_num_threads(job.threads)
    problem = make_problem(job.name)
    about = describe(job, problem)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # every run compiles for itself, and pays for it
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = str(job.threads)
        try:
            trained = method_named(job.method).make(Task(job.name, problem, job.seed, job.budget, job.source))
            record = about | measure(job, problem, trained)
        except (ValueError, ImportError, FloatingPointError) as error:
            return Outcome(about | {"failed": str(error)}, {})
        files: dict[str, bytes] = {}
        if hasattr(trained.controller, "save"):
            saved = Path(cache) / "policy"
            trained.controller.save(saved, {"benchmark": about})
            files = {path.name: path.read_bytes() for path in saved.iterdir() if path.name[0] != "."}
    return Outcome(record, files)


def measure(job: Job, problem: Problem, trained: Trained) -> Record:
    """The figures of a trained controller."""
    z0 = evaluation_states(problem, job.states)
    known = known_optima(problem, z0)
    controller = trained.controller
    policy = controller if hasattr(controller, "predict") else ControllerPolicy(problem, controller)
    same = known is not None and known[0] is z0
    result = evaluate(problem, policy, z0, known[1].optimum if known and same else None)
    beside = evaluate(problem, policy, known[0], known[1].optimum) if known and not same else result
    gaps = {k: v for k, v in beside.summary().items() if k.startswith(("gap_", "reference_"))}
    path = result.trajectory
    record: Record = {
        "seconds": trained.seconds, "env_steps": trained.env_steps, "settings": trained.settings,
        "curve": trained.curve, "summary": result.summary() | gaps,
        "cost": result.cost.tolist(), "terminal_error": result.terminal_error.tolist(),
        "gap": None if beside.gap is None else beside.gap[beside.gap.isfinite()].tolist(),
        "path": {"z": _rounded(path.z[:, 0]), "u": _rounded(path.u[:, 0])},
    }  # fmt: skip
    if trained.note:
        record["note"] = trained.note
    if job.robust_states:
        record["robustness"] = robustness(problem, controller, z0[: job.robust_states])
    return record


def evaluation_states(problem: Problem, count: int) -> Tensor:
    """The first ``count`` of the seeded states that ``pontryagin evaluate`` flies.

    A draw of 16 is not the beginning of a draw of 128, so 128 are drawn; more if more are asked for.
    """
    return draw_states(problem, max(128, count), SEED)[:count]


def known_optima(problem: Problem, z0: Tensor) -> tuple[Tensor, ReferenceTrajectory] | None:
    """``z0`` and the stored optima from there; or other states, of a smaller draw, whose optima are stored; or None."""
    for states in (z0, *(draw_states(problem, count, SEED) for count in (64, 32, 16, 8, 4))):
        if found := known_reference(problem, states):
            return states, found
    return None


def describe(job: Job, problem: Problem) -> Record:
    """Who, what, where and with which versions: what a record begins with."""
    import gymnasium
    import numpy

    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
    versions |= {"gymnasium": gymnasium.__version__}
    if method_named(job.method).label in ("PPO", "SAC", "TQC") or ".zip" in job.source:
        import stable_baselines3

        versions["stable_baselines3"] = stable_baselines3.__version__
    if job.method == "tqc":
        import sb3_contrib

        versions["sb3_contrib"] = sb3_contrib.__version__
    own = {"source": [job.source, own_digest(job.source)]} if job.source else {}
    return {
        **own,
        "problem": class_name(type(problem)), "parameters": json.loads(json.dumps(problem_parameters(problem))),
        "method": job.method, "seed": job.seed, "budget_seconds": job.budget, "threads": job.threads,
        "states": job.states, "robust_states": job.robust_states, "command": job.command,
        "date": datetime.date.today().isoformat(), "versions": versions,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _rounded(x: Tensor) -> list[list[float]]:
    return [[round(v, 5) for v in row] for row in x.tolist()]
