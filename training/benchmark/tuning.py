"""``pontryagin tune``: a bounded search for the settings of PPO and SAC, with its log kept."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...envs.catalog import make_problem
from ...envs.files import check_folder, replace_file
from ...envs.problem import Problem
from ..duration import seconds
from ..rules import Checked, Count, OutFolder, Seed
from ..words import Duration
from .rl import Row, train_rl
from .rl_recipes import Algorithm, PPORecipe, SACRecipe, TQCRecipe, rl_recipe

if TYPE_CHECKING:
    import optuna

Recipe = PPORecipe | SACRecipe
COLUMNS = ("trial", "cost", "seconds", "budget", "env_steps", "ended_early", "finished", "recipe")
"""Of the log."""


@dataclasses.dataclass(frozen=True)
class TuneConfig(Checked):
    """How far the search goes."""

    algorithm: Algorithm = "ppo"
    """Whose settings."""
    trials: Count = 10
    """Trainings, those of earlier calls with the same ``out`` included."""
    time_budget: Duration = "60s"
    """Of each, of processor time: a busy machine does not favour the trials that ran when it was not."""
    seed: Seed = 100
    """Of the sampler and of every training; not one of those of the benchmark."""
    threads: Count = 1
    """Of torch."""
    out: OutFolder = Path("results/benchmark/tuning")
    """Folder for the study (SQLite) and its log (CSV), one pair per problem and algorithm."""

    @property
    def budget_seconds(self) -> float:
        """``time_budget`` as a number."""
        return seconds(self.time_budget)


def tune(problem: str, config: TuneConfig, tell: Callable[[str], None] = print) -> Recipe:
    """Search with Optuna's TPE, from the present recipe on; the score is the best validation cost of a trial.

    The study is kept in ``out`` and goes on where it stopped. Every trial has a line in ``<problem>-<algorithm>.csv``:
    its settings, its cost, its environment steps. A trial whose cost is above the median of the others at the same
    share of its budget ends early, from a half of it on.

    Returns:
        The best recipe. Written into ``rl_recipes.RECIPES`` by hand, so that a change of it shows in the history.

    Raises:
        ImportError: if Optuna or Stable-Baselines3 is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError('tuning needs Optuna: pip install "pontryagin[benchmark]"') from error
    torch.set_num_threads(config.threads)
    made, name = make_problem(problem), f"{problem.replace(':', '.')}-{config.algorithm}"
    check_folder(config.out, "TuneConfig.out")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{config.out / name}.db", study_name=name, load_if_exists=True,
        sampler=optuna.samplers.TPESampler(n_startup_trials=4, seed=config.seed + _lines(config.out / f"{name}.csv")),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=10),
    )  # fmt: skip
    if not study.trials:
        study.enqueue_trial(_plain(rl_recipe(problem, config.algorithm)))

    study.optimize(
        lambda trial: _try(trial, made, config, config.out / f"{name}.csv", tell),
        n_trials=max(0, config.trials - sum(trial.state.is_finished() for trial in study.trials)),
    )
    return suggest(optuna.trial.FixedTrial(study.best_params), config.algorithm, made.steps)


def _try(trial: optuna.Trial, problem: Problem, config: TuneConfig, log: Path, tell: Callable[[str], None]) -> float:
    """Train once; its score. Pruned where the others were better at the same share of the budget."""
    import optuna

    recipe = suggest(trial, config.algorithm, problem.steps)
    rows: list[Row] = []
    seen: set[int] = set()

    def watch(row: Row) -> bool:
        rows.append(row)
        share = int(20 * min(row["seconds"] / config.budget_seconds, 1.0))
        if share not in seen:  # Optuna takes one report of a step
            seen.add(share)
            trial.report(math.log(best(rows)), share)
        return not trial.should_prune()

    train_rl(problem, recipe, config.budget_seconds, config.seed, validations=20, watch=watch, now=time.process_time)
    pruned = rows[-1]["seconds"] < config.budget_seconds
    figures = [trial.number, best(rows), rows[-1]["seconds"], config.budget_seconds, int(rows[-1]["env_steps"]), pruned]
    _append(log, [*figures, time.strftime("%F %T"), json.dumps(dataclasses.asdict(recipe))])
    tell(f"trial {trial.number}: cost {best(rows):.3f}{', ended early' if pruned else ''}, {_changed(recipe)}")
    if pruned:
        raise optuna.TrialPruned()
    return best(rows)


def suggest(trial: Any, algorithm: Algorithm, steps: int) -> Recipe:
    """The recipe of a trial, in a range that a search by hand had found to learn; ``steps`` are those of an episode."""
    shared: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "gamma": trial.suggest_categorical("gamma", [0.99, 0.995, 0.999, 1.0]),
        "width": trial.suggest_categorical("width", [64, 128, 256]),
    }
    if algorithm == "ppo":
        return PPORecipe(
            **shared,
            num_envs=trial.suggest_categorical("num_envs", [32, 64, 128]),
            n_steps=steps,
            minibatches=trial.suggest_categorical("minibatches", [10, 20, 40]),
            epochs=trial.suggest_int("epochs", 5, 20),
            log_std=trial.suggest_float("log_std", -2.5, -0.5),
            gae_lambda=trial.suggest_categorical("gae_lambda", [0.95, 0.98, 0.99, 1.0]),
            clip_range=trial.suggest_categorical("clip_range", [0.1, 0.2, 0.3]),
        )
    return (TQCRecipe if algorithm == "tqc" else SACRecipe)(
        **shared,
        num_envs=trial.suggest_categorical("num_envs", [8, 16, 32]),
        gradient_steps=trial.suggest_categorical("gradient_steps", [4, 8, 16]),
        batch=trial.suggest_categorical("batch", [128, 256, 512]),
        tau=trial.suggest_categorical("tau", [0.005, 0.01, 0.02]),
        initial_entropy=trial.suggest_float("initial_entropy", 1e-3, 0.1, log=True),
        target_entropy_scale=trial.suggest_categorical("target_entropy_scale", [1.0, 2.0, 3.0]),
        shaping=trial.suggest_categorical("shaping", [False, True]),
        normalise_steps=trial.suggest_categorical("normalise_steps", [None, 2_560, 10_240]),
        log_std=trial.suggest_float("log_std", -2.0, 0.0),
    )


def best(rows: list[Row]) -> float:
    """The lowest validation cost so far."""
    return min(row["validation_cost"] for row in rows)


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The parameters of ``suggest`` that give ``recipe``, where they can."""
    names = "learning_rate gamma width num_envs "
    names += "minibatches epochs gae_lambda clip_range log_std" if isinstance(recipe, PPORecipe) else (
        "gradient_steps batch tau initial_entropy target_entropy_scale shaping normalise_steps log_std"
    )  # fmt: skip
    return {k: v for k, v in dataclasses.asdict(recipe).items() if k in names.split()}


def _changed(recipe: Recipe) -> str:
    """The fields that differ from the defaults."""
    usual = dataclasses.asdict(type(recipe)())
    changed = {k: v for k, v in dataclasses.asdict(recipe).items() if v != usual[k]}
    words = [f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in changed.items()]
    return ", ".join(words) or "the defaults"


def _lines(log: Path) -> int:
    """Lines of an earlier call: the sampler goes on with other random numbers."""
    return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0


def _append(log: Path, row: list[Any]) -> None:
    before = log.read_text(encoding="utf-8") if log.exists() else ""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row] if before else [COLUMNS, row])
    replace_file(log, (before + text.getvalue()).encode())
