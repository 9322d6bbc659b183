"""``pontryagin benchmark``: every method on the same environment, for the same wall time, from the same states."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import json
import multiprocessing
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..controllers.adapter import ControllerPolicy
from ..controllers.reference import ReferenceTrajectory
from ..controllers.reference_store import FOLDER, find_reference
from ..envs.catalog import class_name, make_problem
from ..envs.problem import Problem, problem_parameters
from .benchmark_config import BenchmarkConfig
from .evaluate import evaluate
from .methods import METHODS, Task, Trained
from .robustness import robustness

Record = dict[str, Any]
STORED = Path(__file__).resolve().parent.parent / FOLDER
"""References that come with a checkout of the project."""
SEED = 0
"""Of the initial states of the evaluation, as in ``pontryagin evaluate``."""
IDENTITY = ("problem", "parameters", "method", "seed", "budget_seconds", "threads", "states", "robust_states")
"""What a finished run must agree in to be kept."""


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

    @property
    def label(self) -> str:
        """``ppo-0``: the names of its files."""
        return f"{self.method}-{self.seed}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run sends back, from wherever it ran: its record, and the files of its policy."""

    record: Record
    files: dict[str, bytes]


def benchmark(name: str, config: BenchmarkConfig, tell: Callable[[str], None] = print) -> list[Record]:
    """Do the runs that are not finished yet, each in a process of its own, and return the records of all.

    A record is ``out/<problem>/<method>-<seed>.json``, written when the run ends, so a benchmark that was killed goes
    on with the run it was in. A run that failed leaves a record that says why, and is tried again.

    Raises:
        ValueError: if a finished run there had other settings, naming them; ``fresh`` does it again.
    """
    problem = make_problem(name)
    folder, policies = config.out / name.replace(":", "."), config.policies / name.replace(":", ".")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = make_jobs(name, config)
    kept = {} if config.fresh else {job.label: found for job in jobs if (found := _finished(folder, problem, job))}
    waiting = [job for job in jobs if job.label not in kept]
    tell(f"{len(jobs)} runs, {len(kept)} of them finished before; up to {_minutes(waiting)} of training ahead")
    spread = spread_ray if config.ray else spread_processes
    for job, outcome in spread(waiting, config):
        _write(folder / f"{job.label}.json", (json.dumps(outcome.record, indent=1) + "\n").encode())
        for file, content in outcome.files.items():
            _write(policies / job.label / file, content)
        tell(f"{job.label}: {one_line(outcome.record)}")
        kept[job.label] = outcome.record
    return [kept[job.label] for job in jobs]


