"""torch.compile where it can work: the CPU back end needs a C++ compiler and Python's headers."""

from __future__ import annotations

import os
import shutil
import sysconfig
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import torch

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F, device: torch.device) -> F:
    """``function`` compiled as one graph of fixed shapes; as it is, with a warning, where no compiler is at hand.

    It gets a code object of its own: torch counts compilations by code object and refuses the ninth, so closures made
    by one function (a step per training run) would use up each other's.
    """
    if device.type == "cpu" and not compiler_at_hand():
        warnings.warn("no C++ compiler or no Python headers: running eagerly, several times slower", stacklevel=2)
        return function
    if isinstance(function, types.FunctionType):
        code, defaults, cells = function.__code__.replace(), function.__defaults__, function.__closure__
        function = cast(F, types.FunctionType(code, function.__globals__, function.__name__, defaults, cells))
    return cast(F, torch.compile(function, fullgraph=True, dynamic=False))


def device_named(name: str | torch.device) -> torch.device:
    """The device called ``name``; ``"auto"`` is CUDA where there is one.

    Raises:
        ValueError: if torch knows none of that name, or this machine has none.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
        return device
    except (RuntimeError, TypeError, AssertionError, NotImplementedError):  # each back end says it in its own way
        expected = "auto, cpu, or another device of torch that this machine has"
        raise ValueError(f"device is {name!r:.100}; expected {expected}") from None


def compiler_at_hand() -> bool:
    """Whether torch's CPU back end would find what it needs."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    names = (os.environ.get("CXX"), "g++", "clang++", "cl")
    return headers.exists() and any(name is not None and shutil.which(name) for name in names)
