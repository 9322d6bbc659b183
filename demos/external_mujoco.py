"""The shipped quadrotor policy in MuJoCo, unchanged: beside its own model, and with the plant made wrong on purpose."""

from pathlib import Path

import torch
import tyro
from rich.table import Table

import pontryagin
from pontryagin.controllers.plants.mujoco import MujocoQuadrotor, PlantMismatch
from pontryagin.envs.files import write_json
from pontryagin.training.commands.simulate import compare, simulate_all
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.film import write_film
from pontryagin.training.pictures.side_by_side import side_by_side

PLANTS = {
    "exact": {},
    "four rotors that reverse": {"rotors": True, "rotor_low": -1.0},
    "four rotors that only pull": {"rotors": True},
    "10 % heavier": {"mismatch": PlantMismatch(mass_error=0.1)},
    "drag 0.05": {"mismatch": PlantMismatch(drag=0.05)},
    "drag 0.05, wind 0.3 from behind": {"mismatch": PlantMismatch(drag=0.05, wind=(0.3, 0.0, 0.0))},
    "motors lag by 0.03": {"mismatch": PlantMismatch(motor_lag=0.03)},
}


def main(
    states: int = 32,
    seed: int = 0,
    every: int = 2,
    plants: tuple[str, ...] = tuple(PLANTS),
    out_dir: Path = Path("results/external"),
) -> dict:
    """Print a table, write a film.

    Args:
        states: initial states, the same for every plant.
        seed: of the draw.
        every: control steps between two frames of the film; MuJoCo's renderer takes a third of a second for each.
        plants: which of them.
        out_dir: where film and figures go.
    """
    policy = pontryagin.ImplicitPolicy.load("quadrotor", device="cpu")
    problem = policy.problem
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(seed))
    model = pontryagin.evaluate(problem, policy, z0)
    table = Table(
        "plant", "mean cost", "against the model", "worst terminal error", title=f"quadrotor, {states} states"
    )
    figures = {}
    for name in plants:
        flown, _ = simulate_all(policy, MujocoQuadrotor(problem, **PLANTS[name]), z0)
        f = figures[name] = compare(problem, model, pontryagin.evaluate(problem, policy, z0, flown=flown))
        table.add_row(
            name, f"{f['cost_plant']:.3f}", f"{f['cost_ratio_of_means']:+.3%}", f"{f['terminal_error_worst']:.3f}"
        )
    PlainConsole(least=90).print(table)
    plant = MujocoQuadrotor(problem, size=(560, 480))
    frames, _ = side_by_side(problem, policy, {"MuJoCo": plant}, z0[:1], every=every, size=plant.size)
    print(write_film(frames, out_dir / "mujoco.gif", fps=max(1, round(36 / every)), width=960))
    write_json(out_dir / "mujoco.json", figures)
    return figures


if __name__ == "__main__":
    tyro.cli(main)
