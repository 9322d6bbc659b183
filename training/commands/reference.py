"""The command ``pontryagin reference``: open-loop optima from seeded initial states, stored for ``evaluate``."""

from __future__ import annotations

from pathlib import Path

from ...controllers.optimum import (
    FOLDER,
    Method,
    cheaper,
    crew,
    find_reference,
    improve_optimum,
    save_reference,
    solve_reference,
)
from ...controllers.policy import ImplicitPolicy
from ...envs.catalog import make_problem
from ...envs.files import check_folder, save_somewhere
from ...envs.record import problem_record
from ...envs.states import draw_states
from ..console import PlainConsole, searching
from ..start import agreed, searched
from .arguments import ProblemName


def reference_command(
    problem: ProblemName,
    states: int = 128,
    seed: int = 0,
    processes: int = 1,
    starts: int = 1,
    guess: str | None = None,
    method: Method = "ddp",
    seconds: float | None = None,
    max_iterations: int = 200,
    improve: bool = False,
    out_dir: Path = FOLDER,
) -> None:
    """Solve for the open-loop optimum from seeded initial states and store it for ``evaluate``.

    With ddp each is sought again where the feedback along another one's optimum flies more cheaply.

    Args:
        problem: the problem.
        states: initial states drawn from rho_0.
        seed: of the draw.
        processes: that share out the states.
        starts: searches from each state, from different beginnings; the cheapest optimum is kept.
        guess: a policy, shipped or in a folder, whose flight is where the search begins; else z0 at rest.
        method: ddp (torch, all states at once), or ipopt (CasADi, one by one), the independent check.
        seconds: after so long the best so far is kept, with --method ddp; as long again for the second search.
        max_iterations: of each search.
        improve: begin at what is stored for these states, and keep that wherever it costs less.
        out_dir: folder for the .npz and the .json beside it.
    """
    made = make_problem(problem)
    z0 = draw_states(made, states, seed)
    check_folder(out_dir, "--out-dir")
    problem_record(made)  # what could not be stored afterwards is refused now
    earlier = find_reference(made, z0, out_dir) if improve else None
    pilot = None if guess is None else ImplicitPolicy.load(guess, device="cpu")
    if method == "ipopt":
        found = solve_reference(
            made, z0, guess=pilot, processes=processes, starts=starts, max_iterations=max_iterations
        )
    else:
        with crew(processes, made):
            with searching(f"optima of {problem}"):
                if earlier is not None and pilot is None:
                    found = improve_optimum(made, earlier, max_iterations, seconds)
                else:
                    found = searched(made, z0, pilot, starts, seconds, max_iterations)
            found = found if earlier is None else cheaper(earlier, found)
            with searching("each from the others' flights"):
                found = agreed(made, found, seconds)
    command = f"pontryagin reference {problem} --states {states} --seed {seed} --starts {starts} --method {method}"
    command += "" if guess is None else f" --guess {guess}"
    command += "" if max_iterations == 200 else f" --max-iterations {max_iterations}"
    if earlier is not None:
        found, command = cheaper(earlier, found), f"{command} --improve"
    name = f"{problem.replace(':', '.')}-{states}-{seed}"
    path = save_somewhere(lambda folder: save_reference(folder / name, made, found, command), out_dir, "the reference")
    cost = found.cost
    PlainConsole().print(
        f"optimal cost {float(cost.mean()):.4f} ± {float(cost.std(correction=0)):.4f}, {int(found.converged.sum())} of "
        f"{states} converged, {float(found.seconds.median()):.2f} s per state (median); {path / name}.npz"
    )
