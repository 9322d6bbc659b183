"""Tensors and plain data on disk: one JSON file that names, and vouches for, one safetensors file."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..envs.catalog import problem_record, recorded_problem
from ..envs.problem import Problem

FORMAT = 1


def write_store(folder: str | Path, name: str, tensors: dict[str, Tensor], data: dict[str, Any]) -> Path:
    """Write ``folder/name.json`` and the weights it names; a kill at any moment leaves the old pair whole.

    The weights go to a file named by their SHA-256 first; renaming the JSON is the one step that commits; weights
    that no JSON names any more are removed last.

    Returns:
        The path of the JSON file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    blob = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    digest = hashlib.sha256(blob).hexdigest()
    weights = f"{name}-{digest[:12]}.safetensors"
    record = {"format": FORMAT, "weights": weights, "weights_sha256": digest, **data}
    record["checksum"] = _checksum(record)
    replace_file(folder / weights, blob)
    replace_file(folder / f"{name}.json", (json.dumps(record, indent=2) + "\n").encode())
    for old in folder.glob(f"{name}-*.safetensors"):
        if old.name != weights:
            old.unlink(missing_ok=True)
    return folder / f"{name}.json"


def read_store(folder: str | Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``write_store`` wrote. Nothing is unpickled.

    Raises:
        ValueError: if a file is missing, cut short, edited, or of a newer format: a sentence says which.
    """
    path = Path(folder) / f"{name}.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON ({error}); was it cut short?") from None
    if not isinstance(record, dict) or "format" not in record or "weights" not in record:
        raise ValueError(f"{path} is not a pontryagin checkpoint")
    if record["format"] != FORMAT:
        raise ValueError(f"{path} has format {record['format']}; this version reads format {FORMAT}")
    if _checksum(record) != record.get("checksum"):
        raise ValueError(f"{path} was edited after it was written: its checksum does not match")
    weights = path.parent / Path(record["weights"]).name
    try:
        blob = weights.read_bytes()
    except OSError as error:
        raise ValueError(f"{weights}, named by {path.name}, cannot be read: {error.strerror}") from None
    if hashlib.sha256(blob).hexdigest() != record["weights_sha256"]:
        raise ValueError(f"{weights} was cut short or edited: its SHA-256 does not match {path.name}")
    return safetensors.torch.load(blob), record


def write_policy(
    folder: str | Path, kind: str, problem: Problem, tensors: dict[str, Tensor], settings: dict[str, Any],
    notes: dict[str, Any] | None,
) -> Path:  # fmt: skip
    """Write ``folder/policy.json``, which ``read_policy`` reads, and the weights."""
    import pontryagin

    versions = {"pontryagin": pontryagin.__version__, "torch": torch.__version__}
    record = {"kind": kind, "versions": versions, "problem": problem_record(problem), **settings, "notes": notes or {}}
    write_store(folder, "policy", tensors, record)
    return Path(folder)


def read_policy(
    folder: str | Path, kind: str, problem: Problem | None
) -> tuple[Problem, dict[str, Tensor], dict[str, Any]]:
    """The problem, the tensors and the record of a policy; ``problem``, where the user has made it.

    Raises:
        ValueError: if nothing is there, or it is cut short, edited, of another kind or for another problem.
    """
    tensors, record = read_store(folder, "policy")
    if record.get("kind") != kind:
        article = "an" if kind[0] in "AI" else "a"
        raise ValueError(f"{folder} holds a {record.get('kind')!r}; expected {article} {kind}")
    return recorded_problem(record["problem"], problem, folder), tensors, record


def fill(module: nn.Module, tensors: dict[str, Tensor], folder: str | Path, problem: Problem) -> None:
    """Load the tensors of ``folder`` into a module for ``problem``.

    Raises:
        ValueError: if names or shapes differ.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{folder} does not fit {type(problem).__name__}: {error}") from None


def _checksum(record: dict[str, Any]) -> str:
    body = {k: v for k, v in record.items() if k != "checksum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file: beside, flushed to the disk, renamed over; a kill at any moment leaves the old one whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
