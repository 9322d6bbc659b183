"""What ``pontryagin benchmark`` compares: one dataclass, read by the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from .methods import METHODS

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Methods, their common budget, and what they are asked afterwards."""

    methods: str = "jfb,ppo,sac,direct,lqr-tracking,mpc"
    """Of jfb, jfb-anchored, ppo, sac, direct, lqr-tracking and mpc, with commas between."""
    budget: str = "10m"
    """Wall time of each training, everything included: compiling, optima to begin from, validations. 60s, 10m or 1h."""
    seeds: int = 3
    """Runs of each method that learns, with the seeds 0, 1, 2, .."""
    threads: int = 1
    """Of torch and BLAS, in each run."""
    workers: int = 1
    """Runs at a time, each in a process of its own. With more than one, wall times are those of a shared machine."""
    ray: bool = False
    """Spread the runs over a Ray cluster (``RAY_ADDRESS``, or this machine), ``threads`` cores for each."""
    states: int = 128
    """Initial states of the evaluation, those of ``pontryagin reference``."""
    mpc_states: int = 16
    """Of them, how many MPC flies: it solves a program at each step."""
    robust_states: int = 64
    """Of them, how many are flown under each disturbance; MPC flies an eighth of ``mpc_states``. 0 leaves it out."""
    film: bool = True
    """Draw the film that the report shows."""
    fresh: bool = False
    """Do all runs again; otherwise finished ones are kept."""
    out: Path = Path("results/benchmark")
    """A folder per problem is made in it: a JSON file per run, figures, the table and the report."""
    policies: Path = Path("runs/benchmark")
    """A folder per problem and run is made in it, for the trained policies."""

    def __post_init__(self) -> None:
        for name in ("seeds", "threads", "workers", "states", "mpc_states"):
            if not getattr(self, name) > 0:
                raise ValueError(f"BenchmarkConfig.{name} is {getattr(self, name)!r}; expected a positive number")
        if self.robust_states < 0:
            raise ValueError(f"BenchmarkConfig.robust_states is {self.robust_states!r}; expected a number >= 0")
        if unknown := [m for m in self.names if m not in METHODS] or not self.names:
            raise ValueError(f"BenchmarkConfig.methods has {unknown}; expected some of {', '.join(METHODS)}")
        if not self.seconds > 0:
            raise ValueError(f"BenchmarkConfig.budget is {self.budget!r}; expected a time above 0")

    @property
    def names(self) -> list[str]:
        """The methods, in order, once each."""
        return list(dict.fromkeys(m.strip() for m in self.methods.split(",") if m.strip()))

    @property
    def seconds(self) -> float:
        """The budget.

        Raises:
            ValueError: if it is not a number with one of the units s, m and h.
        """
        try:
            return float(self.budget[:-1]) * UNITS[self.budget[-1:]]
        except (KeyError, ValueError):
            raise ValueError(
                f"BenchmarkConfig.budget is {self.budget!r}; expected a number and a unit: 60s, 10m, 1h"
            ) from None

    def command(self, problem: str) -> str:
        """The command line that asks for this."""
        words = [f"pontryagin benchmark {problem}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and field.name not in ("fresh", "out", "policies"):
                name = field.name.replace("_", "-")
                words.append(
                    (f"--{name}" if value else f"--no-{name}") if isinstance(value, bool) else f"--{name} {value}"
                )
        return " ".join(words)
