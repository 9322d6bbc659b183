"""A share as people write it, 0.01 or 1%."""

from __future__ import annotations

import contextlib
import math


def share(gap: float | str) -> float:
    """0.01 or "1%".

    Raises:
        ValueError: if it is neither, or below 0.
    """
    found = math.nan
    with contextlib.suppress(TypeError, ValueError):
        found = float(gap.rstrip("%")) * (0.01 if gap.endswith("%") else 1.0) if isinstance(gap, str) else float(gap)
    if not 0 <= found < math.inf:
        raise ValueError(f"gap is {gap!r:.100}; expected a number >= 0, or as 1%")
    return found
