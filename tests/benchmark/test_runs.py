"""Runs of the benchmark: those that a Ctrl-C ends, in processes of their own, and those of ``solve``."""

import importlib
import multiprocessing
import os
import signal
import threading
import time

import pytest
import torch

from pontryagin import DoubleIntegrator, rollout, solve_optimum
from pontryagin.training.benchmark.config import BenchmarkConfig
from pontryagin.training.benchmark.methods import METHODS, Task

module = importlib.import_module("pontryagin.training.benchmark.benchmark")  # the room's name is the function's


def endless(begun):
    begun.touch()
    while True:
        time.sleep(1)


def test_ctrl_c_ends_the_runs_that_are_going_on(monkeypatch, tmp_path):
    begun = tmp_path / "begun"

    def press():
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module, "run_job", endless)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    finger = threading.Thread(target=press)
    finger.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(module.spread_processes([begun, begun], BenchmarkConfig(out=tmp_path, policies=tmp_path)))
    finally:
        signal.signal(signal.SIGINT, before)
        finger.join()
    assert not multiprocessing.active_children()


def test_solve_is_a_method_as_the_others():
    trained = METHODS["solve"].make(Task("double_integrator", DoubleIntegrator(), 0, 30.0))
    problem = trained.controller.problem
    z0 = problem.sample_initial_state(4, torch.Generator().manual_seed(0)).double()
    best = solve_optimum(problem, z0).cost
    torch.testing.assert_close(rollout(problem, trained.controller, z0).cost, best, rtol=1e-3, atol=0)
    assert trained.settings["optima"] >= 1 and trained.seconds > 0 and not trained.note
