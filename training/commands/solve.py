"""The command ``pontryagin solve``: from the class of a problem to a controller and its measured gap."""

from __future__ import annotations

import json
from pathlib import Path

from ...controllers.optimum import ReferenceTrajectory, cores
from ...envs.catalog import make_problem
from ...envs.files import A_MOMENT, alone, check_folder, write_json
from ..console import PlainConsole
from ..rounds import RECORD
from ..solve import solve
from ..solved import Solved
from ..student import NETWORK
from .arguments import ProblemName
from .solved_page import write_page


def solve_command(
    problem: ProblemName,
    time_budget: str = "5m",
    seed: int = 0,
    gap: str = "1%",
    states: int = 64,
    fresh: bool = False,
    processes: int | None = None,
    network: str | None = None,
    out_dir: Path | None = None,
) -> None:
    """Find a feedback controller for any problem, and say how far above the optimum it is.

    Optima from a spread of initial states, more of them where that is not enough, and at each step the one whose
    feedback, flown in the model to the end, costs least. For example

        pontryagin solve double_integrator
        pontryagin solve my_module:Rocket --time-budget 10m --out-dir runs/rocket

    The folder then holds the policy, the optima, solved.json with the gap of every fresh state, figures, a film and
    report.html. A run that was killed, or that should go on, goes on from its optima when the command is given again;
    evaluate, play, plot, simulate and benchmark take the folder for a policy.

    Args:
        problem: the problem.
        time_budget: how long it may take, 90s, 5m or 1h; the stage at hand is finished.
        seed: of the fresh states.
        gap: cost above the optimum that is good enough, 1% or 0.01.
        states: fresh states on which it is measured.
        fresh: begin anew, whatever optima the folder holds.
        processes: that share out the states; as many as there are cores unless given; one
            where the problem cannot be sent to another (a lambda in a field, a lock).
        network: for how long a network is then taught the optima, 3m: OUT_DIR/network can be exported, which a policy
            that flies along its optima cannot.
        out_dir: folder; runs/<problem> unless given.
    """
    made = make_problem(problem)
    folder = Path("runs") / problem.replace(":", ".") if out_dir is None else out_dir
    check_folder(folder, "--out-dir")
    with alone(folder, "solve", A_MOMENT):
        count = cores(made) if processes is None else processes
        found = solve(made, time_budget, seed, folder, gap, states, fresh, count, network)
        write_json(folder / RECORD, record(found, problem))
        command = f"pontryagin solve {problem} --time-budget {time_budget} --seed {seed} --gap {gap}"
        command += f" --network {network}" if network else ""
        page = write_page(found, problem, command, folder)
    beside = "" if found.network is None else f"; the network in {folder / NETWORK}, for pontryagin export"
    PlainConsole(least=80).print(f"\n{found.report}\n\npolicy in {folder}; {page}{beside}", highlight=False)


def record(found: Solved, problem: str) -> dict[str, object]:
    """What ``solved.json`` holds: plain numbers, nan as None."""
    optima: ReferenceTrajectory = found.optima
    numbers = {"cost": found.cost, "optimum": optima.optimum, "linear_cost": found.linear_cost, "gap": found.gap}
    if found.network_cost is not None:
        numbers["network_cost"] = found.network_cost
    tables = {k: [x if x == x and abs(x) != float("inf") else None for x in v.tolist()] for k, v in numbers.items()}
    history = json.loads(json.dumps(found.history).replace("NaN", "null").replace("Infinity", "null"))
    facts = {"optima": found.known, "enough": found.enough, "good": found.good}
    return {"problem": problem, "hamiltonian": found.policy.hamiltonian, **facts, "history": history, **tables}
