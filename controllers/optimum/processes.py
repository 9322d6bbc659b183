"""Pools of fresh processes that do not outlive whoever started them, and Ctrl-C that no library swallows."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait
from types import FrameType, TracebackType

import torch.multiprocessing


class Pool(concurrent.futures.ProcessPoolExecutor):
    """Left by an error or Ctrl-C, it ends what its processes are at; otherwise it waits for them."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is not None:
            self.end()
        return super().__exit__(kind, error, trace)

    def end(self) -> None:
        """End its processes, whatever they are at."""
        for process in list((self._processes or {}).values()):  # from Python 3.14 on: terminate_workers
            process.terminate()


def spawn_pool(processes: int) -> Pool:
    """So many spawned processes; each ends when this one does, even if this one is killed and cannot tell them."""
    context = torch.multiprocessing.get_context("spawn")
    return Pool(processes, mp_context=context, initializer=end_with_parent)


@contextlib.contextmanager
def heard_interrupts() -> Iterator[None]:
    """What a signal's handler raises is raised at the end of this, if a library in between has swallowed it.

    CasADi takes a Ctrl-C for an error of the function that it evaluates: the solve ends, and its answer looks like one.
    """
    before, heard = signal.getsignal(signal.SIGINT), []
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def hear(number: int, frame: FrameType | None) -> None:
        try:
            before(number, frame)
        except BaseException as error:
            heard.append(error)
            raise

    signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            raise heard[0]


def end_with_parent() -> None:
    """End this process as soon as its parent is gone, whom a Ctrl-C concerns: a thread waits for that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
