"""``compare.json``: what a comparison of gradients has measured so far, of what, and where."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
from pathlib import Path
from typing import Any, TypeAlias

import torch

from ...envs.files import read_json, replace_file
from ...envs.problem import Problem
from ...envs.record import problem_record
from ..duration import spoken
from .compare_config import CompareConfig

Result: TypeAlias = dict[str, Any]


def write_comparison(file: Path, result: Result) -> None:
    """``compare.json``, whole."""
    replace_file(file, (json.dumps(result, indent=1) + "\n").encode())


def read_comparison(file: Path, about: Result) -> Result:
    """What the file has, if it is of the same problem and settings.

    Raises:
        ValueError: naming what differs.
    """
    result = read_json(file)
    then = result.get("about", {})
    if not isinstance(then, dict):
        raise ValueError(f"{file} says what it is about with a {type(then).__name__}; was it edited?")
    for key in ("problem", "settings"):
        if then.get(key) != about[key]:
            raise ValueError(f"{file} has {key} {then.get(key)}; resume with the same, not {about[key]}")
    return result


def circumstances(problem: Problem, asked: CompareConfig, name: str, compiled: bool) -> Result:
    """What was compared, by which command, where: ``about`` in the file."""
    own = {f.name: getattr(asked, f.name) for f in dataclasses.fields(asked) if f.name not in ("out", "resume")}
    spelled = own | {"time_budget": spoken(asked.time_budget)}
    flags = "".join(
        f" --{key.replace('_', '-')}" + ("" if value is True else f" {spelled[key]}")
        for key, value in own.items()
        if value != getattr(type(asked)(), key)
    )
    return {
        "command": f"pontryagin compare-gradients {name}{flags}",
        "date": datetime.date.today().isoformat(), "torch": torch.__version__, "threads": torch.get_num_threads(),
        "machine": platform.machine(), "device": "cpu",
        "device_of_peak": "cuda" if torch.cuda.is_available() else "cpu",
        "problem": problem_record(problem),
        "settings": {k: v for k, v in dataclasses.asdict(asked).items() if k not in ("out", "resume")},
        "compiled": compiled,
    }  # fmt: skip
