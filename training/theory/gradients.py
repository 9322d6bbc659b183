"""What a gradient costs and how good it is: saved bytes, seconds, peak memory, and the angle to the exact one."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...controllers.hamiltonian import DerivedHamiltonian, control_hamiltonian
from ...controllers.optimum import spawn_pool
from ...controllers.value import Value
from ...envs.problem import Problem
from ..config import TrainConfig
from ..loss import make_step, path_loss
from ..train import make_value
from .race import cosine, loss_gradient
from .variants import KINDS, Samples, Variant, exact_config

PROMPT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Makes glibc give memory back at once, so that the peak is what was alive, not what was once."""
RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def saved_bytes(problem: Problem, variant: Variant, samples: Samples, step_size: float) -> int:
    """Bytes that autograd holds for one argmax over the samples; exact, and the same on every machine.

    Storages shared by several saved tensors count once; those of t, z and p, which exist anyway, do not. Counted by
    saved-tensor hooks, of which those still alive when the argmax is done; or, where H is derived by ``torch.func``,
    which forbids hooks, by a walk through the graph.
    """
    t, z, p = samples.t.clone(), samples.z.clone().requires_grad_(), samples.p.clone().requires_grad_()
    at = samples._replace(t=t, z=z, p=p)
    packed: list[weakref.ref[_Saved]] = []

    def pack(x: Tensor) -> _Saved:
        saved = _Saved(x.detach())  # an output of a node would keep the node, and the node the output
        packed.append(weakref.ref(saved))
        return saved

    if at.phi is not None or isinstance(control_hamiltonian(problem, t, z, p), DerivedHamiltonian):
        solution = variant.solve(problem, at, step_size)
        held = saved_tensors(solution.control)
    else:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
            control = variant.solve(problem, at, step_size).control
        held = [saved.tensor for ref in packed if (saved := ref()) is not None]
        del control  # until here, so that what it needs was alive
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in held}
    return sum(size for address, size in storages.items() if address not in {x.data_ptr() for x in (t, z, p)})


class _Saved:
    """What a saved-tensor hook hands to a node of the graph: it lives as long as the node."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def saved_tensors(x: Tensor) -> list[Tensor]:
    """Every tensor that the graph behind ``x`` holds for its backward pass."""
    found, seen, nodes = [], set(), [x.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [after for after, _ in node.next_functions]
        kept = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
        kept += list(getattr(node, "saved_tensors", ()))
        found += [y for group in kept for y in (group if isinstance(group, tuple | list) else (group,))]
    return [y for y in found if isinstance(y, Tensor) and y.ndim > 0]  # numbers are kept as tensors without a shape


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
    kept = {name: os.environ.get(name) for name in PROMPT}
    os.environ.update(PROMPT)
    try:
        with spawn_pool(1) as pool:
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
    value = make_value(problem, dataclasses.replace(config, nominal=False, begin_from=None, anchor="none"))
    value = value.to("cuda") if on_gpu else value
    step = make_step(problem, value, config)
    z0 = problem.sample_initial_state(batch, torch.Generator().manual_seed(0)).to(value.scale)
    path_loss(problem, value, step, z0[:1], config).total.backward()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = float(torch.cuda.memory_allocated())
    elif not _forget_peak():
        return math.nan
    else:
        before = _resident_peak()
    path_loss(problem, value, step, z0, config).total.backward()
    return (float(torch.cuda.max_memory_allocated()) if on_gpu else _resident_peak()) - before


def _forget_peak() -> bool:
    """Make the kernel forget the peak of resident memory, which importing has left high; whether it could (Linux)."""
    try:
        RESET.write_text("5")
    except OSError:
        return False
    return True


def _resident_peak() -> float:
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM"))
    return 1024 * float(line.split()[1])


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
            solution = variant.solve(problem, samples, step_size, tolerance)
        counts = solution.iterations.double()
        rows.append({
            "kind": kind, "step_size": None if kind == "newton" else step_size, "tolerance": tolerance, "most": most,
            "converged": float(solution.converged.double().mean()), "median": float(counts.median()),
            "quantile_99": float(torch.quantile(counts, 0.99)), "largest": float(counts.max()),
            "counts": torch.bincount(solution.iterations.long()).tolist(),
        })  # fmt: skip
    return rows
