"""What a search says of itself while it goes on, to whoever listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from torch import Tensor

_listener: ContextVar[Callable[[str], object] | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard(listener: Callable[[str], object]) -> Iterator[None]:
    """Searches in this context tell ``listener`` how far they are, after each iteration."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def listened() -> bool:
    """Whether somebody listens, and will say what came out."""
    return _listener.get() is not None


def tell(iteration: int, moving: Tensor) -> None:
    """After so many iterations those ``(B,)`` are still on their way; without a listener the host does not look."""
    listener = _listener.get()
    if listener is not None:
        listener(f"iteration {iteration}, {len(moving) - int(moving.sum())} of {len(moving)} at their end")
