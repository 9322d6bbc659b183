"""A problem of your own, from a class of forty lines to a controller: a rocket that lands upright on its mark.

Writes the gap to the optimum, a figure of the flights and a GIF to results/rocket/.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
import tyro

import pontryagin
from pontryagin.envs.files import write_json
from pontryagin.envs.scene import INK, RED, Line, Marks, Scene
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.film import film, write_film
from pontryagin.training.pictures.plots import history_figure, trajectory_figure


@dataclasses.dataclass(frozen=True)
class Rocket(pontryagin.Problem):
    """z = (x, y, tilt and their rates), u = (thrust, torque); mass, gravity and inertia 1; L = exp(½|u|²)."""

    state_dim: int = 6
    control_dim: int = 2
    horizon: float = 5.0
    steps: int = 80
    control_low: tuple[float, ...] = (0.0, -2.0)
    control_high: tuple[float, ...] = (2.5, 2.0)

    def dynamics(self, t, z, u):
        tilt, thrust, torque = z[..., 2:3], u[..., :1], u[..., 1:]
        return torch.cat([z[..., 3:], -thrust * torch.sin(tilt), thrust * torch.cos(tilt) - 1, torque], -1)

    def running_cost(self, t, z, u):
        return torch.exp(0.5 * (u**2).sum(-1))

    def terminal_cost(self, z):
        return 200.0 * (z**2).sum(-1)

    def terminal_error(self, z):
        return z[..., :2].norm(dim=-1)

    def sample_initial_state(self, batch, generator=None):
        mean = torch.tensor([2.0, 4.0, 0.0, 0.0, -0.5, 0.0])
        return mean + 0.2 * torch.randn(batch, 6, generator=generator)

    def scene(self, t, z, u):  # optional: what render and the film draw
        up, foot = np.array([-np.sin(z[2]), np.cos(z[2])]), np.asarray(z[:2], float)
        lines = [
            Line(np.stack([foot, foot + 0.6 * up]), INK, 9.0),
            Line(np.stack([foot, foot - 0.3 * u[0] * up]), RED, 5.0),
        ]
        ground = Line(np.array([[-2.0, -0.02], [4.0, -0.02]]), INK, 1.5)
        low, high = np.minimum((-2.0, -0.5), foot - 0.5), np.maximum((4.0, 5.0), foot + 0.8)
        bodies, mark = Marks(foot[None], np.array([INK], np.uint8)), Marks(np.zeros((1, 2)), np.array([RED], np.uint8))
        return Scene("top", low, high, (ground, *lines), bodies=bodies, targets=mark, target_radius=0.12)


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
