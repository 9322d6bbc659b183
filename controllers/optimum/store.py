"""Reference optima on disk: an .npz of numbers, and beside it a JSON file that says how they were made.

Only what IPOPT found is kept: the controls, their costs and how each solve ended. When a file is read the states are
flown again, and the costates swept back along them: a second for hundreds of states.
"""

from __future__ import annotations

import contextlib
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

from ...envs.files import alone, from_record, read_file, read_json, replace_file, sha256, write_json
from ...envs.integrate import Trajectory
from ...envs.problem import Problem, check_state
from ...envs.record import class_name, problem_parameters
from .certificates import open_loop_costate
from .ipopt import agree, fly
from .trajectory import ReferenceTrajectory

FOLDER = Path("results/reference")
"""Where ``find_reference`` looks, inside the current folder."""
FORMAT = 2
PATIENCE = 60.0
"""Seconds to wait for another process that stores a reference in the same folder."""
SAME = 1e-6
"""By how much, absolute and relative, two states may differ and be the same."""
_AS_THEY_ARE = ("running_cost", "terminal_cost", "converged", "seconds", "status")


def save_reference(path: str | Path, problem: Problem, reference: ReferenceTrajectory, command: str = "") -> Path:
    """Write ``path`` (``.npz``) and beside it a JSON file saying what it is and how it was made; returns ``path``.

    The controls are rounded to float32, unless their flight is so sensitive that the costs would not survive it.

    Args:
        command: what to run to make it again.
    """
    import pontryagin

    path = _npz(path)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {k: np.asarray(getattr(reference, k)) for k in _AS_THEY_ARE}
    z0, u = reference.z[0], reference.u.float()
    u = u if _costs_hold(reference.cost, fly(problem, z0, _admissible(problem, u))) else reference.u
    np.savez_compressed(buffer, z0=z0.numpy(), u=u.numpy(), **arrays)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    record = {
        **_identity(problem),
        "format": FORMAT,
        "command": command,
        "versions": {"pontryagin": pontryagin.__version__, "python": platform.python_version(), **versions},
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"platform": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "samples": len(reference.status),
        "converged": int(reference.converged.sum()),
        "sha256": sha256(buffer.getvalue()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.parent, "reference", PATIENCE):
        _commit(path, buffer.getvalue(), record)
    return path


def _commit(path: Path, content: bytes, record: dict[str, Any]) -> None:
    """Write both files: between the two renames the JSON speaks of the old numbers and of the new ones."""
    about = path.with_suffix(".json")
    if path.exists() and about.exists():
        with contextlib.suppress(ValueError):  # what cannot be read is no loss
            before = read_json(about)
            earlier = before.pop("earlier", None)
            kept = before if before.get("sha256") == sha256(read_file(path)) else earlier
            write_json(about, {**record, "earlier": kept})
    replace_file(path, content)
    write_json(about, record)


def load_reference(path: str | Path, problem: Problem, z0: Tensor | None = None) -> ReferenceTrajectory:
    """The stored optima from ``z0``, ``(B, n)``, or all, flown again to see that they are still of this problem.

    The costs are the stored ones. The costates are the adjoint of the open loop along the stored controls: where IPOPT
    converged those that it found, but for what the flight makes of their rounding, a few 1e-4 of them for the quadrotor
    and up to 2e-2 for five bicycles. So ``certify`` the answer of ``solve_reference``, not this.

    Raises:
        ValueError: if a file is missing, cut short or edited, is of another problem, lacks a state of z0, or if
            ``rollout`` no longer gives the stored costs.
    """
    if z0 is not None:
        check_state(problem, z0, "z0")
    path = _npz(path)
    record, content = _both(path)
    if record.get("format") != FORMAT:
        raise ValueError(
            f"{path.with_suffix('.json')} does not describe a reference of format {FORMAT}: make it again with "
            "`pontryagin reference`"
        )
    identity = _identity(problem)
    if {k: record.get(k) for k in identity} != identity:
        raise ValueError(f"{path} is of {record.get('class')} {record.get('parameters')}; expected {identity}")
    if sha256(content) != record.get("sha256"):
        raise ValueError(f"{path} was cut short or edited: its SHA-256 does not match its JSON")
    return from_record(path, lambda: _restored(path, problem, z0, content))


def _both(path: Path) -> tuple[dict[str, Any], bytes]:
    """The numbers, and the record that speaks of them: the earlier one where a writer was killed in between."""
    about = path.with_suffix(".json")
    try:
        record, content = read_json(about), read_file(path)
        if sha256(content) != record.get("sha256"):  # replaced between the two reads, or half replaced
            record, content = read_json(about), read_file(path)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{path} and its JSON cannot be read: {error}") from None
    earlier = record.get("earlier")
    if isinstance(earlier, dict) and sha256(content) == earlier.get("sha256"):
        return earlier, content
    return record, content


def _restored(path: Path, problem: Problem, z0: Tensor | None, content: bytes) -> ReferenceTrajectory:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        stored = dict(arrays)
    known = torch.from_numpy(stored.pop("z0"))
    rows = list(range(len(known))) if z0 is None else _rows(path, known, z0.detach().double().cpu())
    z0 = known[rows]
    flown = fly(problem, z0, _admissible(problem, torch.from_numpy(stored.pop("u")[:, rows])))
    status = tuple(stored.pop("status")[rows].tolist())
    kept = {k: torch.from_numpy(v[rows]) for k, v in stored.items()}
    costate = open_loop_costate(problem, flown)
    reference = ReferenceTrajectory(**{**vars(flown), **kept}, status=status, costate=costate)
    if not _costs_hold(reference.cost, flown):
        raise ValueError(f"{path} is out of date: its controls now cost something else")
    return reference


def _rows(path: Path, known: Tensor, z0: Tensor) -> list[int]:
    """Where the states z0 stand among the ``known``: draws differ by a rounding of float32 between CPUs."""
    within = SAME * (1.0 + known.abs())
    away = ((known.unsqueeze(0) - z0.unsqueeze(1)).abs() / within).amax(-1)
    least, rows = away.min(-1)
    if (least > 1.0).any():
        raise ValueError(f"{path} has no optimum from the state with index {int((least > 1.0).nonzero()[0])}")
    return rows.tolist()


def _admissible(problem: Problem, u: Tensor) -> Tensor:
    """float64, within the bounds, which a control on one of them may have left when it was rounded."""
    return u.double().clamp(*problem.control_bounds(u.double()))


def _costs_hold(cost: Tensor, path: Trajectory) -> bool:
    return bool((agree(path.cost, cost) | cost.isnan()).all())


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
    """Stored optima of these initial states ``(B, n)``; ``None`` where ``pontryagin reference`` has left none.

    ``results/reference`` of the current folder goes first, then that of a checkout of the project.
    """
    return find_reference(problem, z0) or find_reference(problem, z0, Path(__file__).resolve().parents[2] / FOLDER)


def _npz(path: str | Path) -> Path:
    return Path(f"{str(path).removesuffix('.npz')}.npz")  # a name may hold dots


def _identity(problem: Problem) -> dict[str, Any]:
    """Class and parameters, as JSON gives them back."""
    identity = {"class": class_name(type(problem)), "parameters": problem_parameters(problem)}
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain
