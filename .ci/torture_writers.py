"""Everything that the package writes, in two versions each, and what a reader makes of it."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torture_files import PROBLEM, answer, policy

import pontryagin
from pontryagin.controllers.export import load_runtime, read_contract
from pontryagin.controllers.optimum import find_reference, save_reference
from pontryagin.controllers.storage import read_store
from pontryagin.envs.files import read_json, write_json
from pontryagin.training.benchmark.benchmark import keep
from pontryagin.training.benchmark.run import Outcome
from pontryagin.training.commands.solve import record as solved_record
from pontryagin.training.pictures import write_film
from pontryagin.training.theory import diagnose, write_diagnosis
from pontryagin.training.theory.compare_file import read_comparison, write_comparison


class Written(NamedTuple):
    """``write(folder, version)`` with version 1 or 2; ``read(folder)`` answers which, or refuses in a sentence."""

    write: Callable[[Path, int], object]
    read: Callable[[Path], int]


@functools.cache
def sound(version: int) -> pontryagin.ImplicitPolicy:
    return policy(version)


@functools.cache
def optimum(version: int) -> Any:
    return pontryagin.solve_optimum(PROBLEM, torch.full((1, 2), float(version), dtype=torch.float64))


def read_policy(folder: Path) -> int:
    found = answer(folder)
    for version in (1, 2):
        if np.array_equal(found, sound(version).predict(np.array([[0.5, -0.5, 0.1]], np.float32))[0]):
            return version
    raise AssertionError(f"a policy that was never written answers {found}")


def train(folder: Path, version: int) -> None:
    going_on = (folder / "checkpoint.json").exists() and version == 2
    config = pontryagin.TrainConfig(
        iterations=version, width=8, batch=2, validation_states=2, out=folder, resume=going_on, checkpoint_seconds=1e-9
    )
    pontryagin.train(PROBLEM, config)


def read_run(folder: Path) -> int:
    """How far the checkpoint has come; a policy beside it is whole, and so is the log."""
    if (folder / "policy.json").exists():
        answer(folder)
    if (folder / "log.csv").exists():
        lines = (folder / "log.csv").read_text(encoding="utf-8").splitlines()
        assert len({line.count(",") for line in lines}) == 1, lines
    return 2 if read_store(folder, "checkpoint")[1]["iteration"] == 2 else 1


def read_optimum(folder: Path) -> int:
    for version in (1, 2):
        if find_reference(PROBLEM, optimum(version).z[0], folder) is not None:
            return version
    raise ValueError("no optimum there")


@functools.cache
def exported() -> pontryagin.ImplicitPolicy:
    flown = pontryagin.Quadrotor(steps=4)
    return pontryagin.ImplicitPolicy(flown, pontryagin.ValueFunction(flown, 8, seed=0))


def read_export(folder: Path) -> int:
    assert np.isfinite(load_runtime(folder, "numpy")(np.zeros(13, np.float32))[0]).all()
    return int(read_contract(folder)["policy"]["source"])


@functools.cache
def outcome(version: int) -> Outcome:
    with tempfile.TemporaryDirectory() as scratch:
        sound(version).save(scratch)
        files = {path.name: path.read_bytes() for path in Path(scratch).iterdir() if path.name[0] != "."}
    return Outcome({"version": version}, files)


def read_benchmark(folder: Path) -> int:
    read_policy(folder / "jfb-0")
    return int(read_json(folder / "jfb-0.json")["version"])


def solved(folder: Path, version: int) -> None:
    found = optimum(version)
    sound(version).save(folder)
    made = pontryagin.Solved(sound(version), found, found, found.cost, ({"stage": str(version), "gap": 0.0},))
    write_json(folder / "solved.json", solved_record(made, "double_integrator"))


def read_solved(folder: Path) -> int:
    answer(folder)
    return int(read_json(folder / "solved.json")["history"][0]["stage"])


@functools.cache
def diagnosis(version: int) -> Any:
    return diagnose(sound(version), torch.ones(1, 2), times=2)


def read_diagnosis(folder: Path) -> int:
    figure = (folder / "diagnosis.png").read_bytes()
    assert figure[:8] == b"\x89PNG\r\n\x1a\n" and figure[-8:-4] == b"IEND"
    return int(json.loads((folder / "diagnosis.json").read_text(encoding="utf-8"))["command"])


def film(folder: Path, version: int) -> None:
    write_film([np.zeros((8, 8 * version, 3), np.uint8)] * 2, folder / "film.gif")


def read_film(folder: Path) -> int:
    content = (folder / "film.gif").read_bytes()
    assert content[:4] == b"GIF8" and content[-1:] == b";"
    return int.from_bytes(content[6:8], "little") // 8


SETTINGS = {"problem": "torture", "settings": {}}
WRITERS = {
    "policy": Written(lambda folder, version: sound(version).save(folder), read_policy),
    "checkpoint": Written(train, read_run),
    "reference store": Written(
        lambda folder, version: save_reference(folder / "optima", PROBLEM, optimum(version), "torture"), read_optimum
    ),
    "export": Written(
        lambda folder, version: pontryagin.export_policy(exported(), folder, "numpy", str(version)), read_export
    ),
    "benchmark record": Written(
        lambda folder, version: keep(outcome(version), folder / "jfb-0.json", folder / "jfb-0"), read_benchmark
    ),
    "solved.json": Written(solved, read_solved),
    "compare.json": Written(
        lambda folder, version: write_comparison(folder / "compare.json", {"about": SETTINGS, "version": version}),
        lambda folder: int(read_comparison(folder / "compare.json", SETTINGS)["version"]),
    ),
    "diagnose report": Written(lambda folder, version: write_diagnosis(diagnosis(version), str(version), folder),
                               read_diagnosis),
    "film": Written(film, read_film),
}  # fmt: skip
