"""The whole story in five minutes: train through the implicit argmax, fly, and see how far from optimal it is.

Writes results/demo/: the policy, the learning curve, a figure of the flights, a GIF, and the table it prints.
"""

import dataclasses
import json
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from pontryagin import ImplicitPolicy, Quadrotor, evaluate, recipe, solve_reference, train
from pontryagin.training.pictures.film import film, write_film
from pontryagin.training.pictures.plots import history_figure, trajectory_figure


def main(time_budget: str = "2.5m", out: Path = Path("results/demo"), compile: bool = True) -> dict[str, float]:
    """Train a quadrotor controller for a few minutes and compare it with the shipped one and with the optimum.

    Args:
        time_budget: of training, after compilation (about a minute).
        out: where the pictures go.
        compile: compile the training step, where there is a compiler.
    """
    problem = Quadrotor()
    optimum = solve_reference(problem, torch.zeros(1, 12)).cost.item()
    config = dataclasses.replace(recipe("quadrotor"), time_budget=time_budget, compile=compile, out=out / "policy")
    trained, history = train(problem, config)
    z0 = problem.sample_initial_state(128, torch.Generator().manual_seed(0))
    table = Table(title="quadrotor: mean over 128 initial states, and the flight from the mean one, z0 = 0")
    for heading in (
        "controller",
        "cost",
        "worst",
        "terminal_error",
        "success",
        "argmax residual",
        "cost from z0 = 0",
        "/ optimum",
    ):
        table.add_column(heading, justify="right")
    figures = {"optimum": optimum}
    for name, policy in (("trained now", trained), ("shipped", ImplicitPolicy.load("quadrotor", device="cpu"))):
        result = evaluate(problem, policy, z0)
        s, single = result.summary(), evaluate(problem, policy, torch.zeros(1, 12)).cost.item()
        cells = [s["cost_mean"], s["cost_worst"], s["terminal_error_mean"], s["success_rate"], s["residual_max"]]
        table.add_row(name, *(f"{c:.4g}" for c in cells), f"{single:.3f}", f"{single / optimum:.3f}")
        figures |= {f"{name} cost": s["cost_mean"], f"{name} cost from 0": single}
    table.add_row("open-loop optimum", "", "", "", "", "", f"{optimum:.3f}", "1.000")
    trajectory_figure(problem, evaluate(problem, trained, z0), out / "flights.png")
    history_figure(history, out / "training.png", optimum)
    write_film(film(problem, trained, z0[:2].numpy()), out / "quadrotor.gif", width=480)
    (out / "table.json").write_text(json.dumps(figures, indent=2) + "\n")
    console = Console(width=max(Console().width, 120))
    console.print(table)
    console.print(f"pictures: {out}/flights.png, {out}/training.png, {out}/quadrotor.gif")
    return figures


if __name__ == "__main__":
    tyro.cli(main)
