"""What the held Hamiltonian and a choice of families are worth, before any training: five bicycles by default.

Flies expansions about 1, 2, 4, .. optima from the mean initial state three ways: by the linear feedback of the family
with the least expected cost, by argmax H_dt, and by argmax of the continuous H. Writes results/families/.
"""

from pathlib import Path

import matplotlib.figure
import torch
import tyro
from rich.table import Table

from pontryagin import ExpandedValue, ImplicitPolicy, evaluate, make_problem
from pontryagin.controllers.optimum import expand_agents, known_reference
from pontryagin.envs.files import write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures import save_figure
from pontryagin.training.start.expansion import choose, families

STORED = 128
"""Initial states whose optima are stored."""
DRAWN = {"linear feedback": "C1", "argmax H_dt": "C0"}  # argmax H spins: a hundred thousand times higher


def main(
    problem: str = "bicycle5", candidates: int = 24, members: tuple[int, ...] = (1, 2, 4, 8, 16), states: int = 128,
    out_dir: Path = Path("results/families"),
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Fly expansions about a few optima, untrained, and compare them with the stored optima.

    Args:
        problem: whose optima are stored.
        candidates: initial states that lead to families.
        members: how many of them are kept at most, one row each.
        states: initial states of the flights, at most STORED.
        out_dir: where the figure and the data go.
    """
    made = make_problem(problem)
    z0 = made.sample_initial_state(STORED, torch.Generator().manual_seed(0))[:states]
    best = known_reference(made, z0)
    if best is None:
        raise ValueError(f"no optima are stored: `pontryagin reference {problem} --states {STORED}` first")
    known = families(made, candidates)
    whole = expand_agents(made, known)
    probes = made.sample_initial_state(256, torch.Generator().manual_seed(1)).double()
    table = Table(
        "families", "way", "gap, mean", "median", "worst", title=f"{problem}: {len(known.cost)} families found"
    )
    figures: dict[str, dict[str, float]] = {}
    for count in members:
        value = ExpandedValue(made, choose(made, whole, probes, count)).double()
        flown = {
            "linear feedback": value.feedback,
            "argmax H_dt": ImplicitPolicy(made, value, max_iterations=5, hamiltonian="held"),
            "argmax H": ImplicitPolicy(made, value),
        }
        for way, controller in flown.items():
            s = evaluate(made, controller, z0, best.cost).summary()
            row = {key: s[f"gap_{key}"] for key in ("mean", "median", "worst")}
            table.add_row(str(count), way, *(f"{x:.2%}" for x in row.values()))
            figures[f"{count} {way}"] = row
    PlainConsole().print(table)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_figure(draw(figures, members), out_dir / "families.png")
    write_json(out_dir / "families.json", figures)
    return figures


def draw(figures: dict[str, dict[str, float]], members: tuple[int, ...]) -> matplotlib.figure.Figure:
    """The gaps over the number of families."""
    figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for way, color in DRAWN.items():
        for key, dash in (("worst", "s:"), ("mean", "o-")):
            gaps = [100 * figures[f"{count} {way}"][key] for count in members]
            axis.plot(members, gaps, dash, color=color, label=f"{way}, {key}", alpha=0.8)
    title = "Untrained: what one expansion leaves is mostly the choice of family"
    axis.set(xscale="log", ylim=(0, None), xlabel="families of routes to choose from", ylabel="gap, %", title=title)
    axis.set_xticks(members, [str(count) for count in members])
    axis.minorticks_off()
    axis.legend(frameon=False)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
