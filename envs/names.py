"""Names and units of states and controls, as a problem declares them or numbered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .problem import Problem


def check_names(problem: Problem) -> None:
    """Refuse names that are none, or not one for each state or control, all or one agent's.

    Raises:
        ValueError: naming the field, what came and what was expected.
    """
    agents = problem.state_dim // problem.state_block
    for field, size in (("state_names", problem.state_dim), ("control_names", problem.control_dim)):
        names = getattr(problem, field)
        texts = isinstance(names, Sequence) and not isinstance(names, str)
        if not texts or len(names) not in (0, size, size / agents) or not all(isinstance(n, str) and n for n in names):
            raise ValueError(
                f"{type(problem).__name__}.{field} is {names!r:.100}; expected {size} texts such as 'angle (rad)', "
                "those of one agent, or none"
            )


def state_labels(problem: Problem) -> list[tuple[str, str]]:
    """Name and unit of each state: ``("angle", "rad")`` of "angle (rad)"; ``("z0", "")``, .. where there are none."""
    return _labels(problem.state_names, problem.state_dim, "z")


def control_labels(problem: Problem) -> list[tuple[str, str]]:
    """Name and unit of each control, as ``state_labels``; ``("u0", "")``, .. where there are none."""
    return _labels(problem.control_names, problem.control_dim, "u")


def shown_states(problem: Problem) -> list[str]:
    """What axes and legends call the states: their names, or $z_1$, .. where there are none."""
    return _shown(problem.state_names, problem.state_dim, "z")


def shown_controls(problem: Problem) -> list[str]:
    """What axes and legends call the controls: their names, or $u_1$, .. where there are none."""
    return _shown(problem.control_names, problem.control_dim, "u")


def _labels(names: Sequence[str], size: int, letter: str) -> list[tuple[str, str]]:
    if not names:
        return [(f"{letter}{i}", "") for i in range(size)]
    parts = [(name[:-1].partition(" (") if name.endswith(")") else (name, "", ""))[::2] for name in names]
    if len(names) == size:
        return parts
    return [(f"{name}_{i}", unit) for i in range(size // len(names)) for name, unit in parts]


def _shown(names: Sequence[str], size: int, letter: str) -> list[str]:
    if not names:
        return [f"${letter}_{{{i + 1}}}$" for i in range(size)]
    return [f"{name} ({unit})" if unit else name for name, unit in _labels(names, size, letter)]
