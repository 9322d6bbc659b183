"""A controller of the Crazyflie in Crazyflow: 256 worlds, other masses, noise and an observer, a tour on film."""

from pathlib import Path

import torch
import tyro
from rich.table import Table

import pontryagin
from pontryagin.envs.files import write_json
from pontryagin.envs.states import draw_states
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.film import write_film

PLANTS = {"as it is": 0.0, "15 % lighter": -0.15, "15 % heavier": 0.15}
"""What is flown: the mass beside the model's, as a share."""
NOISE = 0.02
"""Of the observed position, standard deviation in m."""
SEEN = pontryagin.Channel(noise=(NOISE,) * 3 + (0.0,) * 9, drift=0.03)
"""What the observer is told: this noise, and of the drone only what the model says."""
POINTS = [(0.8, 0.0, 0.4), (0.8, 0.8, 0.8), (0.0, 0.8, 0.4), (-0.6, 0.0, 0.9), (0.0, 0.0, 0.0)]


def main(
    checkpoint: str = "crazyflie",
    states: int = 256,
    seed: int = 7,
    film: bool = True,
    out_dir: Path = Path("results/external"),
) -> dict:
    """Print a table, write the film of a tour.

    Args:
        checkpoint: the policy that ships, or a folder; "lqr" for linear feedback about hover.
        states: flights at once, from anywhere in the box.
        seed: of the draw, and of the noise.
        film: draw the tour; where there is no display, set MUJOCO_GL=egl before.
        out_dir: where film and figures go.
    """
    problem = pontryagin.Crazyflie()
    lqr = checkpoint == "lqr"
    policy = pontryagin.LinearQuadraticRegulator(problem) if lqr else pontryagin.ImplicitPolicy.load(checkpoint, "cpu")
    z0 = draw_states(problem, states, seed).double()
    model = pontryagin.evaluate(problem, policy, z0)
    table = Table("flown in", "mean cost", "arrive", "error, median", "worst", title=f"{checkpoint}, {states} states")
    figures = {"model": shown(table, "the model", model)}
    for name, share in PLANTS.items():
        plant = pontryagin.CrazyflowDrone(problem, mass_error=share)
        observer = pontryagin.Observer(policy, SEEN).begin()
        flights = {name: policy, f"{name}, 2 cm noise": noisy(policy, seed)}
        flights |= {f"{name}, 2 cm noise, observed": noisy(observer, seed)}
        for label, controller in flights.items():
            flown = pontryagin.simulate(problem, plant, controller, z0)
            figures[label] = shown(table, label, pontryagin.evaluate(problem, policy, z0, flown=flown))
    figures["tour"] = tour(policy, film, out_dir)
    PlainConsole(least=90).print(table)
    write_json(out_dir / "crazyflow.json", {"checkpoint": checkpoint, "states": states, **figures})
    return figures


def shown(table: Table, label: str, found: pontryagin.Evaluation) -> dict:
    """A row of the table, as plain numbers."""
    error = found.terminal_error
    row = {"cost_mean": float(found.cost.mean()), "arrive": float(found.success.float().mean())}
    row |= {"error_median": float(error.median()), "error_worst": float(error.max())}
    table.add_row(
        label, f"{row['cost_mean']:.3f}", f"{row['arrive']:.1%}", f"{row['error_median']:.4f} m",
        f"{row['error_worst']:.4f} m",
    )  # fmt: skip
    return row


def noisy(controller, seed: int):
    """``controller``, which sees the position with white noise."""
    generator = torch.Generator().manual_seed(seed)

    def fly(t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        noise = torch.zeros_like(z)
        noise[:, :3] = NOISE * torch.randn(len(z), 3, generator=generator, dtype=z.dtype)
        return controller(t, z + noise)

    return fly


def tour(policy, film: bool, out_dir: Path) -> dict:
    """Five points in a row, from a metre above the floor, and two seconds at the last one."""
    flight = pontryagin.Waypoints(policy, POINTS, then="again", stay=2.0)
    plant, frames, heights = pontryagin.CrazyflowDrone(flight.problem, height=1.0), [], []

    def look(t: float, flown: pontryagin.CrazyflowDrone) -> None:
        heights.append(float(flown.read_state()[0, 2]) + flown.height)
        if film and len(heights) % 5 == 1:
            frames.append(flown.frame())

    path = pontryagin.simulate(flight.problem, plant, flight, torch.zeros(1, 12).double(), watch=look)
    missed = [float((path.z[100 * (k + 1), 0, :3] - torch.tensor(p)).norm()) for k, p in enumerate(POINTS)]
    if film:
        print(write_film(frames, out_dir / "crazyflow.gif", fps=10, width=480))
    print(f"a tour of five points: passed at {', '.join(f'{100 * m:.1f}' for m in missed)} cm; "
          f"lowest {min(heights):.2f} m above the floor")  # fmt: skip
    return {"missed": missed, "lowest": min(heights), "stays_within": float(path.z[500:, 0, :3].norm(dim=-1).max())}


if __name__ == "__main__":
    tyro.cli(main)
