"""What ``solve --network`` leaves to be exported: its gap beside that of the policy it was taught by.

Each result is kept in results/networks/NAME.json and not made again; the figure is of all of them.
"""

import time
from pathlib import Path
from typing import Any

import tyro

from pontryagin import make_problem, solve
from pontryagin.demos.strangers import STRANGERS
from pontryagin.envs.files import read_json, write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.evaluate import gap_figures
from pontryagin.training.pictures import draw_networks, save_figure

NAMES = ("rocket", "cartpole", "pendulum", "crazyflie", "car", "moon", "arm", "quad", "slew", "stall")
WAYS = {"linear feedback along one optimum": "linear", "network, to be exported": "network", "policy": "policy"}


def main(
    problems: tuple[str, ...] = NAMES, time_budget: str = "2m", network: str = "2m", states: int = 64,
    out_dir: Path = Path("results/networks"),
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Solve problems, on one core, and teach a network what was found.

    Args:
        problems: names as `pontryagin solve` takes them, or of strangers.
        time_budget: of `solve`, for each.
        network: of the lessons, for each.
        states: fresh states on which both are measured.
        out_dir: where figures and data go.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    for name in problems:
        file = out_dir / f"{name.replace(':', '.')}.json"
        if file.exists():
            continue
        problem = STRANGERS[name]() if name in STRANGERS else make_problem(name)
        begin = time.perf_counter()
        found = solve(problem, time_budget, states=states, network=network)
        figures = {WAYS[way]: gap_figures(gap) for way, gap in found.gaps.items()}
        facts = {"known": int(found.optima.converged.sum()), "states": states, "seconds": time.perf_counter() - begin}
        write_json(file, figures | facts)
        row = ", ".join(f"{way} {x['mean']:.2%} (worst {x['worst']:.1%})" for way, x in figures.items())
        PlainConsole().print(f"{name}: {row}", highlight=False)
    told = {file.stem: read_json(file) for file in sorted(out_dir.glob("*.json"))}
    save_figure(draw_networks(told), out_dir / "networks.png")
    return told


if __name__ == "__main__":
    tyro.cli(main)
