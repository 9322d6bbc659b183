"""Workers end with whoever started them."""

import subprocess
import sys

SCRIPT = """
import os, time
from pontryagin.controllers.optimum.processes import spawn_pool

if __name__ == "__main__":
    with spawn_pool(1) as pool:
        pool.submit(os.getpid).result()
        pool.submit(time.sleep, 200)
        print("at work", flush=True)
"""


def test_a_worker_does_not_outlive_a_parent_that_was_killed(tmp_path):
    """The worker holds the pipe of its parent's output: its end is seen only when both are gone."""
    file = tmp_path / "parent.py"
    file.write_text(SCRIPT, encoding="utf-8")
    with subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "at work\n"
        parent.kill()
        parent.communicate(timeout=60)
