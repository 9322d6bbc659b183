"""What a field of a configuration may hold: its type carries a rule, applied when the configuration is made."""

from __future__ import annotations

import abc
import dataclasses
import difflib
import functools
import math
import os
import types
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
import tyro


class Rule(abc.ABC):
    """What is expected of a value."""

    @abc.abstractmethod
    def accept(self, value: Any) -> Any:
        """``value`` as it is stored.

        Raises:
            ValueError: if it is refused; the message is what was expected.
        """


@dataclasses.dataclass(frozen=True)
class Number(Rule):
    """A number of Python or NumPy for which ``holds``, which is false for nan; no bool, and no float for an int."""

    kind: type[int] | type[float]
    expected: str
    holds: Callable[[float], bool]

    def accept(self, value: Any) -> int | float:
        fits = isinstance(value, Integral if self.kind is int else Real) and not isinstance(value, bool)
        try:
            number = self.kind(value) if fits else math.nan
        except OverflowError:
            number = math.nan
        if not self.holds(number):
            raise ValueError(self.expected)
        return number


@dataclasses.dataclass(frozen=True)
class Choice(Rule):
    """One of some words, spelled exactly so."""

    words: tuple[str, ...]

    def accept(self, value: Any) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        near = difflib.get_close_matches(str(value).lower(), self.words, 1)
        raise ValueError(f"one of {', '.join(self.words)}" + (f"; did you mean {near[0]}?" if near else ""))


class Flag(Rule):
    """True or False, no number that stands for them."""

    def accept(self, value: Any) -> bool:
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError("True or False")
        return bool(value)


class Text(Rule):
    """A word that is not empty; a path may stand for one."""

    def accept(self, value: Any) -> str:
        if not isinstance(value, (str, Path)) or not str(value).strip():
            raise ValueError("a text that is not empty")
        return str(value)


class Folder(Rule):
    """A path, which may be given as a string."""

    def accept(self, value: Any) -> Path:
        if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            raise ValueError("the path of a folder")
        return Path(value)


class Device(Rule):
    """``auto``, or a device that torch can put a tensor on here."""

    def accept(self, value: Any) -> str:
        name = str(value)
        if name == "auto":
            return name
        try:
            usable = torch.empty(0, device=name).device.type != "meta"
        except Exception:  # each backend that is missing says so in its own way
            usable = False
        if not usable:
            raise ValueError("auto, cpu, or another device of torch that this machine has")
        return name


class Levels(Rule):
    """Names with the strengths, or ranges of strengths, of what is drawn: ``wind=0.2,mass=0.8:1.2``."""

    def accept(self, value: Any) -> str:
        try:
            if isinstance(value, str) and levels(value):
                return value.replace(" ", "")
        except ValueError:
            pass
        raise ValueError("NAME=HIGHEST or NAME=LOWEST:HIGHEST, with commas between")


def levels(text: str) -> dict[str, tuple[float | None, float]]:
    """``wind=0.2,mass=0.8:1.2`` as name -> (lowest, highest); lowest is None where it is not given, else ValueError."""
    found: dict[str, tuple[float | None, float]] = {}
    for part in text.replace(" ", "").split(","):
        name, _, numbers = part.partition("=")
        low, _, high = numbers.rpartition(":")
        pair = (float(low) if low else None, float(high))
        if not name or name in found or not 0 <= (pair[0] or 0.0) <= pair[1] < math.inf:
            raise ValueError(f"{part!r} is no strength")
        found[name] = pair
    return found


@dataclasses.dataclass(frozen=True)
class OrNone(Rule):
    """What another rule accepts, or None."""

    rule: Rule

    def accept(self, value: Any) -> Any:
        try:
            return None if value is None else self.rule.accept(value)
        except ValueError as error:
            raise ValueError(f"{error}, or None") from None


Count: TypeAlias = Annotated[int, Number(int, "a whole number above 0", lambda n: n > 0)]
CountOrZero: TypeAlias = Annotated[int, Number(int, "a whole number, 0 or above", lambda n: n >= 0)]
Seed: TypeAlias = Annotated[int, Number(int, "a whole number from 0 to 2^63 - 1", lambda n: 0 <= n < 2**63)]
Positive: TypeAlias = Annotated[float, Number(float, "a number above 0", lambda x: 0 < x < math.inf)]
Weight: TypeAlias = Annotated[float, Number(float, "a number, 0 or above", lambda x: 0 <= x < math.inf)]
Limit: TypeAlias = Annotated[float, Number(float, "a number above 0, or inf", lambda x: x > 0)]
Multiple: TypeAlias = Annotated[float, Number(float, "a number above 1", lambda x: 1 < x < math.inf)]
Share: TypeAlias = Annotated[float, Number(float, "a share in [0, 1]", lambda x: 0 <= x <= 1)]
ShareAboveZero: TypeAlias = Annotated[float, Number(float, "a share in (0, 1]", lambda x: 0 < x <= 1)]
ShareBelowOne: TypeAlias = Annotated[float, Number(float, "a share in [0, 1)", lambda x: 0 <= x < 1)]
Name: TypeAlias = Annotated[str, Text()]
DisturbOrNone: TypeAlias = Annotated[str | None, OrNone(Levels())]
FolderPath: TypeAlias = Annotated[Path, Folder()]
OutFolder: TypeAlias = Annotated[Path, Folder(), tyro.conf.arg(name="out-dir")]
OutFolderOrNone: TypeAlias = Annotated[Path | None, OrNone(Folder()), tyro.conf.arg(name="out-dir")]
DeviceName: TypeAlias = Annotated[str, Device()]


def rule_of(hint: Any) -> Rule:
    """The rule in the type of a field.

    Raises:
        TypeError: if it carries none.
    """
    if hint is bool:
        return Flag()
    if get_origin(hint) is Literal:
        return Choice(get_args(hint))
    if get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
        (rest,) = (part for part in get_args(hint) if part is not type(None))
        return OrNone(rule_of(rest))
    for rule in getattr(hint, "__metadata__", ()):
        if isinstance(rule, Rule):
            return rule
    raise TypeError(f"{hint} carries no rule; expected a type of training/rules.py")


@functools.cache
def rules(kind: type[Any]) -> dict[str, Rule]:
    """Field -> rule, of all fields."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: rule_of(hints[field.name]) for field in dataclasses.fields(kind)}


@dataclasses.dataclass(frozen=True)
class Checked:
    """A configuration whose fields are checked, and made plain Python values, when it is made.

    Raises:
        ValueError: naming the field, the value and what is expected.
    """

    def __post_init__(self) -> None:
        for name, rule in rules(type(self)).items():  # type: ignore[arg-type]
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, rule.accept(value))  # frozen for everybody else
            except ValueError as error:
                raise ValueError(f"{type(self).__name__}.{name} is {value!r}; expected {error}") from None
