"""What checkpoints, logs and references keep of a problem: its class and its fields."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from torch import Tensor

from .files import alike, plain
from .problem import Problem


def problem_parameters(problem: Problem) -> dict[str, Any]:
    """The fields of a problem as plain data (a problem is its record), for checkpoints and logs.

    Raises:
        ValueError: naming a field that is no plain data.
    """
    if not dataclasses.is_dataclass(problem):
        return {}
    name = type(problem).__name__
    fields = [f.name for f in dataclasses.fields(problem) if f.init]
    return {field: _recorded(getattr(problem, field), f"{name}.{field}") for field in fields}


def _recorded(value: Any, name: str) -> Any:
    if isinstance(value, Problem):
        return problem_record(value)
    if isinstance(value, Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, Tensor) else "array"
        return {kind: plain(value, name), "dtype": str(value.dtype).removeprefix("torch.")}
    return plain(value, name)


def problem_record(problem: Problem) -> dict[str, Any]:
    """What checkpoints keep of a problem: its class and its parameters.

    Raises:
        ValueError: if the class, called with them, would make another problem than this one.
    """
    parameters = problem_parameters(problem)
    _check_kept(problem, list(parameters))
    return {"class": class_name(type(problem)), "parameters": parameters}


def _check_kept(problem: Problem, fields: list[str]) -> None:
    """Refuse what the fields alone do not bring back: arguments of a plain class, attributes that were set later."""
    name, cure = type(problem).__name__, "make it a @dataclass(frozen=True) with a field, of a type, for each of them"
    try:
        again = type(problem)(**{field: getattr(problem, field) for field in fields})
    except TypeError as error:
        raise ValueError(f"{name} cannot be stored, for its fields do not make it again ({error}); {cure}") from None
    own = {k for k in vars(problem) if k in vars(again) or not k.startswith("_")}
    for key in sorted(own - set(fields)):
        if isinstance(getattr(type(problem), key, None), functools.cached_property):
            continue
        if not hasattr(again, key) or not alike(getattr(problem, key), getattr(again, key)):
            raise ValueError(
                f"{name} cannot be stored: {key} is {getattr(problem, key)!r:.60}, and {name}() would have another "
                f"one; {cure}"
            )


def class_name(problem: type[Problem]) -> str:
    """How checkpoints record a class: ``module:ClassName``."""
    return f"{problem.__module__}:{problem.__qualname__}"
