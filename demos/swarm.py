"""A hundred quadrotors change places: one optimum, and the feedback of every one along it. Writes figures and a film.

The optimum from the grid itself begins where each flies as if it were alone; the others then push it aside. The policy
is the Riccati feedback of each agent by itself along that one optimum; it is held against the optima from other initial
states, each sought from its flight.
"""

import dataclasses
from pathlib import Path

import torch
import tyro

from pontryagin import ImplicitPolicy, make_problem, rollout, solve_optimum
from pontryagin.controllers.optimum import ReferenceTrajectory, expand_agents, save_reference
from pontryagin.controllers.value import ExpandedValue
from pontryagin.envs.files import write_json
from pontryagin.envs.integrate import Controller
from pontryagin.envs.states import draw_states
from pontryagin.envs.swarm import Swarm
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures import film, write_film


def main(
    problem: str = "swarm100", states: int = 1, many: int = 64, width: int = 400,
    out_dir: Path = Path("results/swarm100"), checkpoint: Path = Path("runs/swarm100"),
) -> dict[str, object]:  # fmt: skip
    """Find the optimum and the policy, fly it, and say how far above the optima of other states it is.

    Args:
        problem: swarm5, swarm100, or any number of them as module:ClassName.
        states: initial states, seed 0, whose own optima are sought.
        many: states that are flown for arrival and distances.
        width: of the film.
        out_dir: where figures and film go.
        checkpoint: where the policy goes.
    """
    swarm = make_problem(problem)
    assert isinstance(swarm, Swarm)
    known = optimum(swarm)
    best = solve_optimum(swarm, draw_states(swarm, states, 0), known=known)
    return figures(swarm, known, best, problem, many, width, out_dir, checkpoint)


def figures(
    swarm: Swarm, known: ReferenceTrajectory, best: ReferenceTrajectory, name: str, many: int, width: int,
    out_dir: Path, checkpoint: Path,
) -> dict[str, object]:  # fmt: skip
    """The policy about ``known``, flown from the states of ``best`` and from others; written and printed."""
    value = ExpandedValue(swarm, expand_agents(swarm, known)).double()
    policy = ImplicitPolicy(swarm, value, max_iterations=0, hamiltonian="held")
    command = f"python demos/swarm.py --problem {name} --states {len(best.cost)}"
    policy.save(checkpoint, {"command": command})
    save_reference(out_dir / f"{name}-{len(best.cost)}-0", swarm, best, command)
    z0 = best.z[0]
    mine = measured(swarm, policy, z0)
    told: dict[str, object] = {
        "command": command, "optimum": float(known.cost), "optimum_min_distance": closest(swarm, known.z),
        "best": float(best.cost.mean()), "converged": int(best.converged.sum()),
        "gap": mine["cost_mean"] / float(best.cost.mean()) - 1, "policy": mine,
        "many": measured(swarm, policy, draw_states(swarm, many, 77).double()),
    }  # fmt: skip
    write_json(out_dir / "figures.json", told)
    write_film(film(swarm, policy, z0[:1].float().numpy(), every=1), out_dir / "flight.gif", fps=12, width=width)
    for key, row in told.items():
        print(key, row)
    return told


def optimum(swarm: Swarm, rough: int = 15) -> ReferenceTrajectory:
    """That from the grid: first of each alone, then of all together, from a draw and at last from the grid.

    On the grid itself two that meet head-on do so in perfect symmetry, and what leads nowhere else is a dearer optimum:
    of five, 33.09 instead of 29.94.

    Args:
        rough: iterations from the draw.
    """
    grid = dataclasses.replace(swarm, initial_scale=0.0).sample_initial_state(1).double()
    draw = swarm.sample_initial_state(1, torch.Generator().manual_seed(5)).double()
    single = dataclasses.replace(swarm.single, target=(0.0, 0.0, 0.0))
    each = swarm.agents(draw)[0].clone()
    each[:, :3] -= torch.as_tensor(swarm.target_points)
    hover = torch.tensor([swarm.single.mass * swarm.single.gravity, 0.0, 0.0, 0.0], dtype=torch.float64)
    alone = solve_optimum(single, each, lambda t, z: hover.expand(len(z), -1))
    told = PlainConsole()
    told.print(f"{swarm.num_agents} alone, {float(alone.cost.sum()):.2f}")
    among = solve_optimum(swarm, draw, played(alone.u.flatten(1).unsqueeze(1)), max_iterations=rough)
    told.print(f"all together from a draw, {float(among.cost):.2f}")
    found = solve_optimum(swarm, grid, played(among.u))
    told.print(f"from the grid, {float(found.cost):.2f}, {found.status[0]}")
    return found


@torch.no_grad()
def measured(swarm: Swarm, policy: ImplicitPolicy, z0: torch.Tensor) -> dict[str, float]:
    """What flights cost, how far from its target anyone ends, and how near two come."""
    path = rollout(swarm, policy.value.feedback, z0)
    error = swarm.terminal_error(path.z[-1])
    return {
        "states": float(len(z0)), "cost_mean": float(path.cost.mean()), "cost_worst": float(path.cost.max()),
        "terminal_error_worst": float(error.max()),
        "success_rate": float((error <= swarm.success_radius).double().mean()),
        "min_distance_path_min": closest(swarm, path.z),
    }  # fmt: skip


def played(u: torch.Tensor) -> Controller:
    """The controls ``(K, B, m)``, one step after the other."""
    steps = iter(u)
    return lambda t, z: next(steps)


def closest(swarm: Swarm, z: torch.Tensor) -> float:
    """The least distance of two on the way."""
    return float(torch.stack([swarm.metrics(x)["min_distance"] for x in z]).min())


if __name__ == "__main__":
    tyro.cli(main)
