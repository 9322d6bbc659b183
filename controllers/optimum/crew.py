"""Work on many states, shared out among processes: each takes some of the rows."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import logging
import os
import pickle
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import torch

from .processes import Pool, spawn_pool

T = TypeVar("T")
MOST = 8
"""Processes at most, where nobody says how many: each imports torch, a few hundred megabytes."""

_crew: ContextVar[tuple[Pool, int] | None] = ContextVar("crew", default=None)


def cores(problem: object = None) -> int:
    """How many processes this one may keep busy, MOST at most; 1 where ``problem`` cannot be sent to another."""
    if _unsent(problem):
        return 1
    known = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(len(known), MOST)


def hands() -> int:
    """How many processes share the work of this context."""
    now = _crew.get()
    return 1 if now is None else now[1]


@contextlib.contextmanager
def crew(processes: int, problem: object) -> Iterator[None]:
    """What is ``shared`` in this context is done by so many processes, of one thread each; by this one if that is 1.

    They begin to start at once and end with the context. ``problem`` goes to them with every piece of work.

    Raises:
        ValueError: if it cannot be sent.
    """
    if processes == 1:
        yield
        return
    if reason := _unsent(problem):
        raise ValueError(f"{problem} cannot be sent to another process ({reason}); use processes=1")
    with spawn_pool(processes) as pool:
        for _ in range(processes):
            pool.submit(torch.set_num_threads, 1)
        token = _crew.set((pool, processes))
        try:
            yield
        finally:
            _crew.reset(token)


def shared(function: Callable[..., T], count: int, arguments: Callable[[slice], tuple[object, ...]]) -> list[T]:
    """``function(*arguments(rows))`` for slices of the rows 0 .. count - 1, in their order; together they are all rows.

    ``function`` is one of a module. When a process dies, all is done here.
    """
    now, everything = _crew.get(), slice(0, count)
    if now is None or count < 2:
        return [function(*arguments(everything))]
    pool, processes = now
    ends = [count * k // min(processes, count) for k in range(min(processes, count) + 1)]
    try:
        parts = [slice(*pair) for pair in itertools.pairwise(ends)]
        jobs = [pool.submit(_done, pickle.dumps((function, arguments(part)))) for part in parts]
        return [pickle.loads(job.result()) for job in jobs]
    except concurrent.futures.BrokenExecutor as error:
        logging.getLogger(__name__).warning("a process died (%s): going on with this one alone", error)
        _crew.set(None)
        return [function(*arguments(everything))]


def _unsent(problem: object) -> str:
    """Why it cannot be sent to another process; empty where it can."""
    try:
        pickle.loads(pickle.dumps(problem))
    except Exception as error:  # whatever a class of the user's raises
        return str(error) or type(error).__name__
    return ""


def _done(work: bytes) -> bytes:
    """The answer to a piece of work; as bytes: torch sends tensors through shared memory, which may be small."""
    function, arguments = pickle.loads(work)
    return pickle.dumps(function(*arguments))
