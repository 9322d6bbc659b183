"""Writers that die at each of their steps on the disk, that find it full, and that meet one another there."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from torture_steps import REFUSED, Steps, die, ended, forked, full
from torture_writers import WRITERS, Written

Case = tuple[str, str, Callable[[], str]]
"""Surface, what it is about, and the case, which says what came of it."""
SIZES = (0, 100, 1_000, 4_000)
"""Bytes that a file may have where the kernel sets a limit."""
RACES = 12
KINDS = ("killed", "full disk", "limit of the kernel", "two at once")


class Wrong(Exception):
    """What may not be."""


def found_there(written: Written, place: Path) -> str:
    """Which version a reader finds, or that it is refused in a sentence."""
    try:
        return ("", "old", "new")[written.read(place)]
    except REFUSED as error:
        if len(str(error).split()) < 2:
            raise Wrong(f"refused without a sentence: {error!r}") from error
        return "refused"


def mended(written: Written, place: Path, found: str) -> str:
    """Write once more, which must succeed and leave nothing behind."""
    try:
        written.write(place, 2)
    except REFUSED as error:
        raise Wrong(f"{found} was there, and writing again is refused: {error}") from error
    if (then := found_there(written, place)) != "new":
        raise Wrong(f"{found} was there, and after writing again {then}")
    if left := [path.name for path in place.rglob("*.partial")]:
        raise Wrong(f"{left} are left")
    return "refused, then mended" if found == "refused" else f"the {found} one"


def prepared(written: Written, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    written.write(place, 1)


def kill(written: Written, place: Path, point: int) -> str:
    """A process writes version 2 over version 1 and dies at one of its points."""
    prepared(written, place)

    def work() -> None:
        with Steps(place, point, die):
            written.write(place, 2)

    if (code := ended(forked(work))) != -signal.SIGKILL:
        raise Wrong(f"the process was to be killed and ended with {code}")
    return mended(written, place, found_there(written, place))


def no_room(written: Written, place: Path, point: int) -> str:
    """The disk is full at one of the points: that is said, and what was there is not lost."""
    prepared(written, place)
    said: list[str] = []
    with warnings.catch_warnings(record=True) as warned, Steps(place, point, full) as steps:
        warnings.simplefilter("always")
        with mock.patch.object(tempfile, "tempdir", str(place.parent)):
            try:
                written.write(place, 2)
            except REFUSED as error:
                said.append(str(error))
    assert steps.points > point
    said += [str(w.message) for w in warned if "written" in str(w.message)]
    found = found_there(written, place)
    if left := [path.name for path in place.rglob("*.partial")]:
        raise Wrong(f"{left} are left")
    if not said and found != "new":
        raise Wrong(f"nobody said that the disk was full, and a reader finds {found}")
    return mended(written, place, found)


def limited(written: Written, place: Path, size: int) -> str:
    """The kernel lets no file grow beyond ``size``."""
    prepared(written, place)

    def work() -> None:
        tempfile.tempdir = str(place.parent)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        written.write(place, 2)

    code = ended(forked(work))
    if code not in (0, 3, 4):
        raise Wrong(f"the process ended with {code}")
    found = found_there(written, place)
    if code == 0 and found != "new":
        raise Wrong(f"nobody said that the file could not grow, and a reader finds {found}")
    return mended(written, place, found)


def race(written: Written, place: Path, seed: int) -> str:
    """Two processes write at once, and a third one reads all the while."""
    prepared(written, place)

    def work(version: int) -> None:
        chance = random.Random(seed + version)
        time.sleep(chance.choice([0.0, 0.0, 0.001, 0.01]))
        written.write(place, version)

    children = {forked(functools.partial(work, version)) for version in (1, 2)}
    codes, refused = [], False
    try:
        while children:
            refused |= found_there(written, place) == "refused"
            done, status = os.waitpid(-1, os.WNOHANG)
            if done in children:
                children.remove(done)
                codes.append(os.waitstatus_to_exitcode(status))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if not set(codes) <= {0, 3} or codes == [3, 3]:
        raise Wrong(f"the two ended with {codes}")
    if (found := found_there(written, place)) == "refused":
        raise Wrong("a reader is refused after both have ended")
    mended(written, place, found)
    one = "one was refused" if 3 in codes else "both wrote"
    return f"{one}, a reader too early" if refused else one


def cases(work: Path, chance: random.Random, share: float = 1.0) -> list[Case]:
    """Every point of every writer; or a share of them, in any order, with each of the four kinds in turn."""
    place = work / "place"
    drawn: list[Case] = []
    for name, written in WRITERS.items():
        with contextlib.redirect_stdout(io.StringIO()):
            written.write(work / "warm", 2)  # what is made once and kept is made here
            prepared(written, place)
            with Steps(place) as steps:
                written.write(place, 2)
        shutil.rmtree(work / "warm")
        turns = (kill, range(steps.points)), (no_room, range(steps.points)), (limited, SIZES), (race, range(RACES))
        for surface, (case, over) in zip(KINDS, turns, strict=True):
            for at in over:
                drawn.append((f"{surface}: {name}", f"{name}, {at}", functools.partial(case, written, place, at)))
    if share == 1:
        return drawn
    drawn = [case for case in drawn if chance.random() < share]
    chance.shuffle(drawn)
    kinds = ([case for case in drawn if case[0].startswith(kind)] for kind in KINDS)
    return [case for turn in itertools.zip_longest(*kinds) for case in turn if case is not None]
