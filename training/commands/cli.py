"""The command line: ``pontryagin train | evaluate | benchmark | play | plot | reference | fly | export``, and more."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from ...controllers.policy import Hamiltonian, ImplicitPolicy
from ...envs.catalog import PROBLEMS, make_problem
from ...envs.files import from_record, read_file
from ..benchmark import BenchmarkConfig, TuneConfig
from ..checkpoint import History, load_policy
from ..config import TrainConfig
from ..console import PlainConsole, one_sentence, speaks
from ..pictures import history_figure, trajectory_figure
from ..recipes import recipe
from ..theory import CompareConfig
from ..train import train
from .arguments import PolicyPath, ProblemName
from .benchmark import benchmark_command, tune_command
from .compare import compare_command
from .diagnose import diagnose_command
from .evaluate import evaluate_command, measure
from .export import export_command, parity_command
from .play import play_command
from .reference import reference_command
from .simulate import simulate_command
from .solve import solve_command

RESUMABLE = "it can be resumed"
CURVES = ("seconds", "cost", "validation_cost")
"""Columns of the log that are drawn."""
STORES_AT_ITS_END = ("reference", "evaluate", "diagnose", "parity", "play")


def train_command(problem: ProblemName, config: tyro.conf.OmitArgPrefixes[TrainConfig]) -> None:
    """Train a feedback controller: SOAP on E[J] through the implicit argmax, with the JFB gradient.

    The defaults are the recipe of the problem. For example

        pontryagin train quadrotor --time-budget 15m --out-dir runs/quadrotor
        pontryagin train my_module:Rocket --iterations 3000 --out-dir runs/rocket
        pontryagin train quadrotor --out-dir runs/quadrotor --resume

    A folder that holds a run is left alone: --resume goes on with it, --fresh throws it away. Ctrl-C keeps the run.
    torchrun --nproc-per-node 4 -m pontryagin train .. shares the batch out among processes, with the same curve.
    """
    made = make_problem(problem)
    if config.out is None:
        config = dataclasses.replace(config, out=Path("runs") / problem.replace(":", "."))
    assert config.out is not None
    try:
        policy, history = train(made, config)
        if not speaks():
            return
    except KeyboardInterrupt:
        kept = (config.out / "checkpoint.json").exists()
        raise KeyboardInterrupt(RESUMABLE if kept else "nothing was kept yet") from None
    best = history.best
    PlainConsole().print(
        f"best validation cost {best['validation_cost']:.4f} at iteration {best['iteration']:.0f}, "
        f"{best['seconds']:.0f} s; policy in {config.out}"
    )
    _plots(policy, history, 16, config.out)


def plot_command(
    checkpoint: PolicyPath, out_dir: Path | None = None, states: int = 16, seed: int = 0, problem: str | None = None
) -> None:
    """Draw paths, controls, states and argmax residual; and the learning curve if the folder has one.

    Args:
        checkpoint: the policy.
        out_dir: folder for the figures; the current one unless given.
        states: initial states drawn.
        seed: of the draw.
        problem: module:ClassName of a policy for a problem of your own.
    """
    policy = load_policy(checkpoint, problem)
    log = Path(checkpoint) / "log.csv"
    history = History(_read_rows(log)) if log.exists() else None
    for path in _plots(policy, history, states, out_dir or Path("."), seed):
        print(path)


def _plots(policy: ImplicitPolicy, history: History | None, states: int, out: Path, seed: int = 0) -> list[Path]:
    paths = [trajectory_figure(policy.problem, measure(policy.problem, policy, states, seed), out / "trajectory.png")]
    if history is not None and history.rows:
        paths.append(history_figure(history, out / "history.png"))
    return paths


def _read_rows(log: Path) -> list[dict[str, float]]:
    import csv

    def rows() -> list[dict[str, float]]:
        try:
            found = list(csv.DictReader(io.StringIO(content.decode())))
            return [{k: float(v) for k, v in row.items()} | {k: float(row[k]) for k in CURVES} for row in found]
        except (ValueError, csv.Error) as error:
            raise TypeError(str(error)) from None

    content = read_file(log)
    return from_record(log, rows)


def _problem_named(arguments: list[str]) -> str:
    """PROBLEM in ``train .. PROBLEM ..``, what no option takes for its value; "" if it is not one of ours."""
    flags = {f"--{f.name}".replace("_", "-") for f in dataclasses.fields(TrainConfig) if isinstance(f.default, bool)}
    flags |= {flag.replace("--", "--no-", 1) for flag in flags}
    for before, word in itertools.pairwise(arguments):
        taken = before.startswith("--") and "=" not in before and before.replace("_", "-") not in flags
        if word in PROBLEMS and not taken:
            return word
    return ""


def _recipe_for(arguments: list[str]) -> TrainConfig:
    """The recipe of the problem in ``train .. PROBLEM ..``, for the Hamiltonian and the start that are asked for."""
    given = {w.partition("=")[0]: w.partition("=")[2] or after for w, after in itertools.pairwise([*arguments, ""])}
    law: Hamiltonian | None = "continuous" if given.get("--hamiltonian") == "continuous" else None
    return recipe(_problem_named(arguments), law, taught=given.get("--anchor", "distilled") == "distilled")


def _commands(defaults: TrainConfig) -> dict[str, Any]:
    """Every command by its name; ``defaults`` are those of ``train``."""

    def train_with_recipe(problem: ProblemName, config: tyro.conf.OmitArgPrefixes[TrainConfig] = defaults) -> None:
        train_command(problem, config)

    train_with_recipe.__doc__ = train_command.__doc__

    def compare(
        problem: ProblemName,
        config: tyro.conf.OmitArgPrefixes[CompareConfig] = CompareConfig(),  # noqa: B008
    ) -> None:
        compare_command(problem, config)

    def bench(
        problem: ProblemName,
        config: tyro.conf.OmitArgPrefixes[BenchmarkConfig] = BenchmarkConfig(),  # noqa: B008
    ) -> None:
        benchmark_command(problem, config)

    def search(
        problem: ProblemName,
        config: tyro.conf.OmitArgPrefixes[TuneConfig] = TuneConfig(),  # noqa: B008
    ) -> None:
        tune_command(problem, config)

    compare.__doc__ = compare_command.__doc__
    bench.__doc__, search.__doc__ = benchmark_command.__doc__, tune_command.__doc__
    return {
        "solve": solve_command,
        "train": train_with_recipe,
        "evaluate": evaluate_command,
        "diagnose": diagnose_command,
        "play": play_command,
        "plot": plot_command,
        "reference": reference_command,
        "compare-gradients": compare,
        "benchmark": bench,
        "tune": search,
        "simulate": simulate_command,
        "export": export_command,
        "parity": parity_command,
    }


def _parsed(arguments: list[str]) -> Callable[[], None]:
    """What the command line asks for, to be called.

    Raises:
        ValueError: of a configuration, as it is: tyro would put names of its own before it.
    """
    defaults = _recipe_for(arguments) if arguments[:1] == ["train"] else TrainConfig()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _later(command) for name, command in _commands(defaults).items()},
                prog="pontryagin",
                description="Feedback controllers derived from the model, trained by Jacobian-free backpropagation.",
                args=arguments,
            )
    except SystemExit as stop:
        reason = stop.__context__
        while reason is not None and not isinstance(reason, ValueError):
            reason = reason.__context__
        if reason is not None and _ours(reason):
            said.truncate(0)
            raise reason from None
        raise
    finally:
        sys.stderr.write(said.getvalue())


def _ours(error: BaseException) -> bool:
    """Whether a configuration refuses its fields; what an option by itself cannot be, the parser says with its name."""
    return any(frame.f_code.co_name == "__post_init__" for frame, _ in traceback.walk_tb(error.__traceback__))


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """``command``, called in two steps: what is wrong with the arguments is told from what goes wrong afterwards."""

    @functools.wraps(command)
    def planned(*arguments: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(command, *arguments, **options)

    return planned


def main(arguments: list[str] | None = None) -> None:
    """The entry point of ``pontryagin`` and ``python -m pontryagin``."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with one_sentence():
        if arguments != ["--version"]:
            try:
                _parsed(arguments)()
            except KeyboardInterrupt as stop:
                if speaks():
                    print(_interrupted(arguments, str(stop)), file=sys.stderr)
                raise SystemExit(130) from None
            return
        import pontryagin

        print(f"pontryagin {pontryagin.__version__}")


def _interrupted(arguments: list[str], why: str) -> str:
    """The one line that Ctrl-C leaves."""
    if why == RESUMABLE:
        words = [word for word in arguments if word not in ("--fresh", "--resume")]
        return f"interrupted; go on with: pontryagin {shlex.join(words)} --resume"
    stored = "nothing was stored" if arguments[0] in STORES_AT_ITS_END else "what was finished is kept"
    return f"interrupted; {why or stored}"
