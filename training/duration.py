"""A length of time as people write it, 90s, 15m or 1h: one form for every command."""

from __future__ import annotations

import contextlib
import math
from numbers import Real

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
EXPECTED = "a time above 0 with its unit, 90s, 15m or 1h (in Python also a number of seconds)"


def seconds(duration: str | float) -> float:
    """``"15m"`` -> 900.0; a number is one of seconds already.

    Raises:
        ValueError: if it is neither, or not above 0 and finite.
    """
    found = math.nan
    if isinstance(duration, str):
        with contextlib.suppress(KeyError, ValueError):
            found = float(duration[:-1]) * UNITS[duration[-1:]]
    elif isinstance(duration, Real) and not isinstance(duration, bool):
        found = float(duration) if abs(duration) < 1e300 else math.inf
    if not 0 < found < math.inf:
        raise ValueError(f"time is {duration!r:.100}; expected {EXPECTED}")
    return found


def spoken(duration: str | float) -> str:
    """900.0 -> ``"15m"``: the shortest that ``seconds`` reads back as the same number."""
    length = seconds(duration)
    written = (f"{length / size!r}".removesuffix(".0") + unit for unit, size in UNITS.items())
    return min((word for word in written if seconds(word) == length), key=len)
