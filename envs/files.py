"""Files that neither a kill, nor a second run, nor a forged byte turns into something else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import filelock
import numpy as np
from torch import Tensor

T = TypeVar("T")
PARTIAL = ".partial"
LARGEST_RECORD = 64 * 2**20
"""Bytes of a JSON file; ours have a few thousand."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file: beside, flushed to the disk, renamed over; a kill at any moment leaves the old one whole.

    What a killed process left beside is removed by the next one that writes into the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    temporary = path.with_name(f".{path.name}.{_here()}-{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, record: object) -> None:
    """``replace_file`` with plain data, NumPy's numbers and paths among them, as indented JSON."""
    replace_file(path, (json.dumps(plain(record, path.name), indent=2) + "\n").encode())


def _sweep(folder: Path) -> None:
    """Remove what processes of this machine left half written that are no longer alive."""
    for left in folder.glob(f".*.{_here()}-*{PARTIAL}"):
        process = left.name.removesuffix(PARTIAL).split("-")[-2]
        if process.isdigit() and not _alive(int(process)):
            left.unlink(missing_ok=True)


def _here() -> str:
    """The name of this machine, as a part of a file's name without its separators."""
    return "".join(c for c in socket.gethostname() if c.isalnum()) or "here"


def _alive(process: int) -> bool:
    if os.name == "nt":
        return True  # a signal would end it there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def read_file(path: Path, most: int | None = None) -> bytes:
    """The content of a regular file; a pipe or a device, which might never end, is not read.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is something else, larger than ``most`` bytes, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is not a regular file; expected one")
        if most is not None and found.st_size > most:
            raise ValueError(f"{path} has {found.st_size} bytes; expected at most {most}")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, cut short, or no JSON object.
    """
    content = read_file(path, LARGEST_RECORD)
    try:
        record = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON ({error}); was it cut short?") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds a {type(record).__name__}; expected a JSON object")
    return record


def checksum(record: dict[str, Any]) -> str:
    """SHA-256 of a record without its own ``checksum``, keys sorted."""
    body = {k: v for k, v in record.items() if k != "checksum"}
    return sha256(json.dumps(body, sort_keys=True).encode())


def sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def plain(value: object, name: str) -> Any:
    """``value`` as JSON has it: NumPy's and torch's numbers and arrays, tuples and paths become plain data.

    Raises:
        ValueError: naming what JSON cannot hold.
    """
    if isinstance(value, np.ndarray | Tensor):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): plain(v, f"{name}.{k}") for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v, f"{name}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
        value = float(value) if isinstance(value, np.floating) else value  # of more digits than Python's
    if isinstance(value, os.PathLike):
        value = str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{name} is a {type(value).__name__}; expected plain data: numbers, text, None, lists and dictionaries of them"
    )


def alike(one: object, other: object) -> bool:
    """Whether two values are the same; of what cannot be compared, whether it is of the same type."""
    if isinstance(one, np.ndarray | Tensor) or isinstance(other, np.ndarray | Tensor):
        return type(one) is type(other) and np.array_equal(np.asarray(one), np.asarray(other), equal_nan=False)
    if type(one).__eq__ is object.__eq__:
        return type(one) is type(other)
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # of something that holds tensors or arrays
        return type(one) is type(other)


def from_record(source: str | Path, make: Callable[[], T]) -> T:
    """``make()``, which builds something from what ``source`` says; whatever it says, a failure is a sentence.

    Raises:
        ValueError: if what it says makes no sense.
    """
    try:
        return make()
    except (TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{source} does not describe what it should ({what}); was it edited?") from None


def check_folder(folder: Path, name: str) -> None:
    """Make ``folder`` and write to it to see that it can be.

    Raises:
        ValueError: saying that ``name`` is not such a folder.
    """
    probe = folder / f".probe.{_here()}-{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"?")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"{name} is {str(folder)!r}; expected a folder that can be written to ({error.strerror})"
        ) from None


def save_somewhere(save: Callable[[Path], object], folder: Path, what: str) -> Path:
    """``save(folder)``; where that fails into a temporary one, which a warning names, for the work is done.

    Returns:
        The folder that it is in.
    """
    try:
        save(folder)
        return folder
    except OSError as error:
        refuge = Path(tempfile.mkdtemp(prefix="pontryagin-"))
        save(refuge)
        warnings.warn(f"{what} cannot be written to {folder} ({error.strerror}); it is in {refuge}", stacklevel=2)
        return refuge


A_MOMENT = 1.0
"""s: a command that looks into a folder and is refused there lets go of it sooner."""


@contextlib.contextmanager
def alone(folder: Path, name: str, patience: float) -> Iterator[None]:
    """Hold ``folder/.name.lock``, which the system releases however this process ends.

    Args:
        folder: what is written to.
        name: of the lock.
        patience: seconds to wait for another process.

    Raises:
        ValueError: naming the process that holds it after that time.
    """
    owner = folder / f".{name}.owner"
    try:
        lock = filelock.FileLock(folder / f".{name}.lock", timeout=patience, thread_local=False)
        lock.acquire()
    except filelock.Timeout:
        with contextlib.suppress(OSError):
            raise ValueError(
                f"{folder} is in use by {owner.read_text(encoding='utf-8')}; expected to be alone there: wait for it "
                "or take another folder"
            ) from None
        raise ValueError(f"{folder} is in use by another process; wait for it or take another folder") from None
    try:
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        try:
            with contextlib.suppress(OSError):  # a name that stays behind names nobody: the lock is what counts
                owner.unlink(missing_ok=True)
        finally:
            lock.release()
