"""Of the optima that ``pontryagin solve`` leaves, the few whose feedback together flies best: a policy that is quicker.

    pontryagin solve quadrotor_free --out-dir runs/quadrotor_free
    python demos/few.py quadrotor_free --members 10

It flies the chosen optima in the model at each step and plays the feedback of the one that costs least, as the policy
of ``solve`` does with all of them: time and size go with their number.
"""

from pathlib import Path

import torch
import tyro
from torch import Tensor

from pontryagin import ImplicitPolicy, Problem, make_problem
from pontryagin.controllers.optimum import ReferenceTrajectory, expand_agents, load_reference
from pontryagin.controllers.value import ExpandedValue
from pontryagin.training.start import excess, families, member_costs


def main(
    problem: str = "quadrotor_free", members: int = 10, probes: int = 96, seed: int = 123,
    optima: Path | None = None, out_dir: Path | None = None,
) -> list[dict[str, float]]:  # fmt: skip
    """Choose members one by one, each the one with which the cheapest flights of all so far are cheapest.

    Args:
        problem: a name, as `pontryagin solve` takes it.
        members: how many.
        probes: initial states that are flown to choose.
        seed: of these.
        optima: what solve left; runs/PROBLEM/optima.npz unless given, and sought anew where there is none.
        out_dir: where the policy goes; runs/PROBLEM-few unless given.
    """
    made = make_problem(problem)
    file = Path("runs") / problem / "optima.npz" if optima is None else optima
    known = load_reference(file, made) if file.exists() else families(made, 2 * members)
    policy, rows = chosen(made, known, members, probes, seed)
    folder = Path("runs") / f"{problem}-few" if out_dir is None else out_dir
    command = f"pontryagin solve {problem}; python demos/few.py {problem} --members {members}"
    policy.save(folder, {"command": command, "chosen": rows})
    for row in rows:
        print(f"{row['members']:3.0f} of {len(known.cost)}: {row['mean']:.3%} above the best flight along any, "
              f"{row['worst']:.2%} at worst")  # fmt: skip
    print(f"policy in {folder}")
    return rows


@torch.no_grad()
def chosen(
    problem: Problem, known: ReferenceTrajectory, members: int, probes: int, seed: int
) -> tuple[ImplicitPolicy, list[dict[str, float]]]:
    """The policy, and after each choice how far the cheapest flight is above that along any optimum."""
    whole = expand_agents(problem, known)
    z = problem.sample_initial_state(probes, torch.Generator().manual_seed(seed)).double()
    costs = member_costs(problem, whole, z)
    above = excess(costs, costs.amin(-1, keepdim=True))
    order: list[int] = []
    rows = []
    for _ in range(min(members, above.shape[1])):
        after: list[Tensor] = [above[:, [*order, j]].amin(-1) for j in range(above.shape[1])]
        order.append(min(range(len(after)), key=lambda j: float(after[j].mean())))
        best = after[order[-1]]
        rows.append({"members": float(len(order)), "mean": float(best.mean()), "worst": float(best.max())})
    value = ExpandedValue(problem, whole.members(torch.tensor(order)), flights=len(order)).double()
    return ImplicitPolicy(problem, value, max_iterations=0, hamiltonian="held"), rows


if __name__ == "__main__":
    tyro.cli(main)
