"""Whatever goes wrong on the command line ends in one sentence, as it was meant, and exit code 2."""

import importlib
import io
import sys

import pytest

from pontryagin.training.commands.cli import main
from pontryagin.training.console import PlainConsole, one_sentence
from pontryagin.training.report import Report


def refused(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


class Pipe(io.RawIOBase):
    """Output that nobody reads, or that finds no room."""

    def __init__(self, error):
        self.error = error

    def writable(self):
        return True

    def write(self, _):
        raise self.error


def test_brackets_are_printed_as_they_are(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "casadi", None)
    refused(["reference", "double_integrator", "--states", "1", "--method", "ipopt"])
    assert '"pontryagin[reference]"' in capsys.readouterr().err
    refused(["evaluate", "runs[/x]"])
    assert "runs[/x]" in capsys.readouterr().err
    PlainConsole().print("runs[/x] :smile:")
    assert capsys.readouterr().out == "runs[/x] :smile:\n"


def test_what_the_system_refuses_is_said_with_the_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for line in (["plot", "quadrotor", "--states", "1"], ["export", "quadrotor", "--to", "numpy"]):
        refused([*line, "--out-dir", str(tmp_path / "file" / "folder")])
        text = capsys.readouterr().err
        assert text.startswith("error: ") and str(tmp_path / "file") in text and "Traceback" not in text


MODULE = """
import dataclasses
from pontryagin import DoubleIntegrator

@dataclasses.dataclass(frozen=True)
class Mine(DoubleIntegrator):
    law: object = dataclasses.field(default_factory=object)
"""


@pytest.mark.parametrize(
    ("command", "room", "search"), [("reference", "commands.reference", "searched"), ("solve", "solve", "families")]
)
def test_a_field_that_cannot_be_stored_is_refused_before_optima_are_sought(
    command, room, search, tmp_path, monkeypatch, capsys
):
    (tmp_path / "unstorable.py").write_text(MODULE)
    module = importlib.import_module(f"pontryagin.training.{room}")
    monkeypatch.setattr(module, search, lambda *_: pytest.fail("it ran"))
    refused([command, f"{tmp_path / 'unstorable.py'}:Mine", "--out-dir", str(tmp_path / "out")])
    assert "Mine.law is a object; expected plain data" in capsys.readouterr().err


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")])
@pytest.mark.parametrize("line", [["--help"], ["--version"], ["evaluate", "quadrotor", "--states", "1"]])
def test_output_that_cannot_be_written(error, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(Pipe(error)), encoding="utf-8"))
    refused(line)
    assert capsys.readouterr().err.startswith("error: ")
    monkeypatch.setattr(Pipe, "write", lambda self, data: len(data))  # let the buffer go


def test_output_that_was_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    main(["evaluate", "quadrotor", "--states", "1"])


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_greek(encoding, monkeypatch):
    for line in (["evaluate", "quadrotor", "--states", "2"], ["train", "--help"]):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        try:
            main(line)
        except SystemExit as stop:
            assert not stop.code
        sys.stdout.flush()
        assert len(written.getvalue()) > 200


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train quadrotor --iterations -1", "TrainConfig.iterations is -1; expected a whole number above 0"),
        ("benchmark quadrotor --methods [/x]", "BenchmarkConfig.methods has ['[/x]']"),
        ("tune quadrotor --trials 0", "TuneConfig.trials is 0"),
        ("compare-gradients quadrotor --states 0", "CompareConfig.states is 0"),
    ],
)
def test_a_configuration_is_refused_in_its_own_words(line, words, capsys):
    refused(line.split())
    text = capsys.readouterr().err
    assert words in text and "dummy" not in text


@pytest.mark.parametrize("line", ["train quadrotor --iterations x", "bogus", "train", "export quadrotor --to bla"])
def test_the_parser_says_what_it_expects(line, capsys):
    refused(line.split())
    text = capsys.readouterr().err
    assert text and "dummy" not in text


def test_a_benchmark_says_what_is_missing_before_it_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    module = sys.modules["pontryagin.training.benchmark.benchmark"]
    monkeypatch.setattr(module, "spread_processes", lambda *_: pytest.fail("it trains"))
    refused(["benchmark", "double_integrator", "--out-dir", str(tmp_path / "out")])
    assert 'pip install "pontryagin[sb3]"' in capsys.readouterr().err


def test_the_time_left_is_never_negative(capsys):
    row = dict.fromkeys(("iteration", "cost", "validation_cost", "terminal_error", "residual"), 1.0) | {"seconds": 9.0}
    report = Report(None, [])
    report.validated(row, 1.2)
    assert " 0 s left" in capsys.readouterr().out
    report.validated(row, 0.0)


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError), one_sentence():
        _ = 1 / 0
