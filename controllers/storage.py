"""Tensors and plain data on disk: one JSON file that names, and vouches for, one safetensors file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..envs.catalog import recorded_problem
from ..envs.files import alone, checksum, from_record, plain, read_file, read_json, replace_file, sha256, write_json
from ..envs.problem import Problem
from ..envs.record import problem_record

FORMAT = 1
PATIENCE = 60.0
"""Seconds to wait for another process that writes into the same folder: it needs far less than one."""


def write_store(folder: str | Path, name: str, tensors: dict[str, Tensor], data: dict[str, Any]) -> Path:
    """Write ``folder/name.json`` and the weights it names; a kill at any moment leaves the old pair whole.

    The weights go to a file named by their SHA-256 first; renaming the JSON is the one step that commits; weights
    that no JSON names any more are removed last. Two processes take turns.

    Returns:
        The path of the JSON file.

    Raises:
        ValueError: if ``data`` holds what JSON cannot, or another process does not let go of the folder.
    """
    folder = Path(folder)
    blob = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    digest = sha256(blob)
    weights = f"{name}-{digest[:12]}.safetensors"
    record = {"format": FORMAT, "weights": weights, "weights_sha256": digest, **plain(data, name)}
    record["checksum"] = checksum(record)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, name, PATIENCE):
        replace_file(folder / weights, blob)
        write_json(folder / f"{name}.json", record)
        for old in folder.glob(f"{name}-*.safetensors"):
            if old.name != weights:
                old.unlink(missing_ok=True)
    return folder / f"{name}.json"


def read_store(folder: str | Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``write_store`` wrote, while it may be writing again. Nothing is unpickled.

    Raises:
        ValueError: if a file is missing, cut short, edited, or of a newer format: a sentence says which.
    """
    path = Path(folder) / f"{name}.json"
    while True:
        record = _read_record(path)
        weights = path.parent / Path(record["weights"]).name
        try:
            blob = read_file(weights)
            break
        except FileNotFoundError:
            if _read_record(path) == record:  # else it was replaced between the two
                raise ValueError(f"{weights}, named by {path.name}, cannot be read: it does not exist") from None
    if sha256(blob) != record["weights_sha256"]:
        raise ValueError(f"{weights} was cut short or edited: its SHA-256 does not match {path.name}")
    try:
        return safetensors.torch.load(blob), record
    except (safetensors.SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{weights} is not a safetensors file: {error}") from None


def _read_record(path: Path) -> dict[str, Any]:
    """The JSON of a store, checked against its checksum."""
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    if "format" not in record or not all(isinstance(record.get(k), str) for k in ("weights", "weights_sha256")):
        raise ValueError(f"{path} is not a pontryagin checkpoint")
    if record["format"] != FORMAT:
        raise ValueError(f"{path} has format {record['format']}; this version reads format {FORMAT}")
    if checksum(record) != record.get("checksum"):
        raise ValueError(f"{path} was edited after it was written: its checksum does not match")
    return record


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
        ValueError: if nothing is there, or it is cut short, edited, of another kind or for another problem, or a weight
            is not finite.
    """
    tensors, record = read_store(folder, "policy")
    if record.get("kind") != kind:
        article = "an" if kind[0] in "AI" else "a"
        raise ValueError(f"{folder} holds a {record.get('kind')!r}; expected {article} {kind}")
    found = from_record(folder, lambda: recorded_problem(record["problem"], problem, folder))
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise ValueError(f"{folder} has weights that are not finite in {bad[0]!r}; expected a policy that can answer")
    return found, tensors, record


def fill(module: nn.Module, tensors: dict[str, Tensor], folder: str | Path, problem: Problem) -> None:
    """Load the tensors of ``folder`` into a module for ``problem``.

    Raises:
        ValueError: if names or shapes differ.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{folder} does not fit {type(problem).__name__}: {error}") from None


def check_sizes(config: Any, problem: Problem, tensors: dict[str, Tensor], folder: str | Path) -> None:
    """Refuse a network, described by ``config``, that is larger than the weights stored for it, before it is made.

    A layer of k units or rows sees all n states, by agent or together, and two layers of k units meet in k² weights.

    Raises:
        ValueError: naming the size.
    """
    held = sum(tensor.numel() for tensor in tensors.values())
    depth = config.get("depth", 1)
    most = {"depth": len(tensors), "width": math.isqrt(held // max(1, depth)) if depth else held}
    most |= {"agent_width": math.isqrt(held), "fine_width": math.isqrt(held)}
    for name, size in config.items():
        if isinstance(size, dict):
            check_sizes(size, problem, tensors, folder)
        elif isinstance(size, int) and not isinstance(size, bool):
            limit = min(most.get(name, held), held if name == "depth" else held // problem.state_dim)
            if not 0 <= size <= limit:
                raise ValueError(f"{folder} declares {name} {size}; expected at most {limit}, by the weights it holds")
    if "expanded" in config and "controls" in tensors:  # the tables are made again
        expected = (problem.steps, config["expanded"], problem.control_dim)
        if tuple(tensors["controls"].shape) != expected:
            raise ValueError(f"{folder} has controls {tuple(tensors['controls'].shape)}; expected {expected}")
    elif {"nominal", "anchors", "expanded"} & set(config) and (problem.steps + 1) * problem.state_dim > held:
        raise ValueError(f"{folder} declares tables over {problem.steps} steps; its weights are too few for them")
