"""Figures, films, logs and records of results: a kill leaves the old one or the new one, and a full disk says so."""

import json

import imageio.v2 as imageio
import matplotlib.figure
import numpy as np
import pytest
from killed import kills

from pontryagin.envs.files import alone
from pontryagin.training.benchmark.tuning import COLUMNS, _append
from pontryagin.training.commands.cli import _read_rows, main
from pontryagin.training.pictures import save_figure, write_film
from pontryagin.training.report import Report
from pontryagin.training.theory.compare_file import read_comparison, write_comparison


def figure(path, version):
    made = matplotlib.figure.Figure(figsize=(1 + version, 1))
    save_figure(made, path, 50)


def size(path):
    return imageio.imread(path).shape[1]


WRITERS = {
    "compare.json": (
        lambda path, version: write_comparison(path, {"pilot": version}),
        lambda path: json.loads(path.read_text()),
    ),
    "figure.png": (figure, size),
    "film.gif": (lambda path, version: write_film([np.zeros((8, 8 * version, 3), np.uint8)] * 2, path), size),
    "film.mp4": (
        lambda path, version: write_film([np.zeros((16, 16 * version, 3), np.uint8)] * 2, path),
        lambda path: imageio.mimread(path)[0].shape,
    ),
    "tuned.csv": (
        lambda path, version: _append(path, list(range(len(COLUMNS)))),
        lambda path: [line.count(",") == len(COLUMNS) - 1 for line in path.read_text().splitlines()],
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_kill_leaves_the_old_file_or_the_new_one(name, tmp_path, monkeypatch):
    write, read = WRITERS[name]
    path = tmp_path / name
    write(path, 1)
    old = read(path)
    write(path, 2)
    new = read(path)
    for point in kills(monkeypatch, lambda: write(path, 2)):
        assert read(path) in (old, new) or name == "tuned.csv" and all(read(path)), point
        path.unlink()
        write(path, 1)
    assert [file.name for file in tmp_path.iterdir()] == [name]


LOG = "iteration,seconds,cost,validation_cost"


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", f"{LOG}\n1\n", f"{LOG}\n1,2,3,x\n", f"{LOG}\n1,2,3,4,5\n", "\xff", f"{LOG}\n1,2,3,\x00\n"]
)
def test_a_damaged_log_is_a_sentence(text, tmp_path):
    (tmp_path / "log.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"log\.csv does not describe what it should"):
        _read_rows(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_text(f"{LOG}\n1,2,3,4\n")
    assert _read_rows(tmp_path / "log.csv") == [{"iteration": 1, "seconds": 2, "cost": 3, "validation_cost": 4}]


@pytest.mark.parametrize("forged", [3, None, "x", [1]])
def test_a_forged_comparison_is_a_sentence(forged, tmp_path):
    write_comparison(tmp_path / "compare.json", {"about": forged})
    with pytest.raises(ValueError, match=r"compare\.json says what it is about with a"):
        read_comparison(tmp_path / "compare.json", {"problem": "p", "settings": {}})


@pytest.mark.parametrize(("line", "lock"), [("solve", "solve"), ("compare-gradients", "compare")])
def test_a_folder_that_another_process_writes_to_is_left_alone(line, lock, tmp_path, capsys):
    folder = tmp_path / "double_integrator" if line == "compare-gradients" else tmp_path
    folder.mkdir(exist_ok=True)
    with alone(folder, lock, 0), pytest.raises(SystemExit) as stop:
        main([line, "double_integrator", "--out-dir", str(tmp_path)])
    assert stop.value.code == 2 and "is in use by process" in capsys.readouterr().err
    assert not list(folder.glob("*.json"))


def row(iteration):
    return {"iteration": iteration, "seconds": 1.0, "cost": 1.0, "validation_cost": 1.0} | dict.fromkeys(
        ("terminal_error", "residual"), 0.0
    )


def test_the_log_has_no_half_of_a_row(tmp_path, monkeypatch):
    """Also where a disk was full for a while: the row it did not take comes with the next one."""
    report = Report(tmp_path, [row(0.0)])
    for _ in kills(monkeypatch, lambda: report.validated(row(100.0), 0.5)):
        assert [found["iteration"] for found in _read_rows(tmp_path / "log.csv")][0] == 0.0

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="the log cannot be written"):
        patch.setattr("pontryagin.training.report.replace_file", full)
        report.validated(row(200.0), 0.5)
    report.validated(row(300.0), 0.5)
    assert [found["iteration"] for found in _read_rows(tmp_path / "log.csv")][-2:] == [200.0, 300.0]
    report.writer.close()
