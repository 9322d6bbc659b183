"""Every hot path on a GPU as on the CPU (``pytest -m cuda``); without one, that the comparison itself works."""

import pytest
import torch

from pontryagin.training.benchmark import on_device
from pontryagin.training.benchmark.on_device import CHECKS, apart


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.filterwarnings("ignore")
def test_a_gpu_computes_what_the_cpu_does(name):
    found, most = apart(name, torch.device("cuda"))
    assert found <= most


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.filterwarnings("ignore")
def test_the_same_twice_on_the_cpu(name):
    found, most = apart(name, torch.device("cpu"))
    assert found <= most


def test_a_device_that_computes_something_else_is_seen(monkeypatch):
    answers = iter([torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5])])
    monkeypatch.setitem(on_device.CHECKS, "roll-out", (lambda device: next(answers), 1e-6))
    assert apart("roll-out", torch.device("cpu")) == (0.2, 1e-6)
