"""Files that were cut short, edited or forged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pontryagin

PROBLEM = pontryagin.DoubleIntegrator(steps=4)
Case = tuple[str, Callable[[], object]]


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
