"""Files: written whole or not at all, by one writer at a time, and read with suspicion."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from pontryagin import DoubleIntegrator
from pontryagin.envs.files import (
    alone,
    check_folder,
    plain,
    read_file,
    read_json,
    replace_file,
    save_somewhere,
    write_json,
)
from pontryagin.envs.record import problem_parameters

SCRIPT = """
import os, signal, sys
from pathlib import Path
from pontryagin.envs import files
files.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
files.replace_file(Path(sys.argv[1]) / "figures.json", b"new")
"""


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    replace_file(tmp_path / "figures.json", b"old")
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=False)
    assert (tmp_path / "figures.json").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2
    mine = tmp_path / f".other.here-{os.getpid()}-0a.partial"  # of another machine, or of a process that lives
    mine.write_text("")
    replace_file(tmp_path / "table.md", b"|")
    assert sorted(tmp_path.iterdir()) == [mine, tmp_path / "figures.json", tmp_path / "table.md"]


def test_numpys_numbers_are_plain_data():
    told = {
        "a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.arange(2), "e": torch.ones(1),
        "f": (Path("x"), None), "g": np.array([np.float64(1)], object), 1: np.str_("s"), "h": np.array(2.0),
    }  # fmt: skip
    found = plain(told, "notes")
    assert json.loads(json.dumps(found)) == {
        "a": 0.5, "b": 3, "c": True, "d": [0, 1], "e": [1.0], "f": ["x", None], "g": [1.0], "1": "s", "h": 2.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"notes\.law\[0\] is a function; expected plain data"):
        plain({"law": [lambda: 0]}, "notes")


def test_fields_of_a_problem_may_be_numpys():
    @dataclasses.dataclass(frozen=True)
    class Mine(DoubleIntegrator):
        goal: object = dataclasses.field(default_factory=lambda: np.zeros(2, np.float32))

    parameters = problem_parameters(Mine(horizon=np.float32(2.5), steps=np.int64(8)))
    assert json.loads(json.dumps(parameters)) | {"horizon": 2.5, "steps": 8} == parameters
    assert parameters["goal"] == {"array": [0.0, 0.0], "dtype": "float32"}
    with pytest.raises(ValueError, match=r"Mine\.goal is a object; expected plain data"):
        problem_parameters(Mine(goal=object()))


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_and_a_device_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ValueError, match="is not a regular file"):
            read_file(path)


@pytest.mark.parametrize("text", ["", "[1]", '"x"', "{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\xff"])
def test_forged_json_is_a_sentence(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_what_the_disk_does_not_take_is_saved_elsewhere(tmp_path, monkeypatch):
    def save(folder):
        if folder == tmp_path / "full":
            raise OSError(28, "No space left on device")
        (folder / "a").write_text("a")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert save_somewhere(save, tmp_path, "it") == tmp_path
    with pytest.warns(UserWarning, match=r"the optima cannot be written to .*full \(No space left on device\)"):
        refuge = save_somewhere(save, tmp_path / "full", "the optima")
    assert (refuge / "a").read_text() == "a"


def test_one_process_at_a_time(tmp_path):
    with alone(tmp_path, "run", 0):
        with (
            pytest.raises(ValueError, match=f"in use by process {os.getpid()} on .*another folder"),
            alone(tmp_path, "run", 0),
        ):
            pass
        with alone(tmp_path, "other", 0):
            pass
    with alone(tmp_path, "run", 0):
        pass


def test_the_folder_is_free_again_where_the_disk_failed_last(tmp_path, monkeypatch):
    """What names the owner cannot be removed: the lock is let go of all the same, in this very process."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    kept = alone(tmp_path, "run", 0)
    with monkeypatch.context() as patch, kept:
        patch.setattr(Path, "unlink", full)
    with alone(tmp_path, "run", 0):
        pass


def test_writers_that_wait_for_each_other_all_write(tmp_path):
    written = []

    def write(k):
        with alone(tmp_path, "run", 30):
            write_json(tmp_path / "a.json", {"k": k})
            written.append(read_json(tmp_path / "a.json") == {"k": k})

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [True] * 8


def test_a_folder_is_tried_by_writing(tmp_path):
    check_folder(tmp_path / "a" / "b", "out")
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out is .*file'; expected a folder that can be written to"):
        check_folder(tmp_path / "file", "out")


def test_a_folder_that_takes_no_byte_is_left_as_it_was(tmp_path, monkeypatch):
    def full(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ValueError, match="No space left on device"):
        check_folder(tmp_path, "out")
    assert not list(tmp_path.iterdir())
