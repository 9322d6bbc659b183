"""Files that were cut short, edited or forged; and writers that are stopped at each of their steps on the disk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import pontryagin
from pontryagin.controllers.export import load_runtime
from pontryagin.controllers.optimum import find_reference, save_reference
from pontryagin.controllers.storage import replace_file

PROBLEM = pontryagin.DoubleIntegrator(steps=4)
Case = tuple[str, Callable[[], object]]
Writer, Reader = Callable[[int], object], Callable[[], object]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder to work in."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def policy(seed: int = 0) -> pontryagin.ImplicitPolicy:
    return pontryagin.ImplicitPolicy(PROBLEM, pontryagin.ValueFunction(PROBLEM, 8, seed=seed), max_iterations=3)


def answer(where: Path) -> np.ndarray:
    """What the policy in a folder says."""
    loaded = pontryagin.ImplicitPolicy.load(where, device="cpu")
    found: np.ndarray = loaded.predict(np.array([[0.5, -0.5, 0.1]], np.float32))[0]
    if not np.isfinite(found).all():
        raise AssertionError(f"a policy that answers {found}")
    return found


def damaged(work: Path, chance: random.Random, count: int) -> Iterator[Case]:
    """``count`` copies of a policy, each spoiled in one way: refused, or the same answers as before."""
    policy().save(work / "sound")
    expected = answer(work / "sound")

    def case(kind: str, name: str, where: Path) -> None:
        shutil.copytree(work / "sound", where)
        try:
            SPOILING[kind](chance, where / name if name else where)
            found = answer(where)
            if kind != "forged" and not np.array_equal(found, expected):
                raise AssertionError(f"a damaged policy answers {found}, not {expected}")
        finally:
            shutil.rmtree(where)

    names = [path.name for path in (work / "sound").iterdir()]
    for index in range(count):
        kind = chance.choice(list(SPOILING))
        name = "" if kind == "forged" else chance.choice(names)
        yield f"{kind} {name}", lambda k=kind, n=name, i=index: case(k, n, work / f"spoiled-{i}")


def _cut(chance: random.Random, path: Path) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def _flipped(chance: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 1, 8, 200])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _noise(chance: random.Random, path: Path) -> None:
    path.write_bytes(chance.randbytes(chance.choice([0, 1, 100, 10_000])))


def _gone(chance: random.Random, path: Path) -> None:
    path.unlink()
    if chance.random() < 0.5:
        path.mkdir()


def _forged(chance: random.Random, where: Path) -> None:
    """A value of the record replaced, and the checksum made to fit again."""
    from torture_inputs import values

    path = where / "policy.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    inner: Any = record
    for _ in range(chance.randrange(4)):
        below = [v for v in (inner.values() if isinstance(inner, dict) else inner) if isinstance(v, dict | list) and v]
        inner = chance.choice(below) if below else inner
    key = chance.choice(list(inner)) if isinstance(inner, dict) else chance.randrange(len(inner))
    replaced = values(chance)
    if chance.random() < 0.2:
        replaced = chance.choice([10**9, -(10**9), 2**63, "9" * 50, {"a": [[[]]]}, True])
    try:
        json.dumps(replaced)
        inner[key] = replaced
    except (TypeError, ValueError):
        if isinstance(inner, dict):
            del inner[key]
    body = {k: v for k, v in record.items() if k != "checksum"}
    record["checksum"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(record), encoding="utf-8")


SPOILING: dict[str, Callable[[random.Random, Path], None]] = {
    "cut short": _cut, "flipped": _flipped, "noise": _noise, "gone": _gone, "forged": _forged,
}  # fmt: skip


class Kill(BaseException):
    """The process ends here."""


@functools.cache
def optimum(version: int) -> Any:
    return pontryagin.solve_reference(PROBLEM, torch.full((1, 2), float(version), dtype=torch.float64))


def writers(work: Path) -> dict[str, tuple[Writer, Reader]]:
    """Name -> (writes version 1 or 2, reads what is there)."""

    def read_reference() -> object:
        found = find_reference(PROBLEM, optimum(2).z[0], work)
        if found is None or not torch.isfinite(found.cost).all():
            raise ValueError("no reference there")
        return found

    def train(version: int) -> None:
        config = pontryagin.TrainConfig(
            iterations=version, width=8, batch=2, validation_states=2, out=work, resume=version == 2
        )
        pontryagin.train(PROBLEM, config)

    flown = pontryagin.Quadrotor(steps=4)
    exported = pontryagin.ImplicitPolicy(flown, pontryagin.ValueFunction(flown, 8, seed=0))
    record = work / "record.json"
    return {
        "policy.save": (lambda version: policy(version).save(work), lambda: answer(work)),
        "train": (train, lambda: answer(work)),
        "save_reference": (
            lambda version: save_reference(work / "optima", PROBLEM, optimum(version), "torture"),
            read_reference,
        ),
        "export": (
            lambda _: pontryagin.export_policy(exported, work, "numpy"),
            lambda: load_runtime(work, "numpy")(np.zeros(13, np.float32)),
        ),
        "replace_file": (
            lambda version: replace_file(record, json.dumps({"version": version}).encode()),
            lambda: json.loads(record.read_text(encoding="utf-8")),
        ),
    }


def kills(work: Path) -> Iterator[Case]:
    """A second version is written over the first and stopped before or after each rename, flush and removal."""
    place = work / "kill"

    def case(write: Writer, read: Reader, step: str, after: bool, count: int) -> int:
        """How often ``step`` is called at all."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        write(1)
        with contextlib.suppress(Kill), stopped(step, after, count) as calls:
            write(2)
        with contextlib.suppress(ValueError):  # readable, or refused in a sentence
            read()
        write(2)  # a repeat mends what is half there
        read()
        return len(calls)

    for name, (write, read) in writers(place).items():
        for step in ("replace", "fsync", "unlink"):
            with contextlib.redirect_stdout(io.StringIO()):
                count = case(write, read, step, False, -1)
            for index, after in itertools.product(range(count), (False, True)):
                yield f"{name}: {step} {index}", functools.partial(case, write, read, step, after, index)


@contextlib.contextmanager
def stopped(step: str, after: bool, count: int) -> Iterator[list[object]]:
    """``os.<step>`` ends the process at its call number ``count``; yields what it was called with."""
    real, calls = getattr(os, step), []

    def patched(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        last = len(calls) == count + 1
        if last and not after:
            raise Kill
        found = real(*arguments, **options)
        if last:
            raise Kill
        return found

    with mock.patch.object(os, step, patched):
        yield calls
