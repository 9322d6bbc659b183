"""What ``demos/gpu.py`` measures on a device: each part yields names and figures as they come."""

from __future__ import annotations

import dataclasses
import functools
import resource
import statistics
import time
import unittest.mock
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ...controllers.argmax import solve_argmax
from ...controllers.baselines import RecedingHorizon
from ...controllers.operators import ProjectedNewton
from ...controllers.optimum import known_reference, solve_optimum
from ...controllers.policy import ImplicitPolicy
from ...envs.boundary import transition
from ...envs.catalog import make_problem
from ...envs.compiling import compiled
from ...envs.integrate import rollout
from ...envs.states import draw_states
from ...envs.vector import OptimalControlVectorEnv
from ..config import TrainConfig
from ..evaluate import evaluate
from ..loss import make_step, path_loss
from ..recipes import recipe
from ..soap import SOAP
from ..train import make_value, train
from .on_device import CHECKS, apart

Rows: TypeAlias = Iterator[tuple[str, float]]


class Timer:
    """Medians of wall times on a device, which is waited for."""

    def __init__(self, device: torch.device, runs: int) -> None:
        self.device, self.runs = device, runs

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def __call__(self, work: Callable[[], object]) -> float:
        times = []
        for _ in range(self.runs + 2):  # the first two warm up, and compile
            self.wait()
            begin = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - begin)
        return statistics.median(times[2:])

    def peak(self) -> float:
        """GB, since the last call."""
        if self.device.type != "cuda":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        most = torch.cuda.max_memory_allocated(self.device) / 1e9
        torch.cuda.reset_peak_memory_stats(self.device)
        return most


def checks(timer: Timer, quick: bool) -> Rows:
    """Every hot path on the device and on the CPU: how far apart, in units of what is allowed."""
    for name in ("argmax H", "argmax H_dt") if quick else CHECKS:
        try:
            found, most = apart(name, timer.device)
        except Exception as error:  # the others say more
            yield f"{name}: {type(error).__name__}: {str(error)[:200]}", float("inf")
        else:
            yield f"{name}, apart / allowed", found / most


def environments(timer: Timer, quick: bool) -> Rows:
    """Steps a second of the quadrotor's environment, with NumPy at both ends and without."""
    problem = make_problem("quadrotor")
    for count in (1000,) if quick else (1000, 10_000, 100_000, 1_000_000):
        bare = functools.partial(transition, problem)
        step = bare if quick else compiled(bare, timer.device)
        z = problem.sample_initial_state(count).to(timer.device)
        index, actions = torch.zeros(count, dtype=torch.int64, device=timer.device), torch.zeros(count, 4).to(z)
        yield f"steps/s on the device, {count:,} copies", count / timer(functools.partial(step, index, z, actions))
        if count <= 100_000:  # a million seeded generators take a minute to make
            env = OptimalControlVectorEnv(problem, count, device=timer.device, compile=not quick)
            env.reset(options={"state": z.cpu().numpy()})
            given = np.zeros((count, 4), np.float32)
            yield f"steps/s with NumPy, {count:,} copies", count / timer(functools.partial(env.step, given))
    yield "peak, GB", timer.peak()


