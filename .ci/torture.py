#!/usr/bin/env python3
"""A seeded campaign of hostile input: `make torture` (a quarter of an hour), or `torture.py --seconds 60`.

Every public entry point is given arguments of the wrong kind, shape, size and content, and every reader files that were
cut short, edited or forged. What may come back is an answer that is finite and has its shape, or a ValueError,
TypeError, ImportError or OSError with a sentence. Every writer is killed at each of its steps on the disk, finds the
disk full there, and meets another one; a reader then finds the old version or the new one whole, or is refused in a
sentence. It prints what came how often, and ends with 1 where anything else did.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import math
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torture_disk
import torture_files
import torture_inputs

LIMIT = 300.0
"""Seconds that a case may take."""
MEMORY = 12 * 2**30
"""Bytes that the campaign may map: a forged size is to be refused before anything is allocated for it."""
ALLOWED = (ValueError, TypeError, ImportError, OSError)


class Slow(Exception):
    """A case that does not end."""


def out_of_time(*_: object) -> None:
    raise Slow(f"over {LIMIT} s")


class Wrong(Exception):
    """An answer that is none: not finite, or of another shape."""


class Tally:
    """Outcomes by surface, and one example of each that may not be."""

    def __init__(self) -> None:
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.bad: dict[tuple[str, str], str] = {}

    def run(self, surface: str, case: Callable[[], object], about: object) -> None:
        """One case; whatever it prints is dropped."""
        quiet, trace = io.StringIO(), ""
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        try:
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                said = case()
            outcome = said if isinstance(said, str) else "answered"
        except ALLOWED as error:
            kind = next(kind.__name__ for kind in ALLOWED if isinstance(error, kind))
            words = str(error).strip()
            outcome = kind if len(words.split()) > 1 else f"{kind} without a sentence"
        except SystemExit as stop:
            outcome = {0: "help", 2: "refused in a sentence"}.get(stop.code, f"exit code {stop.code}")
        except Exception as error:
            outcome = f"BAD {type(error).__name__}"
            places = [f for f in traceback.extract_tb(error.__traceback__) if "pontryagin" in f.filename]
            trace = " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in places[::-1][:4]) + f" {error!s:.150}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.counts[surface, outcome] += 1
        if outcome.startswith(("BAD", "exit")) or outcome.endswith("without a sentence"):
            self.bad.setdefault((surface, f"{outcome} {trace.split(' ')[0]}"), f"{trace}\n{about!r:.300}")

    def tables(self) -> str:
        """Markdown, one for what was given and one for the disk: a row for each surface, a column for each outcome."""
        names = list(dict.fromkeys(surface for surface, _ in self.counts))
        parts = ([n for n in names if ":" not in n], sorted(n for n in names if ":" in n))
        return "\n\n".join(self.table(part) for part in parts if part)

    def table(self, surfaces: list[str]) -> str:
        """Of some surfaces."""
        outcomes = sorted({outcome for surface, outcome in self.counts if surface in surfaces})
        lines = ["| surface | cases | " + " | ".join(outcomes) + " |", "|---" * (len(outcomes) + 2) + "|"]
        rows = {s: [self.counts[s, outcome] for outcome in outcomes] for s in surfaces}
        rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
        for name, cells in rows.items():
            lines.append(f"| {name} | {sum(cells)} | " + " | ".join(str(c) if c else "" for c in cells) + " |")
        return "\n".join(lines)


def campaign(cases: int, files: int, disk: float, seed: int, seconds: float = math.inf) -> Tally:
    """``cases`` of hostile input, spread over the surfaces, ``files`` that are damaged, and a share ``disk`` of the
    points at which a writer can fail. After ``seconds`` it ends early, and each of the three has a third of them."""
    tally, begin = Tally(), time.monotonic()
    chance = random.Random(seed)
    torch.manual_seed(seed)
    with torture_files.folder() as work:
        surfaces = torture_inputs.surfaces(work)
        for index in range(cases):
            surface = list(surfaces)[index % len(surfaces)]
            if time.monotonic() > begin + seconds / 3:
                break
            about: list[object] = []
            tally.run(surface, lambda s=surface, a=about: surfaces[s](chance, a), about)
        for name, case in torture_files.damaged(work, chance, files):
            if time.monotonic() > begin + 2 * seconds / 3:
                break
            tally.run("damaged files", case, name)
        struck = torture_disk.cases(work, chance, disk)
        end = max(begin + seconds, time.monotonic() + seconds / 3)  # to write everything once takes a while
        for surface, name, case in struck:
            if time.monotonic() > end:
                break
            tally.run(surface, case, name)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--disk", type=float, default=1.0, help="share of the points at which a writer can fail")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    options = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, out_of_time)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    np.seterr(all="ignore")
    tally = campaign(options.cases, options.files, options.disk, options.seed, options.seconds)
    print(tally.tables())
    for (surface, outcome), example in tally.bad.items():
        print(f"\n### {surface}: {outcome.splitlines()[0]}\n{example}")
    sys.exit(bool(tally.bad))


if __name__ == "__main__":
    main()
