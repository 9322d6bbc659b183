"""A page for each problem of the catalogue, written from its class: it cannot say what the class does not.

docs/generated/environments/NAME.md     names, units, bounds, scales, reward, start, end, picture
docs/environments/notes/NAME.md         what a person has to add, put below it where there is such a file
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from pathlib import Path

import numpy as np
import torch
from docstrings import converted
from figures import RESULTS, read, written
from generated import FOLDER, table, write_pages
from names import extras_table, names_table, ships_table
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

from pontryagin import Problem, make_problem
from pontryagin.controllers.optimum.store import find_reference
from pontryagin.envs.catalog import PROBLEMS
from pontryagin.envs.files import replace_file
from pontryagin.envs.names import control_labels, state_labels
from pontryagin.envs.registration import ENVIRONMENTS
from pontryagin.envs.states import draw_states

ROOT = Path(__file__).resolve().parents[2]
ROWS = 20
"""So many states or controls are listed: of a crowd, those of one agent and what follows in the same order."""
STATES = 4096
"""Drawn with seed 0, for the range of the initial states."""


def numbers(bound: object, size: int) -> list[float]:
    """One number for each state or control."""
    return torch.as_tensor(bound, dtype=torch.float64).expand(size).tolist()


def shown(labels: list[tuple[str, str]], agent: int) -> tuple[list[tuple[str, str]], str]:
    """The labels that a page lists, and a sentence where it does not list all."""
    if len(labels) <= ROWS:
        return labels, ""
    if agent < len(labels):
        return labels[:agent], f"So for each of the {len(labels) // agent} agents, in order; {len(labels)} in all.\n"
    return labels[:ROWS], f"And so on: {len(labels)} in all.\n"


def space(problem: Problem, kind: str) -> str:
    """The table of the observation or of the action."""
    n, m = problem.state_dim, problem.control_dim
    agents = n // problem.state_block
    if kind == "state":
        labels, more = shown(state_labels(problem), problem.state_block)
        bounds, scales = numbers(problem.state_bound, n), numbers(problem.state_scale, n)
        rows = [
            (str(i), name, unit or "-", f"±{bounds[i]:g}", f"{scales[i]:g}") for i, (name, unit) in enumerate(labels)
        ]
        rows.append((str(n), "t", "time", f"0 to {problem.horizon:g}", "-"))
        return table(("index", "state", "unit", "clipped to", "typical size"), rows) + "\n" + more
    labels, more = shown(control_labels(problem), m // agents)
    low, high = numbers(problem.control_low, m), numbers(problem.control_high, m)
    rows = [(str(i), name, unit or "-", f"{low[i]:.5g}", f"{high[i]:.5g}") for i, (name, unit) in enumerate(labels)]
    return table(("index", "control", "unit", "action -1 is", "action +1 is"), rows) + "\n" + more


def start(problem: Problem) -> str:
    """Mean, deviation and range of the initial states."""
    z = problem.sample_initial_state(STATES, torch.Generator().manual_seed(0)).double()
    labels, more = shown(state_labels(problem), problem.state_block)
    low, high = z.min(0).values, z.max(0).values
    rows = [
        (name, f"{z[:, i].mean() + 0.0:.3f}", f"{z[:, i].std():.3f}", f"{low[i]:.3f} to {high[i]:.3f}")
        for i, (name, _) in enumerate(labels)
    ]
    said = f"Drawn by `sample_initial_state`; of {STATES} states, seed 0:\n\n"
    return said + table(("state", "mean", "deviation", "range"), rows) + "\n" + more


def fields(problem: Problem) -> str:
    """The fields of the dataclass, which ``gymnasium.make(id, field=value)`` sets."""
    rows = [(f"`{f.name}`", f"`{getattr(problem, f.name)!r:.60}`") for f in dataclasses.fields(problem) if f.init]
    return table(("field", "value"), rows)


def facts(name: str, problem: Problem) -> str:
    """The table at the top."""
    ids = [f"`{identity}`" for identity, short in ENVIRONMENTS.items() if short == name]
    ships = (ROOT / "checkpoints" / name).is_dir()
    kind = type(problem)
    file = Path(inspect.getsourcefile(kind) or "").resolve().relative_to(ROOT).as_posix()
    rows = [
        ("environment id", ", ".join(ids) or "none: `pontryagin.OptimalControlEnv(pontryagin.make_problem(..))`"),
        ("command line", f"`{name}`"),
        ("class", f"`{kind.__name__}`, `{file}`"),
        ("policy that ships", f'`ImplicitPolicy.load("{name}")`' if ships else "none"),
        ("states, controls", f"{problem.state_dim}, {problem.control_dim}"),
        ("H_uu", f"blocks of {problem.control_block}"),
        ("T, steps, dt", f"{problem.horizon:g}, {problem.steps}, {problem.time_step:.4g}"),
        ("success", f"`terminal_error(z(T))` at most {problem.success_radius:g}"),
        ("further figures in `info`", ", ".join(f"`{key}`" for key in problem.metrics(sample(problem))) or "none"),
    ]
    return table(("", ""), rows + known(name, problem))


def known(name: str, problem: Problem) -> list[tuple[str, str]]:
    """What results/ knows of a problem: stored optima of seed 0, the gap of the policy that ships, and of ``solve``.

    An evaluation against other optima than those that are stored now says nothing, and is left out.
    """
    rows = []
    evaluation, solved = RESULTS / name / "evaluation.json", f"gallery/{name}-0.json"
    for states in (128, 16, 4, 2):
        found = find_reference(problem, draw_states(problem, states, 0), RESULTS / "reference")
        if found is not None:
            optimum, count = float(found.cost.double().mean()), int(found.converged.sum())
            rows.append(("optimum", f"{optimum:.5g} in the mean of {states} states, seed 0; {count} converged"))
            kept = read(f"{name}/evaluation.json") if evaluation.exists() else {}
            if abs(kept.get("reference_mean", 0.0) - optimum) <= 1e-4 * abs(optimum):
                rows.append(("gap, policy that ships", gaps(kept["gap_mean"], kept["gap_worst"])))
            break
    if (RESULTS / solved).exists() and read(solved)["mean"] is not None:
        rows.append(("gap, `solve`", gaps(read(solved)["mean"], read(solved)["worst"])))
    return rows


def gaps(mean: float, worst: float) -> str:
    return f"{written(mean, '.2%')} mean, {written(worst, '.1%')} worst"


def sample(problem: Problem) -> torch.Tensor:
    return problem.sample_initial_state(1, torch.Generator().manual_seed(0))


def picture(name: str, problem: Problem, folder: Path) -> str:
    """A film where results/ holds one; else a frame with the controls held in the middle of their bounds."""
    films = [ROOT / "results" / name / file for file in ("flight.gif", "ride.gif", f"{name}.gif")]
    film = next((path for path in films if path.exists()), None)
    if film is not None:
        return f"![{name}: the shipped policy, or the demo's](/../{film.relative_to(ROOT).as_posix()})\n"
    path = folder / f"{name}.png"
    if not path.exists():
        replace_file(path, frame(problem))
    return (
        f"![{name}](/{FOLDER}/environments/{name}.png)\n\n*What `render()` draws, a third of the way, with the "
        "controls held in the middle of their bounds: no policy.*\n"
    )


def frame(problem: Problem) -> bytes:
    """A PNG of what the environment renders."""
    import imageio

    from pontryagin import OptimalControlEnv

    env = OptimalControlEnv(problem, render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(problem.steps // 3):
        env.step(np.zeros(problem.control_dim, np.float32))
    image = env.render()
    env.close()
    return imageio.imwrite("<bytes>", image, format="png")


def page(name: str, problem: Problem, folder: Path, notes: Path) -> str:
    """The whole page."""
    lines = converted(inspect.cleandoc(type(problem).__doc__ or "").splitlines())
    words = str(GoogleDocstring(lines, Config(napoleon_use_param=False), what="class"))
    parts = [
        f"# {name}",
        picture(name, problem, folder),
        facts(name, problem),
        f"```{{eval-rst}}\n{words}\n```",
        "## Observation\n\n`(z, t)`, float32.\n\n" + space(problem, "state"),
        "## Action\n\n`Box[-1, 1]`, affine in each control, held over dt.\n\n" + space(problem, "control"),
        "## Reward\n\n`-∫ L dt` over a step, and `-G(z(T))` on the last: the return is -J, with L and G as above.",
        "## Start\n\n" + start(problem) + '\n`reset(options={"state": z0})` sets it.',
        f"## End\n\n`terminated=True` after {problem.steps} steps, at t = T. Never `truncated`: nothing is left to "
        "bootstrap from.",
        "## Fields\n\n" + fields(problem),
    ]
    if (notes / f"{name}.md").exists():
        parts.append(f"```{{include}} /environments/notes/{name}.md\n```")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def write(app: Sphinx, config: object) -> None:
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    folder, notes = Path(app.srcdir, FOLDER, "environments"), Path(app.srcdir, "environments", "notes")
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: page(name, make_problem(name), folder, notes) for name in PROBLEMS}
    write_pages(folder, pages)
    write_pages(
        Path(app.srcdir, FOLDER, "tables"), {"names": names_table(), "ships": ships_table(), "extras": extras_table()}
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
