"""The terminal: words are printed as they are, whatever brackets they have, and errors end in one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from ..controllers.optimum import heard


class Said(ValueError):
    """What is refused, where another process has said it."""


def speaks() -> bool:
    """Whether this process is the one of torchrun's that speaks for all."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


class PlainConsole(Console):
    """Rich's console without its markup: ``pontryagin[sb3]`` and ``runs[/x]`` are names, not styles.

    Of torchrun's processes the first one prints; what goes to stderr, all of them.

    Args:
        stderr: write there.
        least: columns it has at least, for tables that would break.
    """

    def __init__(self, stderr: bool = False, least: int = 0) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, quiet=not (stderr or speaks()))
        if self.width < least:
            self.width = least

    def on_broken_pipe(self) -> None:
        """Pass it on, to where every error ends."""
        raise BrokenPipeError("the reader of the output has gone away")


@contextlib.contextmanager
def searching(what: str) -> Iterator[None]:
    """While optima are sought: how far the search is, on a line that goes away."""
    with PlainConsole().status(what) as shown, heard(lambda told: shown.update(f"{what}: {told}")):
        yield


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Around a command: what is refused or cannot be written ends in a sentence and exit code 2."""
    if sys.stdout is None:  # closed by who started us
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without α gets a question mark
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except (ValueError, ImportError, OSError) as error:
        _let_go_of_output()
        if isinstance(error, Said):
            raise SystemExit(2) from None
        with contextlib.suppress(OSError):  # nobody may be left to read it
            PlainConsole(stderr=True).print(Text.assemble(("error:", "red"), f" {sentence(error)}"), soft_wrap=True)
        raise SystemExit(2) from None


def sentence(error: Exception) -> str:
    """What is wrong, in words; of the system's errors, the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        about = "the output" if error.filename is None else str(error.filename)
        return f"cannot use {about}: {error.strerror}"
    return str(error)


def _let_go_of_output() -> None:
    """Output that cannot be written is dropped, or Python would complain of it once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
