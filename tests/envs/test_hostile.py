"""A minute of the campaign of hostile input; the whole of it is `make torture`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pontryagin
from pontryagin.envs.compiling import device_named

TORTURE = Path(pontryagin.__file__).resolve().parent / ".ci" / "torture.py"


@pytest.mark.parametrize("name", [b"bytes", "here", -1, None])
def test_a_device_that_torch_does_not_know(name):
    with pytest.raises(ValueError, match="device is .*; expected auto, cpu"):
        device_named(name)


@pytest.mark.slow
@pytest.mark.skipif(not TORTURE.exists(), reason="an installed package has no .ci")
def test_a_minute_of_torture():
    environment = {**os.environ, "PYTHONPATH": str(Path(pontryagin.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(TORTURE), "--cases", "4000", "--files", "400", "--seed", "1", "--seconds", "60"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
