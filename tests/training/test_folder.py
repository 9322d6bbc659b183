"""The folder of a run: nothing in it is lost to another run, to Ctrl-C or to a disk that is full."""

import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from pontryagin import DirectPolicy, DoubleIntegrator, ImplicitPolicy, TrainConfig, train, train_direct
from pontryagin.controllers import storage
from pontryagin.controllers.storage import read_store, write_store
from pontryagin.envs import files
from pontryagin.envs.files import alone
from pontryagin.training import folder as module
from pontryagin.training.checkpoint import read_checkpoint
from pontryagin.training.commands.cli import main
from pontryagin.training.train import begin


@pytest.fixture
def untried(monkeypatch):
    """No trial of the class before the run: it would draw states, too, and these tests count what is drawn."""
    monkeypatch.setattr(sys.modules["pontryagin.training.train"], "check_functions", lambda *_: None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is deaf to Ctrl-C
    yield
    signal.signal(signal.SIGINT, before)


BRIEF = {"iterations": 4, "batch": 2, "validation_states": 2, "width": 4, "validate_every": 1}


@pytest.mark.parametrize(("start", "kind"), [(train, ImplicitPolicy), (train_direct, DirectPolicy)])
def test_another_run_is_not_thrown_away_unasked(pendulum, tmp_path, start, kind):
    config = TrainConfig(**BRIEF, out=tmp_path)
    start(pendulum, config)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    with pytest.raises(ValueError, match=r"holds a run already .*--resume.*--fresh.*another folder"):
        start(pendulum, config)
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    start(pendulum, dataclasses.replace(config, seed=1, fresh=True))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2 and kind.load(tmp_path, problem=pendulum)
    start(pendulum, dataclasses.replace(config, seed=1, resume=True, iterations=5))
    for name in ("policy.json", "checkpoint.json"):
        (tmp_path / name).unlink()
    start(pendulum, config)  # what is left is of no use to anybody
    with pytest.raises(ValueError, match="resume and fresh are both True"):
        TrainConfig(out=tmp_path, resume=True, fresh=True)


def test_the_command_line_names_the_ways_on(tmp_path, capsys):
    line = ["train", "double_integrator", "--iterations", "1", "--validation-states", "2", "--out-dir", str(tmp_path)]
    main(line)
    with pytest.raises(SystemExit) as stop:
        main(line)
    assert stop.value.code == 2 and "--resume" in capsys.readouterr().err
    main([*line, "--fresh"])


def test_two_runs_in_one_folder_are_told_of_each_other(pendulum, tmp_path):
    with (
        alone(tmp_path, "run", 0),
        pytest.raises(ValueError, match=rf"in use by process {os.getpid()} on .*another folder"),
    ):
        train(pendulum, TrainConfig(**BRIEF, out=tmp_path))


def test_a_command_that_is_refused_does_not_turn_away_the_run_that_goes_on(pendulum, tmp_path, monkeypatch):
    """One looks into the folder, to be refused, in the moment in which another takes up the run that is there."""
    monkeypatch.setattr(module, "A_MOMENT", 60.0)
    config = TrainConfig(**BRIEF, out=tmp_path)
    train(pendulum, config)
    looks, leaves = threading.Event(), threading.Event()

    def look() -> None:
        with alone(tmp_path, "run", 0):
            looks.set()
            leaves.wait()

    other = threading.Thread(target=look)
    other.start()
    looks.wait()
    threading.Timer(0.1, leaves.set).start()
    train(pendulum, dataclasses.replace(config, iterations=5, resume=True))
    other.join()
    assert read_store(tmp_path, "checkpoint")[1]["iteration"] == 5


def test_numpys_numbers_in_a_problem_are_stored_and_what_cannot_be_is_refused_at_once(tmp_path, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Mine(DoubleIntegrator):
        goal: object = 0.0
        control_low: object = -2.0

    mine = Mine(horizon=np.float32(1.5), steps=np.int64(4), goal=np.zeros(2), control_low=np.array([-3.0], np.float32))
    train(mine, TrainConfig(**BRIEF, out=tmp_path / "a"))
    ImplicitPolicy.load(tmp_path / "a", problem=mine)
    monkeypatch.setattr(Mine, "sample_initial_state", lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError, match=r"Mine\.goal is a object"):
        train(Mine(goal=object()), TrainConfig(**BRIEF, out=tmp_path / "b"))


def test_a_forged_checkpoint_is_a_sentence(pendulum, tmp_path):
    config = TrainConfig(**BRIEF, out=tmp_path)
    train(pendulum, config)
    tensors, whole = read_store(tmp_path, "checkpoint")
    whole = {k: v for k, v in whole.items() if k not in ("format", "weights", "weights_sha256", "checksum")}
    forgeries = [{k: v for k, v in whole.items() if k != gone} for gone in whole]
    forgeries += [{**whole, k: v} for k in ("config", "history", "problem", "value") for v in (3, None, "x", [1])]
    for forged in forgeries:
        write_store(tmp_path, "checkpoint", tensors, forged)
        with pytest.raises(ValueError, match=str(tmp_path)):
            train(pendulum, dataclasses.replace(config, resume=True))
    write_store(tmp_path, "checkpoint", {"generator": torch.zeros(3)}, whole)
    with pytest.raises(ValueError, match="does not describe"):
        train(pendulum, dataclasses.replace(config, resume=True))


class Interrupted(DoubleIntegrator):
    """Ctrl-C while the third states are drawn: the first ones are those of the validation."""

    drawn = 0

    def sample_initial_state(self, batch, generator=None):
        Interrupted.drawn += 1
        if Interrupted.drawn == 3:
            signal.raise_signal(signal.SIGINT)
        return super().sample_initial_state(batch, generator)


def test_ctrl_c_keeps_the_run_and_it_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch, untried):
    whole = train(DoubleIntegrator(), TrainConfig(**BRIEF))[1]
    monkeypatch.setattr(Interrupted, "drawn", 0)
    config = TrainConfig(**BRIEF, out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(), config)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert ImplicitPolicy.load(tmp_path, problem=Interrupted())(0.0, torch.zeros(1, 2)).shape == (1, 1)
    progress = begin(Interrupted(), config, torch.device("cpu"))
    read_checkpoint(tmp_path, Interrupted(), config, progress)
    assert progress.iteration == 2
    resumed = train(Interrupted(), dataclasses.replace(config, resume=True))[1]
    assert resumed.column("validation_cost") == whole.column("validation_cost")


def test_ctrl_c_leaves_one_line_with_the_command(tmp_path, monkeypatch, capsys, untried):
    from pontryagin.envs import catalog

    monkeypatch.setitem(catalog.PROBLEMS, "interrupted", (Interrupted, {}))
    monkeypatch.setattr(Interrupted, "drawn", 0)
    line = ["train", "interrupted", "--iterations", "5", "--validation-states", "2", "--out-dir", f"{tmp_path}/a b"]
    with pytest.raises(SystemExit) as stop:
        main([*line, "--fresh"])
    told = capsys.readouterr().err
    assert stop.value.code == 130 and told.count("\n") == 1
    assert told == f"interrupted; go on with: pontryagin {' '.join(line[:-1])} '{tmp_path}/a b' --resume\n"


def test_ctrl_c_before_anything_was_kept_says_so(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(DoubleIntegrator, "sample_initial_state", stop)
    for line, words in (
        (["train", "double_integrator", "--out-dir", str(tmp_path)], "nothing was kept yet\n"),
        (["evaluate", "lqr", "--problem", "double_integrator"], "nothing was stored\n"),
    ):
        with pytest.raises(SystemExit) as end:
            main(line)
        assert end.value.code == 130 and capsys.readouterr().err == f"interrupted; {words}"


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_no_run_and_the_policy_is_somewhere(pendulum, tmp_path, monkeypatch):
    monkeypatch.setattr(
        storage, "replace_file", lambda path, content: full() if tmp_path in path.parents else write(path, content)
    )
    write = files.replace_file
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.parent))
    with pytest.warns(UserWarning) as told:
        policy, history = train(pendulum, TrainConfig(**BRIEF, out=tmp_path, checkpoint_seconds=1e-9))
    assert history.rows[-1]["iteration"] == 4
    said = [str(w.message) for w in told if w.category is UserWarning]
    assert any("the checkpoint cannot be written" in line and "No space left" in line for line in said)
    (refuge,) = [line.rpartition(" ")[2] for line in said if "it is in" in line]
    found = ImplicitPolicy.load(refuge, device="cpu", problem=pendulum)
    assert torch.equal(found(0.0, torch.ones(1, 2)), policy(0.0, torch.ones(1, 2)))
    shutil.rmtree(refuge)


