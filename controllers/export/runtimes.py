"""Exported policies, loaded: one observation in, one control out, whatever runs it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...envs.extras import optional
from .export import checksum

Runtime = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""observation ``(n + 1,)`` float32 -> control ``(m,)``."""


def read_contract(folder: str | Path) -> dict[str, Any]:
    """``contract.json`` of an export, every file it names checked against its SHA-256.

    Raises:
        ValueError: if it is missing, edited or cut short, or a file is not the one it vouches for.
    """
    path = Path(folder) / "contract.json"
    try:
        contract: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; expected a folder that `pontryagin export` wrote") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON ({error}); was it cut short?") from None
    if checksum(contract) != contract.get("checksum"):
        raise ValueError(f"{path} was edited after it was written: its checksum does not match")
    files = list(contract["files"].values())
    for file in [*files, *(f["runtime"] for f in files if "runtime" in f)]:
        stored = path.parent / file["path"]
        if not stored.exists() or hashlib.sha256(stored.read_bytes()).hexdigest() != file["sha256"]:
            raise ValueError(f"{stored} is missing, cut short or edited: it is not the file that {path.name} names")
    return contract


def load_runtime(folder: str | Path, target: str) -> Runtime:
    """The export to ``target`` in ``folder``, on one thread.

    Raises:
        ValueError: if it is not there, or damaged.
        ImportError: where an extra is missing, with the line that installs it.
    """
    folder = Path(folder)
    files = read_contract(folder)["files"]
    if target not in files:
        raise ValueError(f"{folder} holds exports to {sorted(files)}; got {target!r}")
    return {"onnx": _onnx, "aoti": _aoti, "numpy": _numpy}[target](folder / files[target]["path"])


def _onnx(path: Path) -> Runtime:
    ort = optional("onnxruntime", "export")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(observation: NDArray[np.float32]) -> NDArray[np.floating]:
        control: NDArray[np.floating] = session.run(["control"], {"observation": observation[None]})[0][0]
        return control

    return run


def _aoti(path: Path) -> Runtime:
    package = torch._inductor.aoti_load_package(str(path))

    def run(observation: NDArray[np.float32]) -> NDArray[np.floating]:
        control: NDArray[np.floating] = package(torch.from_numpy(observation[None]))[1].numpy()[0]
        return control

    return run


def _numpy(path: Path) -> Runtime:
    """By the copy of the runtime that lies beside the weights, not by ours: that is what a robot would run."""
    spec = importlib.util.spec_from_file_location("runtime", path.parent / "runtime.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    policy = module.Policy(path.parent)

    def run(observation: NDArray[np.float32]) -> NDArray[np.floating]:
        control: NDArray[np.floating] = policy(float(observation[-1]), observation[:-1])
        return control

    return run
