#!/usr/bin/env python3
"""A seeded campaign of hostile input: `make torture` (about ten minutes), or `torture.py --cases 2000 --files 200`.

Every public entry point is given arguments of the wrong kind, shape, size and content, and every reader files that were
cut short, edited or forged; every writer is stopped at each of its steps on the disk. What may come back is an answer
that is finite and has its shape, or a ValueError, TypeError, ImportError or OSError with a sentence. It prints what
came how often, and ends with 1 where anything else did.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
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

import torture_files
import torture_inputs

LIMIT = 60.0
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
                case()
            outcome = "answered"
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

    def table(self) -> str:
        """Markdown: a row for each surface, a column for each outcome."""
        outcomes = sorted({outcome for _, outcome in self.counts})
        lines = ["| surface | cases | " + " | ".join(outcomes) + " |", "|---" * (len(outcomes) + 2) + "|"]
        for surface in dict.fromkeys(surface for surface, _ in self.counts):
            cells = [self.counts[surface, outcome] for outcome in outcomes]
            lines.append(f"| {surface} | {sum(cells)} | " + " | ".join(str(c) if c else "" for c in cells) + " |")
        return "\n".join([*lines, f"| all | {sum(self.counts.values())} |" + " |" * len(outcomes)])


def campaign(cases: int, files: int, seed: int, seconds: float = float("inf")) -> Tally:
    """``cases`` of hostile input, spread over the surfaces, ``files`` that are damaged, and a kill at every step of
    every writer; it ends early after ``seconds``."""
    tally, end = Tally(), time.monotonic() + seconds
    chance = random.Random(seed)
    torch.manual_seed(seed)
    with torture_files.folder() as work:
        surfaces = torture_inputs.surfaces(work)
        for index in range(cases):
            surface = list(surfaces)[index % len(surfaces)]
            if time.monotonic() > end:
                break
            about: list[object] = []
            tally.run(surface, lambda s=surface, a=about: surfaces[s](chance, a), about)
        for name, case in torture_files.damaged(work, chance, files):
            if time.monotonic() > end:
                break
            tally.run("damaged files", case, name)
        for name, case in torture_files.kills(work):
            if time.monotonic() > end:
                break
            tally.run("kills of writers", case, name)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, out_of_time)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    np.seterr(all="ignore")
    tally = campaign(options.cases, options.files, options.seed, options.seconds)
    print(tally.table())
    for (surface, outcome), example in tally.bad.items():
        print(f"\n### {surface}: {outcome.splitlines()[0]}\n{example}")
    sys.exit(bool(tally.bad))


if __name__ == "__main__":
    main()