def test_a_folder_that_is_removed_during_the_run_is_made_again(tmp_path, untried):
    class Removed(DoubleIntegrator):
        drawn = 0

        def sample_initial_state(self, batch, generator=None):
            Removed.drawn += 1
            if Removed.drawn == 4:
                while (tmp_path / "run").exists():  # TensorBoard may be writing a file of it
                    shutil.rmtree(tmp_path / "run", ignore_errors=True)
            return super().sample_initial_state(batch, generator)

    _, history = train(Removed(), TrainConfig(**BRIEF, out=tmp_path / "run"))
    assert ImplicitPolicy.load(tmp_path / "run", problem=Removed())
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert len(lines) == 1 + len(history.rows)  # with the rows from before


def test_an_error_of_the_system_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "own_folder", full)
    monkeypatch.setattr("pontryagin.training.train.own_folder", full)
    with pytest.raises(SystemExit) as stop:
        main(["train", "double_integrator", "--out-dir", str(tmp_path)])
    assert stop.value.code == 2 and "No space left on device" in capsys.readouterr().err


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import Pendulum
from pontryagin import TrainConfig, train
train(Pendulum(), TrainConfig(iterations=10**9, batch=2, validation_states=2, width=4, validate_every=1,
                              out=Path(sys.argv[1]), checkpoint_seconds=0.001))
"""


def test_a_run_that_is_killed_leaves_no_lock(pendulum, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1])))
    run = subprocess.Popen([sys.executable, str(script), str(tmp_path / "a")], stdout=subprocess.PIPE)
    for _ in range(3):
        run.stdout.readline()
    with pytest.raises(ValueError, match=f"in use by process {run.pid} on "):
        train(pendulum, TrainConfig(**BRIEF, out=tmp_path / "a", fresh=True))
    run.kill()
    run.wait()
    run.stdout.close()
    train(pendulum, TrainConfig(**BRIEF, out=tmp_path / "a", fresh=True))
    assert not list((tmp_path / "a").glob(".*.partial"))