def argmaxima(timer: Timer, quick: bool) -> Rows:
    """argmax H of the quadrotor from ∇phi of the shipped policy, compiled: three Newton iterations for every sample."""
    policy = ImplicitPolicy.load("quadrotor", device=str(timer.device))
    problem = policy.problem

    @torch.no_grad()
    def solve(t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        found = solve_argmax(
            problem, t, z, policy.value.gradient(t, z)[1], operator=ProjectedNewton(2), max_iterations=3, tolerance=0.0
        )  # fmt: skip
        return found.control, found.residual

    search = solve if quick else compiled(solve, timer.device)
    for count in (1000,) if quick else (1000, 30_000, 1_000_000):
        z, t = problem.sample_initial_state(count).to(timer.device), torch.zeros((), device=timer.device)
        yield f"ms for {count:,} argmaxima", 1e3 * timer(functools.partial(search, t, z))
        yield f"largest residual of {count:,}", float(search(t, z)[1].max())
    yield "peak, GB", timer.peak()


def iteration(name: str, batch: int, device: torch.device, compile: bool, mode: str | None) -> Callable[[], None]:
    """One step of SOAP on the recipe of ``name``; of bicycles from the shipped expansions on."""
    problem: Any = make_problem(name)
    config = dataclasses.replace(recipe(name, taught=False), compile=compile)
    course = problem if config.steps is None else dataclasses.replace(problem, steps=config.steps)
    shipped = config.anchor == "expansion"
    value = ImplicitPolicy.load(name, device="cpu").value.float() if shipped else make_value(course, config)
    value = value.to(device)
    with unittest.mock.patch("torch.compile", functools.partial(torch.compile, mode=mode)):
        step = make_step(course, value, config)
    optimizer = SOAP(value.parameters(), lr=1e-5)

    def once() -> None:
        if mode is not None:
            torch.compiler.cudagraph_mark_step_begin()
        path_loss(course, value, step, course.sample_initial_state(batch).to(device), config).total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return once


def iterations(timer: Timer, quick: bool) -> Rows:
    """A training iteration by batch, and how it is launched: eager, compiled, and captured in CUDA graphs."""
    ways: dict[str, tuple[bool, str | None]] = {"eager": (False, None), "compiled": (True, None)}
    if timer.device.type == "cuda":
        ways["CUDA graphs"] = (True, "reduce-overhead")
    few = Timer(timer.device, 3)
    for way, how in (("eager", (False, None)),) if quick else ways.items():
        try:
            yield f"quadrotor, batch 64, {way}, ms", 1e3 * few(iteration("quadrotor", 64, timer.device, *how))
        except RuntimeError as error:  # what is captured may not be overwritten
            yield f"quadrotor, batch 64, {way}: {str(error)[:150]}", float("nan")
    for batch in () if quick else (4096, 65_536):
        yield f"quadrotor, batch {batch:,}, ms", 1e3 * few(iteration("quadrotor", batch, timer.device, True, None))
        yield f"peak at {batch:,}, GB", timer.peak()
    if not quick:
        yield "bicycle100, batch 64, ms", 1e3 * few(iteration("bicycle100", 64, timer.device, True, None))
        yield "peak of bicycle100, GB", timer.peak()


def optima(timer: Timer, quick: bool) -> Rows:
    """Open-loop optima of the quadrotor, all at once."""
    problem: Any = make_problem("quadrotor")
    problem, count = (dataclasses.replace(problem, steps=40), 4) if quick else (problem, 10_000)
    z0 = draw_states(problem, count, 0).double().to(timer.device)
    begin = time.perf_counter()
    found = solve_optimum(problem, z0, seconds=60)
    timer.wait()
    yield f"{count:,} optima, s", time.perf_counter() - begin
    yield "of them converged", float(found.converged.double().mean())
    yield "mean cost", float(found.cost.mean())
    yield "peak, GB", timer.peak()


def flights(timer: Timer, quick: bool) -> Rows:
    """Whole flights a second: of the shipped policy, and of model predictive control, a batch side by side."""
    policy = ImplicitPolicy.load("quadrotor", device=str(timer.device))
    problem: Any = policy.problem
    problem = dataclasses.replace(problem, steps=40) if quick else problem
    for name, count in (("policy", 16 if quick else 20_000), ("MPC", 4 if quick else 500)):
        z0 = draw_states(problem, count, 0).to(timer.device)
        begin = time.perf_counter()
        with torch.no_grad():
            if name == "policy":
                cost = rollout(problem, policy, z0).cost
            else:
                cost = rollout(problem, RecedingHorizon(problem, every=8), z0.double()).cost
        timer.wait()
        yield f"{name}, flights/s, {count:,} at once", count / (time.perf_counter() - begin)
        yield f"{name}, mean cost", float(cost.mean())
    yield "peak, GB", timer.peak()


def curves(timer: Timer, quick: bool) -> Rows:
    """From nothing to a policy, by the clock: the gap to the stored optima."""
    few = {"iterations": 3, "validation_states": 4, "batch": 8, "compile": False}
    for name, states in (("quadrotor", 128), ("bicycle100", 4))[: 1 if quick else 2]:
        problem = make_problem(name)
        changes: dict[str, Any] = few if quick else {"time_budget": "100s"} if name == "quadrotor" else {}
        config: TrainConfig = dataclasses.replace(recipe(name, taught=False), device=str(timer.device), **changes)
        begin = time.perf_counter()
        policy, history = train(problem, config)
        seconds = time.perf_counter() - begin
        z0 = draw_states(problem, states, 0)
        best = known_reference(problem, z0)
        like = policy.double() if policy.hamiltonian == "held" else policy
        z0 = z0.to(like.value.scale)
        optimum = None if best is None else best.optimum.to(z0.device)
        gap = evaluate(problem, like, z0, optimum).summary().get("gap_mean", float("nan"))
        yield f"{name}, training, s", seconds
        yield f"{name}, gap, mean", gap
        for row in history.rows:
            yield f"{name}, validation cost at {row['seconds']:.2f} s", row["validation_cost"]


PARTS = (checks, iterations, environments, argmaxima, optima, flights, curves)
