"""The state of a training run on disk: enough to go on as if it had never stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..controllers.policy import ImplicitPolicy
from ..controllers.storage import read_store, write_store
from ..controllers.value import Value
from ..envs.catalog import make_problem, problem_class
from ..envs.files import from_record, read_json
from ..envs.problem import Problem
from ..envs.record import problem_record
from .config import TrainConfig
from .watch import Watch

FREE = ("time_budget", "iterations", "out", "resume", "fresh", "checkpoint_seconds", "device", "compile")
"""Fields that a resumed run may change."""


@dataclasses.dataclass
class History:
    """The curve of a run: one row per validation."""

    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """All values of a column: iteration, seconds, cost, validation_cost, terminal_error, residual, .."""
        return [row[name] for row in self.rows]

    @property
    def best(self) -> dict[str, float]:
        """The row with the lowest validation cost."""
        return min(self.rows, key=lambda row: row["validation_cost"])


@dataclasses.dataclass
class Progress:
    """Where a run stands. ``best`` are the weights with the lowest validation cost.

    ``usual_norm`` is the running mean of the gradient's norm, ``skipped`` counts gradients that were not finite,
    ``rollbacks`` the returns to the best weights, and ``pace`` is what they have left of the learning rate. ``clock``
    is what several processes agree on: the seconds of the first one, and how many have heard Ctrl-C.
    """

    value: Value
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    history: History
    best: dict[str, Tensor]
    best_cost: float = float("inf")
    iteration: int = 0
    seconds: float = 0.0
    skipped: int = 0
    usual_norm: float = 0.0
    rollbacks: int = 0
    pace: float = 1.0
    watch: Watch = dataclasses.field(default_factory=Watch)
    clock: tuple[float, float] = (0.0, 0.0)

    def share(self, config: TrainConfig) -> float:
        """How much of the run is done, by iterations or by the clock, whichever is further."""
        by_count = self.iteration / config.iterations
        return by_count if config.budget_seconds is None else max(by_count, self.seconds / config.budget_seconds)

    def roll_back(self, pace: float) -> None:
        """Over a cliff: go back to the best weights and on at a slower pace."""
        self.value.load_state_dict(self.best)
        self.optimizer.state.clear()
        self.pace *= pace
        self.rollbacks += 1


class Kept(NamedTuple):
    """All that the next iteration depends on: tensors, and plain data. ``value`` is what phi is, ``restore_value``."""

    value: dict[str, Any]
    tensors: dict[str, Tensor]
    figures: dict[str, Any]


FIGURES = ("best_cost", "iteration", "seconds", "skipped", "usual_norm", "rollbacks", "pace")


def kept(progress: Progress) -> Kept:
    """What is kept of a run, or handed to its other processes."""
    tensors = {f"value.{k}": v for k, v in progress.value.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in progress.best.items()}
    for index, state in progress.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["generator"] = progress.generator.get_state()
    tensors = {k: v.detach().cpu() for k, v in tensors.items()}
    figures = {"history": progress.history.rows} | {name: getattr(progress, name) for name in FIGURES}
    return Kept(progress.value.config, tensors, figures)


def fill(progress: Progress, found: Kept) -> None:
    """The inverse of ``kept``, for a run of the same value function."""
    device = progress.value.scale.device
    progress.value.load_state_dict(_under(found.tensors, "value."))
    progress.best = {k: v.to(device) for k, v in _under(found.tensors, "best.").items()}
    moments = progress.optimizer.state_dict()
    for name, tensor in _under(found.tensors, "optimizer.").items():
        index, _, key = name.partition(".")
        moments["state"].setdefault(int(index), {})[key] = tensor
    progress.optimizer.load_state_dict(moments)
    progress.generator.set_state(found.tensors["generator"])
    rows = found.figures["history"]
    progress.history = History([{name: float(x) for name, x in row.items()} for row in rows])
    for name in FIGURES:
        setattr(progress, name, type(getattr(progress, name))(found.figures[name]))


def write_checkpoint(folder: Path, problem: Problem, config: TrainConfig, progress: Progress) -> None:
    """Write everything the next iteration depends on, atomically, to ``folder/checkpoint.json`` and its weights."""
    value, tensors, figures = kept(progress)
    about = {"kind": "TrainingRun", "problem": problem_record(problem), "config": plain_config(config)}
    write_store(folder, "checkpoint", tensors, {**about, "value": value, **figures})


def read_checkpoint(folder: Path, problem: Problem, config: TrainConfig, progress: Progress) -> None:
    """Fill ``progress`` from ``folder``.

    Raises:
        ValueError: if it is damaged, of another problem, of an older version, or of a run with other settings (naming
            them).
    """
    tensors, record = read_store(folder, "checkpoint")
    from_record(folder, lambda: _continue(folder, tensors, record, problem, config, progress))


def _continue(
    folder: Path,
    tensors: dict[str, Tensor],
    record: dict[str, Any],
    problem: Problem,
    config: TrainConfig,
    progress: Progress,
) -> None:
    expected = problem_record(problem)
    if record.get("kind") != "TrainingRun" or record["problem"] != expected:
        raise ValueError(f"{folder} holds a run of {record.get('problem')}; this run is of {expected}")
    now = plain_config(config)
    if unknown := [name for name in record["config"] if name not in now]:
        raise ValueError(
            f"{folder} was written by an older version: this one does not know its settings {', '.join(unknown)} "
            "and cannot go on with it"
        )
    changed = {
        k: (record["config"].get(k), v) for k, v in now.items() if k not in FREE and record["config"].get(k) != v
    }
    if changed:
        raise ValueError(f"{folder} was trained with other settings; (then, now): {changed}")
    if record["value"] != progress.value.config:
        raise ValueError(f"{folder} holds weights of {record['value']}; this run's are {progress.value.config}")
    fill(progress, Kept(record["value"], tensors, record))


def plain_config(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON would give it back."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return plain


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def import_class(path: Path) -> None:
    """The module of the class that a policy is for, if it can be: what is missing is said by who reads the policy."""
    with contextlib.suppress(ValueError, OSError, KeyError, TypeError, AttributeError):
        name = read_json(path)["problem"]["class"]
        if problem_class(name) is None and not name.startswith("__main__"):
            make_problem(name)


def load_policy(checkpoint: str, problem: str | None = None) -> ImplicitPolicy:
    """A policy on the CPU; ``problem``, a name or ``module:ClassName``, for one of a problem of the user's own.

    Without it the module that the folder names is imported, from the current folder or wherever Python finds it: who
    names a folder on the command line trusts it.

    Raises:
        ValueError: if there is none, or it is for another problem.
    """
    if problem is None:
        import_class(Path(checkpoint) / "policy.json")
    return ImplicitPolicy.load(checkpoint, device="cpu", problem=None if problem is None else make_problem(problem))
