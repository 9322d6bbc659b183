"""The command ``pontryagin reference``: open-loop optima from seeded initial states, stored for ``evaluate``."""

from __future__ import annotations

from pathlib import Path

from ...controllers.optimum import FOLDER, Hessian, cheaper, find_reference, save_reference, solve_reference
from ...controllers.policy import ImplicitPolicy
from ...envs.catalog import make_problem
from ...envs.files import check_folder, save_somewhere
from ...envs.states import draw_states
from ..console import PlainConsole
from .arguments import ProblemName


def reference_command(
    problem: ProblemName,
    states: int = 128,
    seed: int = 0,
    processes: int = 1,
    starts: int = 1,
    guess: str | None = None,
    hessian: Hessian = "exact",
    max_iterations: int = 1000,
    improve: bool = False,
    out_dir: Path = FOLDER,
) -> None:
    """Solve for the open-loop optimum from seeded initial states with IPOPT and store it for ``evaluate``.

    Args:
        problem: the problem.
        states: initial states drawn from rho_0.
        seed: of the draw.
        processes: worker processes.
        starts: initial guesses of each solve; the cheapest is kept.
        guess: a policy, shipped or in a folder, whose flight is where the search begins; else z0 at rest.
        hessian: exact, or limited-memory for thousands of coupled states.
        max_iterations: of IPOPT, per start.
        improve: keep what is stored for these states, wherever it costs less.
        out_dir: folder for the .npz and the .json beside it.
    """
    made = make_problem(problem)
    z0 = draw_states(made, states, seed)
    check_folder(out_dir, "--out-dir")
    pilot = None if guess is None else ImplicitPolicy.load(guess, device="cpu")
    found = solve_reference(
        made, z0, guess=pilot, processes=processes, starts=starts, hessian=hessian, max_iterations=max_iterations
    )
    command = f"pontryagin reference {problem} --states {states} --seed {seed} --starts {starts}"
    command += "" if guess is None else f" --guess {guess}"
    command += "" if hessian == "exact" else f" --hessian {hessian}"
    command += "" if max_iterations == 1000 else f" --max-iterations {max_iterations}"
    earlier = find_reference(made, z0, out_dir) if improve else None
    if earlier is not None:
        found, command = cheaper(earlier, found), f"{command} --improve"
    name = f"{problem.replace(':', '.')}-{states}-{seed}"
    path = save_somewhere(lambda folder: save_reference(folder / name, made, found, command), out_dir, "the reference")
    cost, seconds = found.cost, found.seconds
    PlainConsole().print(
        f"optimal cost {float(cost.mean()):.4f} ± {float(cost.std(correction=0)):.4f}, {int(found.converged.sum())} of "
        f"{states} converged, {float(seconds.median()):.2f} s per state (median); {path / name}.npz"
    )
