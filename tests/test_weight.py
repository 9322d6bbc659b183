"""A clone stays light: what a command makes again, or a seed, does not belong in the repository."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST, WHOLE = 2_000_000, 27_000_000
"""Bytes of one tracked file, and of all of them."""


@pytest.fixture(scope="module")
def weights():
    """Bytes of every file that git tracks, by its name."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: only there is it known which files are tracked")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f"git does not list the files of {ROOT}: {listed.stderr.strip()}")
    files = {name: ROOT / name for name in listed.stdout.split("\0") if name}
    return {name: path.lstat().st_size for name, path in files.items() if path.exists()}


def test_no_file_is_heavy(weights):
    assert len(weights) > 100
    heavy = {name: size for name, size in weights.items() if size > LARGEST}
    assert not heavy, f"over {LARGEST:,} bytes: {heavy}"


def test_all_files_together_are_light(weights):
    heaviest = sorted(weights, key=weights.__getitem__)[-5:]
    assert sum(weights.values()) <= WHOLE, f"{sum(weights.values()):,} bytes, most of them in {heaviest}"
