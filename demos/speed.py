"""How fast: a training iteration, one answer of the policy, the vector environment with and without NumPy."""

import dataclasses
import functools
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import tyro

from pontryagin import ImplicitPolicy, OptimalControlVectorEnv, evaluate, make_problem, recipe
from pontryagin.envs.boundary import transition
from pontryagin.training.loss import make_step, path_loss
from pontryagin.training.train import make_value


def median_seconds(work: Callable[[], object], runs: int) -> float:
    """Median over ``runs``, after two to warm up."""
    times = []
    for _ in range(runs + 2):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[2:])


def main(
    problem: str = "quadrotor", envs: int = 4096, threads: int = 2, runs: int = 40, training: bool = True
) -> dict[str, float]:
    """Print the figures as JSON.

    Args:
        problem: a shipped name.
        envs: copies in the vector environment.
        threads: of torch, for the vector environment; training and the policy use one.
        runs: measurements, of which the median counts.
        training: measure the training iteration too (compiles for a minute or two).
    """
    made, figures = make_problem(problem), {}
    torch.set_num_threads(threads)
    env = OptimalControlVectorEnv(made, envs, compile=True)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (envs, made.control_dim)).astype(np.float32)
    figures["vector env, steps/s"] = envs / median_seconds(lambda: env.step(actions), 4 * runs)
    step = torch.compile(functools.partial(transition, made), fullgraph=True, dynamic=False)
    batch = (torch.zeros(envs, dtype=torch.int64), made.sample_initial_state(envs), torch.from_numpy(actions))
    figures["bare compiled step, steps/s"] = envs / median_seconds(lambda: step(*batch), 4 * runs)
    torch.set_num_threads(1)
    policy = ImplicitPolicy.load(problem, device="cpu")
    figures["predict, batch 1, ms"] = 1e3 * evaluate(made, policy, made.sample_initial_state(1)).latency
    if training:
        config = recipe(problem, taught=False)
        course = made if config.steps is None else dataclasses.replace(made, steps=config.steps)
        value = make_value(course, config)
        loss_step, optimizer = make_step(course, value, config), torch.optim.Adam(value.parameters(), lr=1e-3)

        def iteration() -> None:
            path_loss(course, value, loss_step, course.sample_initial_state(64), config).total.backward()
            optimizer.step()
            optimizer.zero_grad()

        figures[f"training iteration, batch 64, {course.steps} steps, s"] = median_seconds(iteration, runs)
        figures["peak memory, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    machine = f"{platform.machine()}, {threads} threads"
    print(json.dumps({"machine": machine, "torch": torch.__version__, **figures}, indent=2))
    return figures


if __name__ == "__main__":
    tyro.cli(main)
