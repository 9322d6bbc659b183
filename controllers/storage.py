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
from torch import Tensor

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
    _replace(folder / weights, blob)
    _replace(folder / f"{name}.json", (json.dumps(record, indent=2) + "\n").encode())
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


def _checksum(record: dict[str, Any]) -> str:
    body = {k: v for k, v in record.items() if k != "checksum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename over."""
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
