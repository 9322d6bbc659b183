"""The folder of a run: one run at a time, nothing thrown away unasked, nothing lost to Ctrl-C or a full disk."""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TypeVar

from ..controllers.baselines import DirectPolicy
from ..controllers.policy import ImplicitPolicy
from ..envs.files import A_MOMENT, alone, save_somewhere
from ..envs.problem import Problem
from ..envs.record import problem_record
from .checkpoint import History, Progress, plain_config, write_checkpoint
from .config import TrainConfig
from .parallel import from_first, team

Trained = TypeVar("Trained", ImplicitPolicy, DirectPolicy)
RUN = ("checkpoint.json", "policy.json", "log.csv")
"""What a run leaves that another one must not mix with its own."""


@contextlib.contextmanager
def own_folder(problem: Problem, config: TrainConfig) -> Iterator[None]:
    """``config.out``, if there is one, for this run alone; checked before anything that takes time.

    Of several processes the first one has it.

    Raises:
        ValueError: if it cannot be written to, another process trains there, or it holds a run that is neither resumed
            nor thrown away (``fresh``); or if the problem has a field that could not be stored.
    """
    out = config.out
    if out is None:
        yield
        return
    with contextlib.ExitStack() as held:
        from_first(lambda: _take(out, problem, config, held))
        yield


def _take(out: Path, problem: Problem, config: TrainConfig, held: contextlib.ExitStack) -> None:
    """``out`` for this process, until ``held`` lets go of it."""
    config.make_folder()
    problem_record(problem)
    held.enter_context(alone(out, "run", A_MOMENT))
    found = [name for name in RUN[:2] if (out / name).exists()]
    if found and not config.resume and not config.fresh:
        raise ValueError(
            f"{out} holds a run already ({', '.join(found)}); expected resume (--resume) to go on with it, "
            "fresh (--fresh) to throw it away, or another folder"
        )


def throw_away(folder: Path) -> None:
    """Remove the run that ``folder`` holds; weights that nothing names go when the next are written."""
    for name in RUN:
        (folder / name).unlink(missing_ok=True)


def keep_checkpoint(problem: Problem, config: TrainConfig, progress: Progress) -> None:
    """``write_checkpoint``, if the run has a folder; where the disk does not take it the run goes on, and says so."""
    if config.out is None or not team().leads:
        return
    try:
        write_checkpoint(config.out, problem, config, progress)
    except OSError as error:
        warnings.warn(
            f"the checkpoint cannot be written to {config.out} ({error.strerror}); the run goes on, and can be resumed "
            "from the last one that could",
            stacklevel=2,
        )


def conclude(config: TrainConfig, progress: Progress, policy: Trained) -> tuple[Trained, History]:
    """``policy``, which has the weights of the run, with the best ones; saved if the run has a folder.

    Where that cannot be written to the policy goes to a temporary one, which a warning names: the training is done.
    """
    progress.value.load_state_dict(progress.best)
    if config.out is not None and team().leads:
        settings = {k: v for k, v in plain_config(config).items() if k not in ("out", "resume", "fresh", "device")}
        notes = {"training": settings, "best": progress.history.best}
        save_somewhere(lambda folder: policy.save(folder, notes), config.out, "the policy")
    return policy, progress.history


class Interrupts:
    """Ctrl-C is heard and waits until the run has come to a place from which it can go on; a second one does not wait.

    Only in the main thread, and where Ctrl-C means what Python makes it mean.
    """

    def __init__(self) -> None:
        self.heard = False
        self._own = False

    def __enter__(self) -> Interrupts:
        here = threading.current_thread() is threading.main_thread()
        self._own = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._own:
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        if self._own:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard:
            raise KeyboardInterrupt
        self.heard = True
