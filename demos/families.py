"""What the held Hamiltonian and a choice of families are worth, before any training: five bicycles by default.

Flies expansions about 1, 2, 4, .. optima from the mean initial state three ways: by the linear feedback of the family
with the least expected cost, by argmax H_dt, and by argmax of the continuous H. Writes results/families/.
"""

import json
from pathlib import Path

import matplotlib.figure
import tyro
from rich.console import Console
from rich.table import Table

from pontryagin import ExpandedValue, ImplicitPolicy, make_problem
from pontryagin.controllers.optimum import expand_agents
from pontryagin.training.commands.evaluate import measure
from pontryagin.training.start.expansion import choose, families

WAYS = {"linear feedback": "C7", "argmax H_dt": "C0", "argmax H": "C3"}


def main(
    problem: str = "bicycle5", candidates: int = 24, members: tuple[int, ...] = (1, 2, 4, 8, 16), states: int = 128,
    processes: int = 1, out_dir: Path = Path("results/families"),
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Fly expansions about a few optima, untrained, and compare them with the stored optima.

    Args:
        problem: whose optima are stored.
        candidates: initial states that lead to families.
        members: how many of them are kept at most, one row each.
        states: initial states of the flights.
        processes: optima sought at a time.
        out_dir: where the figure and the data go.
    """
    made = make_problem(problem)
    known = families(made, candidates, processes)
    whole = expand_agents(made, known)
    table = Table(
        "families", "way", "gap, mean", "median", "worst", title=f"{problem}: {len(known.cost)} families found"
    )
    figures: dict[str, dict[str, float]] = {}
    for count in members:
        value = ExpandedValue(made, choose(made, whole, count)).double()
        flown = {
            "linear feedback": value.feedback,
            "argmax H_dt": ImplicitPolicy(made, value, max_iterations=5, hamiltonian="held"),
            "argmax H": ImplicitPolicy(made, value),
        }
        for way, controller in flown.items():
            s = measure(made, controller, states, 0).summary()
            row = {key: s[f"gap_{key}"] for key in ("mean", "median", "worst")}
            table.add_row(str(count), way, *(f"{x:.2%}" for x in row.values()))
            figures[f"{count} {way}"] = row
    Console().print(table)
    figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for way, color in WAYS.items():
        for key, dash in (("mean", "o-"), ("worst", "o:")):
            gaps = [100 * figures[f"{count} {way}"][key] for count in members]
            axis.loglog(members, gaps, dash, color=color, label=f"{way}, {key}")
    axis.set(xlabel="families to choose from", ylabel="gap, %", title="Choosing the family is most of it")
    axis.set_xticks(members, [str(count) for count in members])
    axis.minorticks_off()
    axis.legend(frameon=False)
    out_dir.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_dir / "families.png", dpi=130)
    (out_dir / "families.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


if __name__ == "__main__":
    tyro.cli(main)
