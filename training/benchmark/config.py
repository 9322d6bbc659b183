"""What ``pontryagin benchmark`` compares: one dataclass, read by the command line."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from ..duration import seconds, spoken
from ..rules import Checked, Count, CountOrZero, FolderPath, Name, OutFolder
from ..words import Duration
from .methods import METHODS


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Checked):
    """Methods, their common budget, and what they are asked afterwards."""

    methods: Name = "solve,jfb,ppo,sac,direct,lqr-tracking,mpc"
    """Of solve, jfb, jfb-continuous, jfb-random, ppo, sac, tqc, direct (analytic policy gradient), lqr-tracking, mpc,
    with commas between; and agents of your own, flown as they are: mine=PATH of a policy's folder, of a zip of
    Stable-Baselines3 (a pickle: reading it runs its author's code; mine=model.zip+stats.pkl with its VecNormalize), or
    of module:function."""
    time_budget: Duration = "10m"
    """Wall time of each training, everything included: compiling, optima to begin from, validations."""
    seeds: Count = 3
    """Runs of each method that learns, with the seeds 0, 1, 2, .."""
    threads: Count = 1
    """Of torch and BLAS, in each run."""
    workers: Count = 1
    """Runs at a time, each in a process of its own. With more than one, wall times are those of a shared machine."""
    ray: bool = False
    """Spread the runs over a Ray cluster (``RAY_ADDRESS``, or this machine), ``threads`` cores for each."""
    states: Count = 128
    """Initial states of the evaluation: the first ones of ``pontryagin reference --states 128``."""
    mpc_states: Count = 16
    """Of them, how many MPC flies: it solves a program at each step."""
    robust_states: CountOrZero = 64
    """Of them, how many are flown under each disturbance; ``solve``, which plans anew wherever it is pushed to, flies
    an eighth of them, and MPC an eighth of ``mpc_states``. 0 leaves it out."""
    film: bool = True
    """Draw the film that the report shows."""
    fresh: bool = False
    """Do all runs again; otherwise finished ones are kept."""
    out: OutFolder = Path("results/benchmark")
    """A folder per problem is made in it: a JSON file per run, figures, the table and the report."""
    policies: FolderPath = Path("runs/benchmark")
    """A folder per problem and run is made in it, for the trained policies."""

    def __post_init__(self) -> None:
        super().__post_init__()
        taken = [name for name in self.sources if name in METHODS or not re.fullmatch(r"[\w-]+", name)]
        if unknown := [m for m in self.names if m not in METHODS and m not in self.sources] or not self.names:
            raise ValueError(
                f"BenchmarkConfig.methods has {unknown}; expected some of {', '.join(METHODS)}, or "
                "NAME=PATH of your own"
            )
        if taken:
            raise ValueError(
                f"BenchmarkConfig.methods calls an agent {taken[0]!r}; expected a name of letters and digits "
                "that is no method's"
            )

    @property
    def names(self) -> list[str]:
        """The methods, in order, once each."""
        return list(dict.fromkeys(m.partition("=")[0].strip() for m in self.methods.split(",") if m.strip()))

    @property
    def sources(self) -> dict[str, str]:
        """Where the agents of the user's own are, by the names she gave them."""
        own = [m.partition("=") for m in self.methods.split(",") if "=" in m]
        return {name.strip(): source.strip() for name, _, source in own}

    @property
    def budget_seconds(self) -> float:
        """``time_budget`` as a number."""
        return seconds(self.time_budget)

    def command(self, problem: str) -> str:
        """The command line that asks for this."""
        words, usual = [f"pontryagin benchmark {problem}"], type(self)()
        for field in dataclasses.fields(self):
            value, name = getattr(self, field.name), field.name.replace("_", "-")
            if value == getattr(usual, field.name) or name in ("fresh", "out", "policies"):
                continue
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            else:
                words.append(f"--{name} {spoken(value) if name == 'time-budget' else value}")
        return " ".join(words)
