"""Ctrl-C while runs of the benchmark are going on in processes of their own."""

import importlib
import multiprocessing
import os
import signal
import threading
import time

import pytest

from pontryagin.training.benchmark.config import BenchmarkConfig

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
