"""The whole story in a few minutes: begin with open-loop optima, train through the implicit argmax, fly.

All of it is counted in optima and iterations, none in minutes: a slow machine ends where a fast one does, only later.
Writes results/demo/: the policy, the learning curve, a figure of the flights, a GIF, and the table it prints.
"""

import dataclasses
import json
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from pontryagin import ImplicitPolicy, Quadrotor, recipe, train
from pontryagin.training.commands.evaluate import measure
from pontryagin.training.pictures.film import film, write_film
from pontryagin.training.pictures.plots import history_figure, trajectory_figure

HEADINGS = ("controller", "mean cost", "gap", "worst cost", "terminal error", "success", "argmax residual")


def main(
    anchors: int = 128, iterations: int = 200, out_dir: Path = Path("results/demo"), compile: bool = True
) -> dict[str, float]:
    """Train a quadrotor controller and compare it with the shipped one and with the open-loop optima.

    Args:
        anchors: optima that phi begins with, as expansions about them.
        iterations: of JFB, from there.
        out_dir: where the pictures go.
        compile: compile the training step, where there is a compiler.
    """
    problem = Quadrotor()
    config = dataclasses.replace(
        recipe("quadrotor"), anchor="multi", anchors=anchors, anchor_rounds=0, processes=2, steps=None, width=32,
        iterations=iterations, learning_rate=5e-4, validate_every=max(1, iterations // 10), compile=compile,
        out=out_dir / "policy",
    )  # fmt: skip
    trained, history = train(problem, config)
    table = Table(title="quadrotor: 128 initial states; gap: mean cost above the mean of their open-loop optima")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    policies = {"trained now": trained, "shipped": ImplicitPolicy.load("quadrotor", device="cpu")}
    flights = {name: measure(problem, policy, 128, 0) for name, policy in policies.items()}
    figures: dict[str, float] = {}
    for name, result in flights.items():
        s = result.summary()
        gap, rest = s["relative_gap_of_means"], ("cost_worst", "terminal_error_mean", "success_rate", "residual_max")
        table.add_row(name, f"{s['cost_mean']:.2f}", f"{gap:.2%}", *(f"{s[key]:.4g}" for key in rest))
        figures |= {"optimum": s["reference_mean"], f"{name} cost": s["cost_mean"], f"{name} gap": gap}
    table.add_row("open-loop optimum", f"{figures['optimum']:.2f}", "0.00%", "", "", "", "")
    trajectory_figure(problem, flights["trained now"], out_dir / "flights.png")
    history_figure(history, out_dir / "training.png", figures["optimum"])
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0))
    write_film(film(problem, trained, z0.numpy()), out_dir / "quadrotor.gif", width=480)
    (out_dir / "table.json").write_text(json.dumps(figures, indent=2) + "\n")
    console = Console(width=max(Console().width, 120))
    console.print(table)
    console.print(f"pictures: {out_dir}/flights.png, {out_dir}/training.png, {out_dir}/quadrotor.gif")
    console.print(
        f"{figures['trained now gap']:.2%} above the optimum after {iterations} iterations of JFB from {anchors} optima"
    )
    return figures


if __name__ == "__main__":
    tyro.cli(main)
