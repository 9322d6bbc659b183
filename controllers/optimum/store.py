"""Reference optima on disk: an .npz of numbers, and beside it a JSON file that says how they were made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...envs.catalog import class_name
from ...envs.problem import Problem, check_state, problem_parameters
from .ipopt import ReferenceTrajectory, agree, fly

FOLDER = Path("results/reference")
"""Where ``find_reference`` looks, inside the current folder."""
FORMAT = 1


def save_reference(path: str | Path, problem: Problem, reference: ReferenceTrajectory, command: str = "") -> Path:
    """Write ``path`` (``.npz``) and beside it a JSON file saying what it is and how it was made; returns ``path``.

    Args:
        command: what to run to make it again.
    """
    import pontryagin

    path = _npz(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {k: np.asarray(v) for k, v in vars(reference).items()}
    np.savez_compressed(buffer, **arrays)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "casadi", "numpy")}
    record = {
        **_identity(problem),
        "format": FORMAT,
        "command": command,
        "versions": {"pontryagin": pontryagin.__version__, "python": platform.python_version(), **versions},
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"platform": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "samples": len(reference.status),
        "converged": int(reference.converged.sum()),
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    contents = {path: buffer.getvalue(), path.with_suffix(".json"): (json.dumps(record, indent=2) + "\n").encode()}
    for target, content in contents.items():
        temporary = target.with_name(f".{target.name}.partial")
        temporary.write_bytes(content)
        temporary.replace(target)
    return path


def load_reference(path: str | Path, problem: Problem, z0: Tensor) -> ReferenceTrajectory:
    """The stored optima that start from ``z0``, ``(B, n)``, flown again to see that they are still of this problem.

    Raises:
        ValueError: if a file is missing, cut short or edited, is of another problem, lacks a state of z0, or if
            ``rollout`` no longer gives the stored costs.
    """
    check_state(problem, z0, "z0")
    path = _npz(path)
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} and its JSON cannot be read: {error}") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path.with_suffix('.json')} does not describe a reference of format {FORMAT}")
    identity = _identity(problem)
    if {k: record.get(k) for k in identity} != identity:
        raise ValueError(f"{path} is of {record.get('class')} {record.get('parameters')}; expected {identity}")
    if hashlib.sha256(content).hexdigest() != record.get("sha256"):
        raise ValueError(f"{path} was cut short or edited: its SHA-256 does not match its JSON")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        stored = dict(arrays)
    z0 = z0.detach().double().cpu()
    known = {row.tobytes(): index for index, row in enumerate(stored["z"][0])}
    rows = [known.get(row.tobytes()) for row in z0.numpy()]
    if None in rows:
        raise ValueError(f"{path} has no optimum from the state with index {rows.index(None)}")
    status = tuple(stored.pop("status")[rows].tolist())
    kept = {k: torch.from_numpy(v if k == "t" else v[:, rows] if v.ndim == 3 else v[rows]) for k, v in stored.items()}
    reference = ReferenceTrajectory(**kept, status=status)
    again = fly(problem, z0, reference.u).cost
    if not (agree(again, reference.cost) | reference.cost.isnan()).all():
        raise ValueError(f"{path} is out of date: its controls now cost something else")
    return reference


def find_reference(problem: Problem, z0: Tensor, folder: str | Path = FOLDER) -> ReferenceTrajectory | None:
    """The first stored reference of this problem, at its own number of steps, that holds every state of ``z0``."""
    for path in sorted(Path(folder).glob("*.npz")):
        try:
            reference = load_reference(path, problem, z0)
        except ValueError as error:
            logging.getLogger(__name__).debug("%s", error)
        else:
            if len(reference.u) == problem.steps:
                return reference
    return None


def known_reference(problem: Problem, z0: Tensor) -> ReferenceTrajectory | None:
    """``find_reference`` in the folder of this run, then in that which comes with a checkout of the project."""
    return find_reference(problem, z0) or find_reference(problem, z0, Path(__file__).resolve().parents[2] / FOLDER)


def _npz(path: str | Path) -> Path:
    return Path(f"{str(path).removesuffix('.npz')}.npz")  # a name may hold dots


def _identity(problem: Problem) -> dict[str, Any]:
    """Class and parameters, as JSON gives them back."""
    identity = {"class": class_name(type(problem)), "parameters": problem_parameters(problem)}
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain
