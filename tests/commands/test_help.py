"""What the command line says of itself: a sentence for every command and for every option; and no negative time."""

import io
import re

import pytest
from rich.console import Console

from pontryagin import TrainConfig
from pontryagin.training.commands.cli import _commands, main
from pontryagin.training.report import Report
from pontryagin.training.stages import TimeBar

COMMANDS = _commands(TrainConfig())


def helped(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_help_has_a_sentence_for_every_command(capsys):
    text = re.sub(r"[│\s]+", " ", helped([], capsys))
    for name, command in COMMANDS.items():
        first = re.split(r"[.,:;] |\.$", " ".join(command.__doc__.split()))[0]
        assert len(first.split()) >= 2 and f" {name} {first}" in text, name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_words_for_every_option(name, capsys):
    text = helped([name], capsys)
    parts = re.split(r"\n[│ ]{1,3}(?=--?[a-z]|[A-Z]{4})", text)[1:]
    assert parts
    for part in parts:
        option, rest = part.split(" ", 1)
        words = re.sub(r"\(default.*|\(required\)|[│╰─╯╭]|\s+", " ", rest.replace("\n", " "))
        assert len([w for w in words.split() if re.fullmatch(r"[a-z]{2,}[.,:;]?", w)]) >= 1, f"{name} {option}: {rest}"


@pytest.mark.parametrize("line", [["evaluate", "runs[/x]"], ["evaluate", "[red]"], ["diagnose", "runs[/x]"]])
def test_a_name_with_brackets_is_said_as_it_is(line, capsys):
    with pytest.raises(SystemExit) as stop:
        main(line)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("error: ") and line[1] in said


@pytest.mark.parametrize("share", [-0.5, 0.0, 0.3, 1.0, 7.0])
def test_no_bar_shows_a_negative_time(share, monkeypatch):
    report = Report(None, [])
    report.bar.disable, report.bar.live.console = False, Console(file=io.StringIO(), force_terminal=True, width=200)
    shown = report.bar.live.console
    report.bar.start()
    report.update(share, 3, 1.0, 1.0, 0.0)
    report.bar.refresh()
    report.bar.stop()
    assert not re.search(r"-\d+:|-\d+ ?%|-\d+ it", shown.file.getvalue())
    bar = TimeBar(10.0).render(type("Task", (), {"elapsed": 40.0})())
    assert bar.completed == bar.total == 10.0
