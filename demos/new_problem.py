"""A problem of your own, from its class to a controller: a rocket that lands upright on its mark.

The class is ``pontryagin/envs/gallery/rocket.py``, forty lines: f, L, G, where it starts, and what to draw.

Writes the gap to the optimum, a figure of the flights and a GIF to results/rocket/.
"""

from pathlib import Path

import torch
import tyro

import pontryagin
from pontryagin.envs.files import write_json
from pontryagin.envs.gallery import Rocket
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.film import film, write_film
from pontryagin.training.pictures.plots import history_figure, trajectory_figure


def main(
    time_budget: str = "2m", states: int = 16, out_dir: Path = Path("results/rocket"), compile: bool = True
) -> dict[str, float]:
    """Train, compare with IPOPT's optimum from the same class, draw.

    Args:
        time_budget: of training.
        states: initial states of the comparison.
        out_dir: where results go.
        compile: compile the training step, where there is a compiler.
    """
    problem = Rocket()
    config = pontryagin.TrainConfig(time_budget=time_budget, learning_rate=1e-2, compile=compile)
    policy, history = pontryagin.train(problem, config)
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(1))
    optimum = pontryagin.solve_reference(problem, z0)
    result = pontryagin.evaluate(problem, policy, z0, optimum.cost)
    figures = result.summary()
    trajectory_figure(problem, result, out_dir / "landings.png")
    history_figure(history, out_dir / "training.png", float(optimum.cost.mean()))
    write_film(film(problem, policy, z0[:3].numpy()), out_dir / "rocket.gif", width=480)
    write_json(out_dir / "figures.json", figures)
    PlainConsole().print(
        f"cost {figures['cost_mean']:.4f}, optimum {figures['reference_mean']:.4f}: gap {figures['gap_mean']:.2%} in "
        f"the mean, {figures['gap_worst']:.2%} worst of {states}; error at T {figures['terminal_error_mean']:.3f}; "
        f"see {out_dir}"
    )
    return figures


if __name__ == "__main__":
    tyro.cli(main)
