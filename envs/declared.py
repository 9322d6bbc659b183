"""What a problem declares about itself: dimensions, horizon, bounds, scales and names that make sense."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from .fields import finite, whole
from .names import check_names

if TYPE_CHECKING:
    from .problem import Problem


def check_problem(problem: Problem) -> None:
    """Refuse dimensions, horizons and bounds that make no sense.

    Raises:
        ValueError: naming the field, what came and what was expected.
    """
    name = type(problem).__name__
    _check_overridden(problem)
    _to_python(problem)
    for field in ("state_dim", "control_dim", "steps", "substeps"):
        value = whole(getattr(problem, field), f"{name}.{field}")
        if type(getattr(problem, field)) is not int and not isinstance(getattr(type(problem), field, None), property):
            object.__setattr__(problem, field, value)
    positive = {"horizon": "time", "success_radius": "distance", "lost_cost": "cost"}
    for field, kind in positive.items():
        value = getattr(problem, field)
        if not finite(value) or not 0 < value < 1e38:  # of float32, in which environments count
            raise ValueError(f"{name}.{field} is {value!r:.100}; expected a positive, finite {kind}")
    if problem.control_block < 1 or problem.control_dim % problem.control_block:
        raise ValueError(
            f"{name}.control_block is {problem.control_block}; expected a divisor of control_dim {problem.control_dim}"
        )
    if problem.state_block < 1 or problem.state_dim % problem.state_block:
        raise ValueError(
            f"{name}.state_block is {problem.state_block}; expected a divisor of state_dim {problem.state_dim}"
        )
    sizes = {"control_low": problem.control_dim, "control_high": problem.control_dim}
    sizes |= {"state_scale": problem.state_dim, "state_bound": problem.state_dim}
    sizes |= {} if problem.start_scale is None else {"start_scale": problem.state_dim}
    sizes |= {} if problem.fine_scale is None else {"fine_scale": problem.state_dim}
    for field, size in sizes.items():
        try:
            array = np.asarray(getattr(problem, field), dtype=float)
        except (TypeError, ValueError, OverflowError):
            got = getattr(problem, field)
            raise ValueError(f"{name}.{field} is {got!r}; expected a number or {size} of them") from None
        if array.shape not in ((), (size,)):
            raise ValueError(f"{name}.{field} has shape {array.shape}; expected a number or ({size},)")
        if not np.isfinite(array).all():
            hint = ": actions are scaled to [low, high], so take more than is ever played" if "control" in field else ""
            raise ValueError(f"{name}.{field} is {array}; expected finite numbers{hint}")
        if field.endswith(("scale", "state_bound")) and (array <= 0).any():
            raise ValueError(f"{name}.{field} is {array}; expected positive numbers")
    low, high = (np.asarray(getattr(problem, f), dtype=float) for f in ("control_low", "control_high"))
    if (low >= high).any():
        raise ValueError(f"{name}.control_low {low} is not below control_high {high}")
    check_names(problem)


def _to_python(problem: Problem) -> None:
    """NumPy's integers in the fields, from which properties like ``state_dim`` are made, become Python's."""
    known: tuple[dataclasses.Field[object], ...] = (
        dataclasses.fields(problem) if dataclasses.is_dataclass(problem) else ()
    )
    for field in known:
        value = getattr(problem, field.name)
        if isinstance(value, np.integer):
            object.__setattr__(problem, field.name, int(value))


def _check_overridden(problem: Problem) -> None:
    """Refuse ``steps = 400`` in a class derived from a dataclass: without a type it is no field, and does nothing."""
    known: tuple[dataclasses.Field[object], ...] = (
        dataclasses.fields(problem) if dataclasses.is_dataclass(problem) else ()
    )
    for field in known:
        said = getattr(type(problem), field.name, field.default)
        if field.default is not dataclasses.MISSING and said is not field.default and not hasattr(said, "__get__"):
            raise ValueError(
                f"{type(problem).__name__} says {field.name} = {said!r:.100} without a type, so its objects have "
                f"{getattr(problem, field.name)!r:.100}; write {field.name}: {type(field.default).__name__} = "
                f"{said!r:.100} under @dataclass(frozen=True)"
            )