def make_jobs(name: str, config: BenchmarkConfig) -> list[Job]:
    """Seed by seed, so that a benchmark that is cut short has something of every method."""
    jobs = []
    for seed in range(config.seeds):
        for method in config.names:
            if seed and not METHODS[method].learns:
                continue
            few = method == "mpc"
            jobs.append(
                Job(
                    name, method, seed, config.seconds, config.threads,
                    min(config.states, config.mpc_states) if few else config.states,
                    min(config.robust_states, -(-config.mpc_states // 8)) if few else config.robust_states,
                    config.command(name),
                )
            )  # fmt: skip
    return jobs


def spread_processes(jobs: list[Job], config: BenchmarkConfig) -> Iterator[tuple[Job, Outcome]]:
    """Each job in a fresh process, ``workers`` at a time: nothing of one run is left for the next."""
    with concurrent.futures.ThreadPoolExecutor(config.workers) as hands:
        waiting = {hands.submit(_in_process, job): job for job in jobs}
        try:
            for done in concurrent.futures.as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            hands.shutdown(wait=False, cancel_futures=True)


def _in_process(job: Job) -> Outcome:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(run_job, job).result()


def spread_ray(jobs: list[Job], config: BenchmarkConfig) -> Iterator[tuple[Job, Outcome]]:
    """The same function on a Ray cluster, a fresh process and ``threads`` cores for each job.

    Raises:
        ImportError: if Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError('--ray needs Ray: pip install "pontryagin[ray]"') from error
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False)
    remote = ray.remote(num_cpus=config.threads, max_calls=1)(run_job)
    try:
        waiting = {remote.remote(job): job for job in jobs}
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(done[0]), ray.get(done[0])
    finally:
        if started:
            ray.shutdown()


def run_job(job: Job) -> Outcome:
    """Train, evaluate, disturb. What fails is recorded with its reason."""
    torch.set_num_threads(job.threads)
    problem = make_problem(job.name)
    about = _about(job, problem)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # every run compiles for itself, and pays for it
        try:
            trained = METHODS[job.method].make(Task(job.name, problem, job.seed, job.budget))
        except (ValueError, ImportError, FloatingPointError) as error:
            return Outcome(about | {"failed": str(error)}, {})
        record = about | measure(job, problem, trained)
        files: dict[str, bytes] = {}
        if hasattr(trained.controller, "save"):
            saved = Path(cache) / "policy"
            trained.controller.save(saved, {"benchmark": about})
            files = {path.name: path.read_bytes() for path in saved.iterdir()}
    return Outcome(record, files)


def measure(job: Job, problem: Problem, trained: Trained) -> Record:
    """The figures of a trained controller."""
    z0 = evaluation_states(problem, job.states)
    known = known_optima(problem, z0)
    controller = trained.controller
    policy = controller if hasattr(controller, "predict") else ControllerPolicy(problem, controller)
    same = known is not None and known[0] is z0
    result = evaluate(problem, policy, z0, known[1].cost if known and same else None)
    beside = evaluate(problem, policy, known[0], known[1].cost) if known and not same else result
    gaps = {k: v for k, v in beside.summary().items() if k.startswith(("gap_", "reference_"))}
    path = result.trajectory
    record: Record = {
        "seconds": trained.seconds, "env_steps": trained.env_steps, "settings": trained.settings,
        "curve": trained.curve, "summary": result.summary() | gaps,
        "cost": result.cost.tolist(), "miss": result.terminal_error.tolist(),
        "gap": None if beside.gap is None else beside.gap.tolist(),
        "path": {"z": _rounded(path.z[:, 0]), "u": _rounded(path.u[:, 0])},
    }  # fmt: skip
    if job.robust_states:
        record["robustness"] = robustness(problem, controller, z0[: job.robust_states])
    return record


def evaluation_states(problem: Problem, count: int) -> Tensor:
    """The first ``count`` of the seeded states that ``pontryagin evaluate`` flies.

    A draw of 16 is not the beginning of a draw of 128, so 128 are drawn; more if more are asked for.
    """
    return problem.sample_initial_state(max(128, count), torch.Generator().manual_seed(SEED))[:count]


def known_optima(problem: Problem, z0: Tensor) -> tuple[Tensor, ReferenceTrajectory] | None:
    """``z0`` and the stored optima from there; or other states, of a smaller draw, whose optima are stored; or None."""
    draws = [problem.sample_initial_state(count, torch.Generator().manual_seed(SEED)) for count in (64, 32, 16, 8, 4)]
    for states in (z0, *draws):
        for folder in (FOLDER, STORED):
            if found := find_reference(problem, states, folder):
                return states, found
    return None


def one_line(record: Record) -> str:
    """What a run came to, in a few words."""
    if "failed" in record:
        return f"failed: {record['failed']}"
    s = record["summary"]
    gap = f", {100 * s['gap_mean']:.3g} % above the optimum" if "gap_mean" in s else ""
    return f"cost {s['cost_mean']:.4g}{gap}, {record['seconds']:.0f} s, {record['env_steps']:.3g} steps"


def _about(job: Job, problem: Problem) -> Record:
    import gymnasium
    import numpy

    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
    versions |= {"gymnasium": gymnasium.__version__}
    if METHODS[job.method].label in ("PPO", "SAC"):
        import stable_baselines3

        versions["stable_baselines3"] = stable_baselines3.__version__
    return {
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


def _finished(folder: Path, problem: Problem, job: Job) -> Record | None:
    """The record of this very run, if there is one and it did not fail."""
    file = folder / f"{job.label}.json"
    if not file.exists():
        return None
    record: Record = json.loads(file.read_text(encoding="utf-8"))
    if "failed" in record:
        return None
    now = _about(job, problem)
    changed = {k: (record.get(k), now[k]) for k in IDENTITY if record.get(k) != now[k]}
    if changed:
        raise ValueError(
            f"{file} is of a run with other settings; (then, now): {changed}; expected the same, or --fresh"
        )
    return record


def _minutes(jobs: list[Job]) -> str:
    return f"{sum(job.budget for job in jobs if METHODS[job.method].learns) / 60:.3g} minutes"


def _rounded(x: Tensor) -> list[list[float]]:
    return [[round(v, 5) for v in row] for row in x.tolist()]


def _write(path: Path, content: bytes) -> None:
    """Beside, then renamed over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
