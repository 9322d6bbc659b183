"""Ctrl-C while IPOPT runs: it stops, and an aborted solve is no answer. CasADi swallows the KeyboardInterrupt."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("casadi")

import pontryagin
from pontryagin import DoubleIntegrator, RecedingHorizon
from pontryagin.controllers.optimum import heard_interrupts, ipopt

SCRIPT = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from pontryagin.controllers.optimum import ipopt
from pontryagin.training.commands.cli import main
real = ipopt.solve_one
def announced(*arguments):
    print("solving", flush=True)
    return real(*arguments)
ipopt.solve_one = announced
main(["reference", "quadrotor", "--method", "ipopt", "--states", "400", *sys.argv[1:]])
"""
SIGNALS = pytest.mark.skipif(os.name == "nt", reason="no signals between processes there")


def swallowing(solver):
    """A solver during which Ctrl-C comes, and which drops it as CasADi does."""

    class Swallowing:
        stats = solver.stats

        def __call__(self, **arguments):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            return solver(**arguments)

    return Swallowing()


@pytest.fixture
def interrupted(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in (ipopt, sys.modules["pontryagin.controllers.baselines.mpc_ipopt"]):
        real = module.shooting
        monkeypatch.setattr(module, "shooting", lambda *arguments, real=real: swallowing(real(*arguments)))
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_the_solver_swallows_is_raised(interrupted):
    problem = DoubleIntegrator(steps=3)
    with pytest.raises(KeyboardInterrupt):
        ipopt.solve_reference(problem, torch.ones(1, 2))
    with pytest.raises(KeyboardInterrupt):
        RecedingHorizon(problem, method="ipopt")(0.0, torch.ones(1, 2))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_is_asked_and_threads_are_left_alone():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))

    def elsewhere():
        with heard_interrupts():  # a signal's handler can be set in the main thread alone
            heard.append("elsewhere")

    try:
        with heard_interrupts():
            signal.raise_signal(signal.SIGINT)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [1, "elsewhere"]


@SIGNALS
@pytest.mark.timeout(120)
@pytest.mark.parametrize("processes", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_ctrl_c_stops_at_once_and_stores_nothing(tmp_path, processes):
    line = [sys.executable, "-c", SCRIPT, "--processes", processes, "--out-dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(pontryagin.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as run:
        if processes == "1":
            for _ in range(3):
                assert run.stdout.readline() == "solving\n"
            time.sleep(0.05)  # within a solve, which takes 0.2 s
        else:
            time.sleep(12)  # the children are at it, or about to be
        os.kill(run.pid, signal.SIGINT)
        _, said = run.communicate()  # a solve that goes on is ended by the test's own limit
    assert run.returncode == 130, said
    assert "interrupted" in said and not list(tmp_path.glob("*.npz"))
