"""Fields that the command line reads in words of its own: times with a unit, and flags that may be left open."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import tyro

from .duration import EXPECTED, seconds, spoken
from .rules import Flag, OrNone, Rule


class Time(Rule):
    """A length of time, stored in seconds."""

    def accept(self, value: Any) -> float:
        try:
            return seconds(value)
        except ValueError:
            raise ValueError(EXPECTED) from None


class FlagOrAuto(Rule):
    """True, False, or ``auto``: as it turns out to be better."""

    def accept(self, value: Any) -> bool | str:
        if isinstance(value, str) and value == "auto":
            return value
        try:
            return Flag().accept(value)
        except ValueError as error:
            raise ValueError(f"auto, {error}") from None


def _on_the_command_line(metavar: str) -> tyro.constructors.PrimitiveConstructorSpec[float | str | None]:
    """How a time is read there. A bare number is refused: it may have been meant in minutes."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: None if words[0] == "None" else seconds(words[0]),
        is_instance=lambda value: value is None or isinstance(value, (float, str)),
        str_from_instance=lambda value: ["None" if value is None else spoken(value)],
    )


_WORDS: dict[str, bool | str] = {"auto": "auto", "yes": True, "no": False}
AutoOrFlag: TypeAlias = Annotated[
    bool | str,
    FlagOrAuto(),
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="auto|yes|no",
        instance_from_str=lambda words: _WORDS[words[0]],
        is_instance=lambda value: value in (True, False, "auto"),
        str_from_instance=lambda value: [{True: "yes", False: "no"}.get(value, "auto")],
        choices=tuple(_WORDS),
    ),
]
Duration: TypeAlias = Annotated[float | str, Time(), _on_the_command_line("90s|15m|1h")]
"""Seconds, or a string with a unit."""
DurationOrNone: TypeAlias = Annotated[float | str | None, OrNone(Time()), _on_the_command_line("{None}|90s|15m|1h")]
"""The same, or None. (The command line cannot read ``Duration | None``.)"""
