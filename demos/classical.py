"""Classical controllers beside the implicit ones, on the same initial states, against the open-loop optimum.

Writes a table and a figure of the gaps to results/classical/.
"""

from pathlib import Path

import matplotlib.figure
import torch
import tyro
from rich.table import Table

import pontryagin
from pontryagin.envs.files import write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.plots import save_figure, tidy


def main(states: int = 128, mpc_states: int = 16, seed: int = 0, out_dir: Path = Path("results/classical")) -> dict:
    """LQR at hover, time-varying LQR about one optimum, receding-horizon MPC, and the shipped policies.

    Args:
        states: initial states of the quadrotor; the optimum is solved for each.
        mpc_states: of them, how many MPC flies.
        seed: of the draw.
        out_dir: where the figure and the table go.
    """
    problem = pontryagin.Quadrotor()
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(seed))
    optimum = pontryagin.solve_reference(problem, z0)
    nominal = pontryagin.solve_reference(problem, torch.zeros(1, problem.state_dim))
    controllers = {
        "LQR at hover": pontryagin.LinearQuadraticRegulator(problem),
        "LQR along one optimum": pontryagin.TimeVaryingLQR(problem, nominal),
        "MPC (replans at every step)": pontryagin.RecedingHorizon(problem),
        "1000 optima, distilled + JFB": pontryagin.ImplicitPolicy.load("quadrotor", device="cpu"),
        "4000 optima, distilled + JFB": pontryagin.ImplicitPolicy.load("quadrotor_wide", device="cpu"),
    }
    table = Table(title=f"quadrotor, {states} initial states, optimum {float(optimum.cost.mean()):.4f}")
    for heading in (
        "controller",
        "states",
        "mean gap",
        "median gap",
        "worst gap",
        "worst terminal error",
        "ms per answer",
    ):
        table.add_column(heading, justify="left" if heading == "controller" else "right")
    figure = matplotlib.figure.Figure(figsize=(9.5, 4.5), layout="constrained")
    axis, figures, within = figure.subplots(), {}, {}
    for name, controller in controllers.items():
        count = min(mpc_states, states) if name.startswith("MPC") else states
        result = pontryagin.evaluate(problem, controller, z0[:count], optimum.cost[:count])
        s, gap = result.summary(), result.gap
        cells = [f"{100 * s[key]:.3g} %" for key in ("gap_mean", "gap_median", "gap_worst")]
        table.add_row(name, str(count), *cells, f"{s['terminal_error_worst']:.3f}", f"{s['latency_ms']:.2f}")
        share = (torch.arange(count) + 1) / count
        axis.semilogx(100 * gap.clamp_min(1e-6).sort().values, share, lw=2, label=name)
        figures[name], within[name] = s, float((gap <= 0.01).float().mean())
    taught, linear = within["1000 optima, distilled + JFB"], within["LQR along one optimum"]
    axis.axvline(1.0, color="0.6", linestyle="--", linewidth=1)
    axis.set(xlabel="cost above the optimum, %", ylabel="share of the initial states")
    axis.set_title(
        f"Quadrotor: within 1 % of the optimum from {100 * taught:.0f} % of the states; "
        f"LQR along one optimum from {100 * linear:.0f} %",
        loc="left",
        fontsize=11,
    )
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(figure)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_figure(figure, out_dir / "gaps.png")
    write_json(out_dir / "figures.json", figures)
    PlainConsole(least=110).print(table)
    return figures


if __name__ == "__main__":
    tyro.cli(main)
