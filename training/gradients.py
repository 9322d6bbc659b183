"""What a gradient costs and how good it is: saved bytes, seconds, peak memory, and the angle to the exact one."""

from __future__ import annotations

import concurrent.futures
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..controllers.anchor import Value
from ..controllers.implicit import Implicit, LinearSolve
from ..controllers.operators import GradientAscent, ProjectedNewton
from ..controllers.value import ValueFunction
from ..envs.coupled import CoupledControls
from ..envs.problem import Problem
from .config import TrainConfig
from .loss import make_step, path_loss
from .race import cosine, loss_gradient
from .variants import KINDS, Samples, Variant, exact_config

PROMPT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Makes glibc give memory back at once, so that the peak is what was alive, not what was once."""
RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def saved_bytes(problem: Problem, variant: Variant, samples: Samples, step_size: float) -> int:
    """Bytes that autograd holds for one argmax over the samples, counted by saved-tensor hooks; exact.

    Storages shared by several saved tensors count once; those of t, z and p, which exist anyway, do not.
    """
    z, p = samples.z.requires_grad_(), samples.p.requires_grad_()
    given = {x.untyped_storage().data_ptr() for x in (samples.t, z, p)}
    storages: dict[int, Any] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in given:
            storages[storage.data_ptr()] = storage  # held, so that no address is used twice
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        solution = variant.solve(problem, samples.t, z, p, step_size)
    del solution
    return sum(storage.nbytes() for storage in storages.values())


def line_fit(counts: tuple[int, ...], found: list[int]) -> dict[str, float | bool]:
    """Least squares bytes = slope n + intercept, R², and whether all are the same number."""
    slope, intercept = np.polyfit(counts, found, 1)
    apart = np.asarray(found) - (slope * np.asarray(counts) + intercept)
    spread = float(np.var(found))
    flat = len(set(found)) == 1
    return {
        "slope": 0.0 if flat else float(slope),
        "intercept": float(intercept),
        "r2": 1.0 if flat else 1 - float(np.mean(apart**2)) / spread,
        "flat": flat,
    }


def iteration_seconds(
    problem: Problem, value: Value, configs: list[TrainConfig], z0: Tensor, rounds: int = 5
) -> list[float]:
    """Median wall time of loss and gradient over the rollout for each configuration; they take turns.

    One round goes before to warm up.
    """
    steps = [make_step(problem, value, config) for config in configs]
    times: list[list[float]] = [[] for _ in configs]
    for _ in range(rounds + 1):
        for config, step, spent in zip(configs, steps, times, strict=True):
            begin = time.perf_counter()
            path_loss(problem, value, step, z0, config).total.backward()
            spent.append(time.perf_counter() - begin)
    value.zero_grad(set_to_none=True)
    return [statistics.median(spent[1:]) for spent in times]


def peak_bytes(problem: Problem, config: TrainConfig, batch: int) -> float:
    """How far one iteration raises the peak of resident memory, in a process of its own; nan where it cannot be read.

    On a GPU: the allocator's ``max_memory_allocated`` instead.
    """
    context = torch.multiprocessing.get_context("spawn")
    kept = {name: os.environ.get(name) for name in PROMPT}
    os.environ.update(PROMPT)
    try:
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_peak, problem, config, batch).result()
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _peak(problem: Problem, config: TrainConfig, batch: int) -> float:
    torch.set_num_threads(1)
    on_gpu = torch.cuda.is_available()
    value = ValueFunction(problem, max(config.width, 1), config.depth, max(config.rank, 1), seed=0)
    value = value.to("cuda") if on_gpu else value
    step = make_step(problem, value, config)
    z0 = problem.sample_initial_state(batch, torch.Generator().manual_seed(0)).to(value.scale)
    path_loss(problem, value, step, z0[:1], config).total.backward()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    elif RESET.exists():
        RESET.write_text("5")  # Linux forgets the peak of resident memory, which importing has left high
    before = torch.cuda.memory_allocated() if on_gpu else _resident_peak()
    path_loss(problem, value, step, z0, config).total.backward()
    return (float(torch.cuda.max_memory_allocated()) if on_gpu else _resident_peak()) - before


def _resident_peak() -> float:
    if STATUS.exists():
        line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return 1024 * float(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)


def gradient_errors(
    problem: Problem, value: Value, base: TrainConfig, variants: list[Variant], z0: Tensor, step_size: float
) -> list[dict[str, Any]]:
    """Cosine and relative error of each variant's dJ/dθ against the exact one, in the dtype of ``z0`` (use float64)."""
    exact = exact_config(base)
    true = loss_gradient(problem, value, make_step(problem, value, exact), exact, z0)
    rows = []
    for variant in variants:
        config = variant.config(base, step_size)
        found = loss_gradient(problem, value, make_step(problem, value, config), config, z0)
        error = float((found - true).norm() / true.norm())
        rows.append({**variant.record(), "cosine": cosine(found, true), "relative_error": error})
    return rows


