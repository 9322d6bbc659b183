"""``solve``: from the class of a problem to a feedback controller and its measured gap, with no option needed."""

from __future__ import annotations

from pathlib import Path

from ..controllers.optimum import ReferenceTrajectory, crew, load_reference
from ..envs.checking import check_functions
from ..envs.fields import whole
from ..envs.files import check_folder
from ..envs.problem import Problem
from ..envs.record import problem_record
from .duration import seconds
from .rounds import CANDIDATES, OPTIMA, Rounds
from .share import share
from .solved import Solved
from .start import check_steps, families, fewer
from .student import student


def solve(
    problem: Problem,
    time_budget: str | float = 300.0,
    seed: int = 0,
    out: str | Path | None = None,
    gap: float | str = 0.01,
    states: int = 64,
    fresh: bool = False,
    processes: int = 1,
    network: str | float | None = None,
) -> Solved:
    """A feedback controller for any ``Problem``: optima, the expansions about them, and a choice by flights.

    1. The open-loop optima of a spread of rho_0 (``solve_optimum``), each sought again from all the others
       (``agreed``), and the second-order expansions of the value function about them (``expand_agents``).
    2. The feedback along every one of them is flown in the model to the end; what the cheapest costs is phi there
       (``FlownValue``). The policy is that feedback, chosen ten times an episode, where it is good enough; or else the
       best of the eight cheapest flights after sweeps of differential dynamic programming, followed by its own
       feedback, and planned anew where it is left (``Plan``).
    3. As many optima again are sought, half of them from where flights cost most above the promise, as long as the
       time allows another round (Zhang, Long, Hu, E and Han 2022, arXiv:2209.04078).

    It ends as soon as the gap on fresh states is below ``gap`` in the mean, and below five times that everywhere, and
    known of nine tenths of them.

    Args:
        problem: what is controlled.
        time_budget: "5m", or seconds. The stage at hand is finished.
        seed: of the fresh states.
        out: folder for the policy and the optima, kept after each stage. Optima of the same problem that are there
            already are where it goes on.
        gap: cost above the optimum that is good enough, 0.01 or "1%".
        states: fresh states on which it is measured.
        fresh: begin anew, whatever optima are there.
        processes: that share out the states in searches and flights (in a script: under
            ``if __name__ == "__main__":``, for they import it).
        network: "3m", or seconds, in which the optima, and more of them, are then taught to a network
            (``student``): ``Solved.network``, in the folder ``out / "network"``, can be exported, which the policy that
            plans cannot.

    Raises:
        ValueError: if the problem or an option makes no sense, or no open-loop optimum is found at all.
    """
    states, seed, processes = whole(states, "states"), whole(seed, "seed", 0), whole(processes, "processes")
    enough = share(gap)
    budget, folder = seconds(time_budget), None if out is None else Path(out)
    lessons = None if network is None else seconds(network)
    if folder is not None:
        check_folder(folder, "out")
        problem_record(problem)  # what cannot be stored is said before anything is sought
    check_functions(problem)
    run = Rounds(problem, budget, seed, folder, states, enough)
    with crew(processes, problem), run.stages.shown("optima"):
        known = None if fresh or folder is None else stored(problem, folder)
        if known is None:
            known = families(problem, fewer(problem, CANDIDATES), 0.2 * budget)
            good = int(known.converged.sum())
            run.stages.said(
                f"{good} optima" if good else f"none of {len(known.cost)} searches for an optimum has converged"
            )
            check_steps(problem, known)
        else:
            run.stages.said(f"going on from {len(known.cost)} optima of an earlier run")
        run.expanded(known)
        begin = budget - run.once
        while not run.good() and len(known.cost) < run.most:
            if run.stages.left < 1.2 * (begin - run.stages.left):
                break
            begin = run.stages.left
            known = run.doubled(known) if known.converged.any() else run.improved(known)
            run.expanded(known)
        run.better(known, last=True)
        pupil = cost = None
        if lessons is not None:
            pupil = student(problem, known, lessons, seed, run.stages, folder)
            cost = run.taught(pupil)
    return Solved(
        run.policy, run.path, run.optima, run.linear, tuple(run.history), len(known.cost), enough, run.good(), pupil,
        cost,
    )  # fmt: skip


def stored(problem: Problem, folder: Path) -> ReferenceTrajectory | None:
    """The optima that an earlier run left in ``folder``; ``None`` where there are none.

    Raises:
        ValueError: if they are damaged, or of another problem.
    """
    try:
        return load_reference(folder / OPTIMA, problem) if (folder / OPTIMA).exists() else None
    except ValueError as error:
        raise ValueError(f"{error}; begin anew with fresh=True (--fresh), or take another folder") from None
