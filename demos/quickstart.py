"""The whole story in a few minutes: train through the implicit argmax, from random weights and from optima, and fly.

All of it is counted in optima and iterations, none in minutes: a slow machine ends where a fast one does, only later.
Writes results/demo/: both policies, the learning curve, a figure of the flights, a GIF, and the table it prints.
"""

import dataclasses
from pathlib import Path

import torch
import tyro
from rich.table import Table

from pontryagin import ImplicitPolicy, Quadrotor, recipe, train
from pontryagin.envs.files import write_json
from pontryagin.training.commands.evaluate import measure
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.film import film, write_film
from pontryagin.training.pictures.plots import history_figure, trajectory_figure

HEADINGS = ("controller", "mean cost", "gap", "worst cost", "terminal error", "success", "argmax residual")


def main(
    iterations: int = 400, anchors: int = 32, fine: int = 20, out_dir: Path = Path("results/demo"), compile: bool = True
) -> dict[str, float]:
    """Train two controllers of a quadrotor and compare them with the shipped one and with the open-loop optima.

    Args:
        iterations: of JFB from random weights; the recipe has 7000. The shipped one began from 1000 optima.
        anchors: optima that the second one begins with, a fifth more where it flies worst.
        fine: iterations of JFB from there.
        out_dir: where the pictures go.
        compile: compile the training step of the first, where there is a compiler.
    """
    problem = Quadrotor()
    config = dataclasses.replace(
        recipe("quadrotor", taught=False), iterations=iterations, validate_every=max(1, iterations // 20),
        compile=compile, out=out_dir / "random", fresh=True,
    )  # fmt: skip
    trained, history = train(problem, config)
    config = dataclasses.replace(
        config, anchor="multi", anchors=anchors, steps=None, width=32, iterations=fine, learning_rate=5e-4,
        validate_every=max(1, fine // 2), compile=False, out=out_dir / "anchored",
    )  # fmt: skip
    anchored, _ = train(problem, config)
    table = Table(title="quadrotor: 128 initial states; gap: mean cost above the mean of their open-loop optima")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    policies = {
        "from random weights": trained,
        "from optima": anchored,
        "shipped": ImplicitPolicy.load("quadrotor", device="cpu"),
    }
    flights = {name: measure(problem, policy, 128, 0) for name, policy in policies.items()}
    figures: dict[str, float] = {}
    for name, result in flights.items():
        s = result.summary()
        gap, rest = s["relative_gap_of_means"], ("cost_worst", "terminal_error_mean", "success_rate", "residual_max")
        table.add_row(name, f"{s['cost_mean']:.2f}", f"{gap:.2%}", *(f"{s[key]:.4g}" for key in rest))
        figures |= {"optimum": s["reference_mean"], f"{name} cost": s["cost_mean"], f"{name} gap": gap}
    table.add_row("open-loop optimum", f"{figures['optimum']:.2f}", "0.00%", "", "", "", "")
    trajectory_figure(problem, flights["from optima"], out_dir / "flights.png")
    history_figure(history, out_dir / "training.png", figures["optimum"])
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0))
    write_film(film(problem, anchored, z0.numpy()), out_dir / "quadrotor.gif", width=480)
    write_json(out_dir / "table.json", figures)
    console = PlainConsole(least=120)
    console.print(table)
    console.print(f"pictures: {out_dir}/flights.png, {out_dir}/training.png, {out_dir}/quadrotor.gif")
    console.print(
        f"above the optimum: {figures['from random weights gap']:.0%} after {iterations} iterations of JFB from random "
        f"weights, {figures['from optima gap']:.2%} from {anchors + max(1, anchors // 5)} optima and {fine} iterations"
    )
    return figures


if __name__ == "__main__":
    tyro.cli(main)