def iterations_needed(
    problem: Problem, samples: Samples, step_size: float, most: int, tolerance: float = 1e-6
) -> list[dict[str, Any]]:
    """Applications of T until the residual is at most ``tolerance``, for each way of search from the same start."""
    rows = []
    for kind in KINDS:
        variant = Variant(kind, "jfb", most)
        with torch.no_grad():
            solution = variant.solve(problem, samples.t, samples.z, samples.p, step_size, tolerance)
        counts = solution.iterations.double()
        rows.append({
            "kind": kind, "step_size": None if kind == "newton" else step_size, "tolerance": tolerance, "most": most,
            "converged": float(solution.converged.double().mean()), "median": float(counts.median()),
            "quantile_99": float(torch.quantile(counts, 0.99)), "largest": float(counts.max()),
            "counts": torch.bincount(solution.iterations.long()).tolist(),
        })  # fmt: skip
    return rows


SMALL = 32
"""Coupled controls up to which Newton takes part in the study of sizes."""
WAYS = {
    "unroll + ascent": (False, "unroll"), "implicit, dense": (False, Implicit("dense")),
    "implicit, cg": (False, Implicit("cg")), "jfb + ascent": (False, "jfb"), "jfb + newton": (True, "jfb"),
    "unroll + newton": (True, "unroll"),
}  # fmt: skip
"""Name -> (search by Newton, else by ascent; how to differentiate)."""


def seconds_by_size(sizes: tuple[int, ...], batch: int = 32, iterations: int = 50) -> list[dict[str, Any]]:
    """Wall time of one argmax on ``CoupledControls(m)`` without and with its derivative, medians of 3.

    The search is the same for all ways that name no Newton, ``iterations`` of ascent, so they differ by the price of
    the derivative alone. cg's worst relative residual is reported beside it.
    """
    rows = []
    for size in sizes:
        problem = CoupledControls(size)
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(batch, size, generator=generator)
        p = torch.randn(batch, size, generator=generator) / math.sqrt(size)
        for name, (newton, gradient) in WAYS.items():
            if newton and size > SMALL:
                continue  # a derived dense Hessian in every iteration: minutes
            operator = ProjectedNewton() if newton else GradientAscent(0.1)
            solves: list[LinearSolve] = []
            if isinstance(gradient, Implicit) and gradient.solver == "cg":
                gradient = Implicit("cg", on_solve=solves.append)
            times = _price(problem, z, p, operator, gradient, 8 if newton else iterations)
            rows.append({
                "size": size, "way": name, "search_seconds": times[0], "seconds": times[1],
                "cg_residual": max((float(s.residual.max()) for s in solves), default=None),
            })  # fmt: skip
    return rows


def _price(
    problem: Problem, z: Tensor, p: Tensor, operator: Any, gradient: Any, iterations: int
) -> tuple[float, float]:
    """Median seconds of the search alone, and of the search with its derivative; the two take turns."""
    from ..controllers.argmax import solve_argmax

    alone: list[float] = []
    both: list[float] = []
    for _ in range(4):
        for times, tracked in ((alone, False), (both, True)):
            q = p.clone().requires_grad_(tracked)
            begin = time.perf_counter()
            u = solve_argmax(
                problem, 0.0, z, q, operator=operator, gradient=gradient, max_iterations=iterations, tolerance=0
            ).control
            if tracked:
                torch.autograd.grad(u.sum(), q)
            times.append(time.perf_counter() - begin)
    return statistics.median(alone[1:]), statistics.median(both[1:])
