"""Exported policies, loaded: one observation in, one control out, whatever runs it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...envs.extras import optional
from ...envs.files import checksum, from_record, read_file, read_json, sha256
from ..adapter import SLACK
from ..policy import MOST_ITERATIONS
from .export import FILES

Runtime = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""observation ``(n + 1,)`` float32 -> control ``(m,)``."""


def read_contract(folder: str | Path) -> dict[str, Any]:
    """``contract.json`` of an export, every file it names checked against its SHA-256.

    Raises:
        ValueError: if it is missing, edited or cut short, or a file is not the one it vouches for.
    """
    path = Path(folder) / "contract.json"
    try:
        contract = read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; expected a folder that `pontryagin export` wrote") from None
    if checksum(contract) != contract.get("checksum"):
        raise ValueError(f"{path} was edited after it was written: its checksum does not match")
    from_record(path, lambda: _check_files(path, contract["files"]))
    return contract


def _check_files(contract: Path, files: dict[str, Any]) -> None:
    """Each runtime has the files that it is run from, under their own names, in the folder, and they are whole."""
    for target, file in files.items():
        needed = {FILES[target]: file}
        if target == "numpy":
            needed["runtime.py"] = file["runtime"]
        for name, entry in needed.items():
            if entry["path"] != name:
                raise ValueError(f"{contract} names {entry['path']!r} for {target}; expected {name!r}, in its folder")
            stored = contract.parent / name
            try:
                whole = sha256(read_file(stored)) == entry["sha256"]
            except FileNotFoundError:
                whole = False
            if not whole:
                raise ValueError(
                    f"{stored} is missing, cut short or edited: it is not the file that {contract.name} names"
                )


def load_runtime(folder: str | Path, target: str) -> Runtime:
    """The export to ``target`` in ``folder``, on one thread; it refuses observations outside the contract's bounds.

    ``aoti`` loads native code and ``numpy`` Python code from the folder: the checksums say that it is what was
    exported, not that whoever exported it meant well.

    Raises:
        ValueError: if it is not there, or damaged.
        ImportError: where an extra is missing, with the line that installs it.
    """
    folder = Path(folder)
    contract = read_contract(folder)
    files = contract["files"]
    if target not in files:
        raise ValueError(f"{folder} holds exports to {sorted(files)}; got {target!r}")
    load = {"onnx": _onnx, "aoti": _aoti, "numpy": _numpy}[target]
    from_record(folder / "contract.json", lambda: _check_numbers(contract))
    return from_record(folder / "contract.json", lambda: _guarded(load(folder / files[target]["path"]), contract))


def _check_numbers(contract: dict[str, Any]) -> None:
    """The bounds are numbers, one for each name, and the search ends."""
    about, most = contract["observation"], contract["argmax"]["max_iterations"]
    try:
        low, high = (np.array(about[side], np.float32) for side in ("low", "high"))
    except ValueError as error:
        raise TypeError(str(error)) from None
    if not (low.shape == high.shape == (len(about["names"]),) and (low <= high).all()):
        raise TypeError(f"expected {len(about['names'])} bounds, the low ones below the high ones")
    if type(most) is not int or not 0 <= most <= MOST_ITERATIONS:
        raise TypeError(f"max_iterations is {most!r}; expected at most {MOST_ITERATIONS}")


def _guarded(run: Runtime, contract: dict[str, Any]) -> Runtime:
    """``run`` for what the contract says can be observed; a compiled law answers anything, and nobody sees that."""
    about = contract["observation"]
    low, high = (np.array(about[side], np.float32) for side in ("low", "high"))
    slack = np.float32(SLACK) * high  # bounds are symmetric, and the last entry is the time
    low, high = low - slack, high + slack

    def guarded(observation: NDArray[np.float32]) -> NDArray[np.floating]:
        row = np.ascontiguousarray(observation, dtype=np.float32)
        if row.shape != low.shape:
            raise ValueError(f"observation has shape {row.shape}; expected {low.shape}, the state and the time")
        within = (row >= low) & (row <= high)  # not so for nan
        if not within.all():
            k = int(within.argmin())
            raise ValueError(
                f"observation has {about['names'][k]} = {row[k]:g}; expected a number in [{about['low'][k]:g}, "
                f"{about['high'][k]:g}]"
            )
        return run(row)

    return guarded


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
