"""``pontryagin benchmark``: every method on the same environment, for the same wall time, from the same states."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ...controllers.optimum import Pool, spawn_pool
from ...controllers.storage import PATIENCE
from ...envs.catalog import make_problem
from ...envs.extras import optional
from ...envs.files import alone, check_folder, from_record, plain, read_json, replace_file
from ...envs.problem import Problem
from .config import BenchmarkConfig
from .methods import LARGE, method_named, own_digest, own_files
from .run import Job, Outcome, Record, describe, run_job
from .table import markdown

IDENTITY = ("problem", "parameters", "method", "seed", "budget_seconds", "threads", "states", "robust_states", "source")
"""What a finished run must agree in to be kept."""


def benchmark(name: str, config: BenchmarkConfig, tell: Callable[[str], None] = print) -> list[Record]:
    """Do the runs that are not finished yet, each in a process of its own, and return the records of all.

    A record is ``out/<problem>/<method>-<seed>.json``, written when the run ends, so a benchmark that was killed goes
    on with the run it was in. A run that failed leaves a record that says why, and is tried again.

    Raises:
        ValueError: if a finished run there had other settings, naming them; ``fresh`` does it again.
        ImportError: before anything is trained, if what one of the methods needs is not installed.
    """
    problem = make_problem(name)
    for module, extra in dict.fromkeys(need for method in config.names for need in method_named(method).needs):
        optional(module, extra)
    for source in config.sources.values():
        own_digest(source)
        if own_files(source)[0].endswith(".zip"):
            optional("stable_baselines3", "sb3")
    folder, policies = config.out / name.replace(":", "."), config.policies / name.replace(":", ".")
    check_folder(folder, "BenchmarkConfig.out")
    check_folder(policies, "BenchmarkConfig.policies")
    jobs = make_jobs(name, config)
    kept = {} if config.fresh else {job.label: found for job in jobs if (found := _finished(folder, problem, job))}
    waiting = [job for job in jobs if job.label not in kept]
    tell(f"{len(jobs)} runs, {len(kept)} of them finished before; up to {_minutes(waiting)} of training ahead")
    spread = spread_ray if config.ray else spread_processes
    for job, outcome in spread(waiting, config):
        keep(outcome, folder / f"{job.label}.json", policies / job.label)
        tell(f"{job.label}: {one_line(outcome.record)}")
        kept[job.label] = outcome.record
    return [kept[job.label] for job in jobs]


def keep(outcome: Outcome, record: Path, policy: Path) -> None:
    """Write the policy, then the record, which says that the run is finished; a run between the two is done again.

    Of the policy the JSON comes last, for it names its weights.
    """
    if outcome.files:
        policy.mkdir(parents=True, exist_ok=True)
        with alone(policy, "policy", PATIENCE):
            for file in sorted(outcome.files, key=lambda file: file.endswith(".json")):
                replace_file(policy / file, outcome.files[file])
            for left in policy.glob("*.safetensors"):
                if left.name not in outcome.files:
                    left.unlink()
    facts = plain(outcome.record, record.name)
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items())
    replace_file(record, f"{{\n{lines}\n}}\n".encode())


def make_jobs(name: str, config: BenchmarkConfig) -> list[Job]:
    """Seed by seed, so that a benchmark that is cut short has something of every method."""
    jobs, crowd = [], make_problem(name).state_dim > LARGE
    for seed in range(config.seeds):
        for method in config.names:
            about = method_named(method)
            if seed and not about.learns:
                continue
            few = method == "mpc"
            part = 8 if few else max(about.robust_share, about.crowd_share if crowd else 1)
            states = config.mpc_states if few else config.robust_states
            jobs.append(
                Job(
                    name, method, seed, config.budget_seconds, config.threads,
                    min(config.states, config.mpc_states) if few else config.states,
                    min(config.robust_states, -(-states // part)),
                    config.command(name), config.sources.get(method, ""),
                )
            )  # fmt: skip
    return jobs


def spread_processes(jobs: list[Job], config: BenchmarkConfig) -> Iterator[tuple[Job, Outcome]]:
    """Each job in a fresh process, ``workers`` at a time: nothing of one run is left for the next, and none goes on
    when this one is left, by Ctrl-C for example."""
    pools: list[Pool] = []

    def alone(job: Job) -> Outcome:
        with spawn_pool(1) as pool:
            pools.append(pool)
            return pool.submit(run_job, job).result()

    with concurrent.futures.ThreadPoolExecutor(config.workers) as hands:
        waiting = {hands.submit(alone, job): job for job in jobs}
        try:
            for done in concurrent.futures.as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            hands.shutdown(wait=False, cancel_futures=True)
            for pool in pools:
                pool.end()


def spread_ray(jobs: list[Job], config: BenchmarkConfig) -> Iterator[tuple[Job, Outcome]]:
    """The same function on a Ray cluster, a fresh process and ``threads`` cores for each job.

    Raises:
        ImportError: if Ray is not installed.
    """
    try:
        import ray
        from ray import is_initialized  # a folder that happens to be called ray imports, too
    except ImportError as error:
        raise ImportError('--ray needs Ray: pip install "pontryagin[ray]"') from error
    started = not is_initialized()
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


def one_line(record: Record) -> str:
    """What a run came to, in a few words."""
    if "failed" in record:
        return f"failed: {record['failed']}"
    s = record["summary"]
    gap = f", {100 * s['gap_mean']:.3g} % above the optimum" if "gap_mean" in s else ""
    note = f"; {record['note']}" if record.get("note") else ""
    return f"cost {s['cost_mean']:.4g}{gap}, {record['seconds']:.0f} s, {record['env_steps']:.3g} steps{note}"


def _finished(folder: Path, problem: Problem, job: Job) -> Record | None:
    """The record of this very run, if there is one and it did not fail."""
    file = folder / f"{job.label}.json"
    if not file.exists():
        return None
    record: Record = read_json(file)
    if "failed" in record:
        return None
    now = describe(job, problem)
    asked = [k for k in IDENTITY if not (job.source and k == "budget_seconds")]  # an agent of one's own has none
    changed = {k: (record.get(k), now.get(k)) for k in asked if record.get(k) != now.get(k)}
    if changed:
        raise ValueError(
            f"{file} is of a run with other settings; (then, now): {changed}; expected the same, or --fresh with "
            f"--methods {job.method} alone, for it does all that are named again"
        )
    from_record(file, lambda: _check_figures(record))
    return record


def _check_figures(record: Record) -> None:
    """Try what table and figures make of a record: what fails here is told with its file, before anything is trained.

    Raises:
        TypeError, LookupError, ..: as ``from_record`` takes them.
    """
    lists = [record["cost"], record["terminal_error"], *record["path"].values(), record["gap"] or [0.0]]
    lists += [[row[key] for key in ("seconds", "env_steps", "validation_cost")] for row in record["curve"]]
    try:
        one_line(record), markdown([record])
        for numbers in lists:
            np.asarray(numbers, float)[0]
    except ValueError as error:
        raise TypeError(str(error)) from None


def _minutes(jobs: list[Job]) -> str:
    return f"{sum(job.budget for job in jobs if method_named(job.method).learns) / 60:.3g} minutes"
