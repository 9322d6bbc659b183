"""What compiling a training step costs, with nothing in the cache, and what it is worth: seconds of processor time."""

import json
import os
import resource
import tempfile
from pathlib import Path

import tyro
from rich.table import Table

from pontryagin import Problem, TrainConfig, make_problem
from pontryagin.controllers.value import Value
from pontryagin.demos.strangers import STRANGERS
from pontryagin.envs.files import write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.loss import make_step, path_loss
from pontryagin.training.train import make_value


def processor_seconds() -> float:
    """Of this process and of the compilers that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(x.ru_utime + x.ru_stime for x in used)


def main(
    problems: tuple[str, ...] = ("quad", "slew", "double_pole", "chain", "cartpole", "epidemic", "quadrotor"),
    batch: int = 16, compile: bool = True, out_dir: Path = Path("results/compiling"),
) -> list[dict[str, object]]:  # fmt: skip
    """A table of the problems; OMP_NUM_THREADS=1 makes it that of one core.

    Args:
        problems: names, of strangers too.
        batch: flights in an iteration.
        compile: without it only the eager step is timed.
        out_dir: where rows go, NAME.json.
    """
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    rows: list[dict[str, object]] = []
    for name in problems:
        problem = STRANGERS[name]() if name in STRANGERS else make_problem(name)
        value = make_value(problem, TrainConfig())
        row: dict[str, object] = {"problem": name, "states": problem.state_dim, "controls": problem.control_dim}
        row["eager"] = timed(problem, value, TrainConfig(compile=False), batch)[1]
        if compile:
            with tempfile.TemporaryDirectory() as cache:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
                row["first"], row["compiled"] = timed(problem, value, TrainConfig(compile=True), batch)
        rows.append(row)
        write_json(out_dir / f"{name}.json", row | {"batch": batch})
        PlainConsole().print(json.dumps(row))
    heads = ("problem", "states", "controls", "eager iteration, s", "compiling, s", "compiled iteration, s")
    table = Table(*heads, title="a training step: seconds of processor time")
    for row in rows:
        figures = (row.get(key) for key in ("eager", "first", "compiled"))
        spoken = (f"{x:.3g}" if isinstance(x, float) else "-" for x in figures)
        table.add_row(*(str(row[key]) for key in ("problem", "states", "controls")), *spoken)
    PlainConsole(least=100).print(table)
    return rows


def timed(problem: Problem, value: Value, config: TrainConfig, batch: int) -> tuple[float, float]:
    """The first iteration, and the shortest of three after it."""
    step, z0, took = make_step(problem, value, config), problem.sample_initial_state(batch).requires_grad_(), []
    for _ in range(4):
        begin = processor_seconds()
        path_loss(problem, value, step, z0, config).total.backward()  # type: ignore[no-untyped-call]
        took.append(processor_seconds() - begin)
    return took[0], min(took[1:])


if __name__ == "__main__":
    tyro.cli(main)
