"""The points at which a writer can be struck, and processes that are."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

STEPS = ("replace", "fsync", "unlink")
CUTS = (0.0, 0.5, 1.0)
"""Shares of what is written that reach the file before the writer dies, or the disk is full."""
REFUSED = (ValueError, OSError)


class Steps:
    """Counts what a writer does to files below ``place``, and calls ``strike`` at one of its points.

    A point is the beginning or the end of ``os.replace``, ``os.fsync`` or ``os.unlink``, or a share of a write.
    """

    def __init__(self, place: Path, at: int | None = None, strike: Callable[[], object] = lambda: None) -> None:
        self.place, self.at, self.strike, self.points = str(place), at, strike, 0

    def reached(self) -> bool:
        """One more point; whether it is the one."""
        self.points += 1
        return self.points - 1 == self.at

    def __enter__(self) -> Steps:
        self.patches = contextlib.ExitStack()
        for step in STEPS:
            self.patches.enter_context(mock.patch.object(os, step, self._step(step, getattr(os, step))))
        opened = self._opened(io.open)
        self.patches.enter_context(mock.patch.object(io, "open", opened))
        self.patches.enter_context(mock.patch.object(builtins, "open", opened))
        return self

    def __exit__(self, *error: object) -> None:
        self.patches.close()

    def _step(self, step: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **options: Any) -> Any:
            if self.reached():
                if step == "unlink" and self.strike is full:  # a full disk lets files go
                    real(*arguments, **options)
                self.strike()
            answer = real(*arguments, **options)
            if self.reached():
                self.strike()
            return answer

        return stepped

    def _opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            found, name = real(file, mode, *arguments, **options), str(file)
            ours = name.startswith(self.place) and "tfevents" not in name  # TensorBoard has a thread for its own
            return Cut(found, self) if ours and set(mode) & set("wxa+") else found

        return opened


class Cut:
    """A file whose writing is struck after a share of it."""

    def __init__(self, file: Any, steps: Steps) -> None:
        self.file, self.steps = file, steps

    def write(self, content: Any) -> Any:
        for share in CUTS:
            if self.steps.reached():
                self.file.write(content[: int(share * len(content))])
                self.file.flush()
                self.steps.strike()
        return self.file.write(content)

    def __enter__(self) -> Cut:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def die() -> NoReturn:
    """As by ``kill -9``: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("alive")


def full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def forked(work: Callable[[], object]) -> int:
    """The process that does ``work``: it ends with 0, with 3 where it says no in a sentence, with 4 after a warning."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                work()
                code = 4 if any("written" in str(warning.message) for warning in said) else 0
            except REFUSED:
                code = 3
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Its exit code, or minus the signal that ended it; it does not outlive this call."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
