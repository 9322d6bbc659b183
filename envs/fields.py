"""What a number may be: of Python or of NumPy, and one that the mathematics can use."""

from __future__ import annotations

import dataclasses
import math
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .problem import Problem


WHOLE, REAL = (int, np.integer), (float, int, np.floating, np.integer)
"""Whole numbers and numbers as compiled code can ask for them: the classes of ``numbers`` are abstract."""
MOST = 10**9
"""The largest count that anything here can have; seeds go further."""


def whole(value: object, name: str, least: int = 1, most: int = MOST) -> int:
    """A whole number of Python or NumPy as an int.

    Raises:
        ValueError: if it is something else, below ``least`` or above ``most``.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= int(value) <= most:
        expected = "a positive integer" if least == 1 else f"an integer, {least} or above"
        below = f", {most} at most" if isinstance(value, Integral) and int(value) > most else ""
        raise ValueError(f"{name} is {value!r:.100}; expected {expected}{below}")
    return int(value)


def seeded(seed: object, name: str = "seed") -> int | None:
    """A seed as Gymnasium and torch take it, or None."""
    return None if seed is None else whole(seed, name, 0, 2**128)


def number(value: object, name: str) -> float:
    """A finite number of Python or NumPy as a float.

    Raises:
        ValueError: if it is something else.
    """
    if not finite(value):
        raise ValueError(f"{name} is {value!r:.100}; expected a finite number")
    return float(value)  # type: ignore[arg-type]


def finite(value: object) -> bool:
    """Whether it is a number of Python or NumPy that a float can hold."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def check_is(value: object, kind: type, name: str) -> None:
    """Refuse what is no ``kind``.

    Raises:
        ValueError: saying what came.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name} is a {type(value).__name__}; expected a {kind.__name__}")


def check_callable(controller: object) -> None:
    """Refuse what cannot be asked for a control.

    Raises:
        ValueError: saying what came.
    """
    if not callable(controller):
        raise ValueError(f"controller is a {type(controller).__name__}; expected a callable (t, z) -> u")


def plain_fields(problem: Problem) -> None:
    """The fields of a shipped problem that are one number, as Python's numbers, whatever they were given as.

    Raises:
        ValueError: if one of them is no finite number, or no whole one where it has to be.
    """
    for field in dataclasses.fields(problem):  # type: ignore[arg-type]
        value, name = getattr(problem, field.name), f"{type(problem).__name__}.{field.name}"
        if field.type in ("int", int):
            object.__setattr__(problem, field.name, whole(value, name))  # frozen for everybody else
        elif field.type in ("float", float):
            object.__setattr__(problem, field.name, number(value, name))
