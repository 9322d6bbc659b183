"""A GPU in eight minutes: does it compute what the CPU does, how fast, and how soon is a policy good?

Needs no more than `import pontryagin` does. Writes results/gpu/. With --device cpu --quick the same parts run on a CPU,
smaller, in a minute or two.
"""

import math
import platform
import re
import time
from pathlib import Path

import matplotlib.figure
import torch
import tyro
from rich.table import Table

from pontryagin.envs.compiling import device_named
from pontryagin.envs.files import write_json
from pontryagin.training.benchmark.device_speed import PARTS, Timer
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures import save_figure

BUDGET = 480.0
"""Seconds of the whole; a part that would begin later is left out, and said to be."""


def main(
    device: str = "auto", quick: bool = False, parts: tuple[str, ...] = tuple(p.__name__ for p in PARTS),
    out_dir: Path = Path("results/gpu"),
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Run the parts, one after the other; write the table as JSON after each, and the figure at the end.

    Args:
        device: of torch; auto is CUDA where there is one.
        quick: small, and few of each: to see that all runs.
        parts: which, in this order.
        out_dir: where results go.
    """
    found, begin, console = device_named(device), time.perf_counter(), PlainConsole(least=100)
    card = torch.cuda.get_device_name(found) if found.type == "cuda" else platform.machine()
    about = {"device": card, "torch": torch.__version__, "quick": quick, "date": time.strftime("%F")}
    figures: dict[str, dict[str, float]] = {}
    table = Table("part", "what", "figure", title=card)
    for part in (p for p in PARTS if p.__name__ in parts):
        if (gone := time.perf_counter() - begin) > BUDGET:
            figures[part.__name__] = {"left out: the time was over, s": gone}
            continue
        rows = figures[part.__name__] = {}
        try:
            for name, x in part(Timer(found, 2 if quick else 10), quick):
                rows[name] = x
                table.add_row(part.__name__, name, f"{x:.4g}")
                console.print(
                    f"{time.perf_counter() - begin:5.0f} s  {part.__name__}: {name}: {x:.4g}", highlight=False
                )
        except Exception as error:  # the next part may do
            rows[f"{type(error).__name__}: {str(error)[:300]}"] = float("nan")
            console.print(f"{part.__name__} ended with {type(error).__name__}: {error}", highlight=False)
        write_json(out_dir / "gpu.json", {"about": about, "seconds": time.perf_counter() - begin, **figures})
    console.print(table)
    save_figure(draw(figures, card), out_dir / "gpu.png")
    return figures


def draw(figures: dict[str, dict[str, float]], card: str) -> matplotlib.figure.Figure:
    """Steps a second and milliseconds by how many there are at once, and the curves of training."""
    figure = matplotlib.figure.Figure(figsize=(12, 4), layout="constrained")
    rate, spent, curve = figure.subplots(1, 3)
    for part, axis, pattern in (
        ("environments", rate, r"steps/s (?P<name>.*), (?P<x>[\d,]+) copies"),
        ("argmaxima", spent, r"(?P<name>ms) for (?P<x>[\d,]+) argmaxima"),
        ("iterations", spent, r"(?P<name>.*), batch (?P<x>[\d,]+)(, compiled)?, ms"),
        ("curves", curve, r"(?P<name>.*), validation cost at (?P<x>[\d.]+) s"),
    ):
        lines: dict[str, list[tuple[float, float]]] = {}
        for key, y in figures.get(part, {}).items():
            if found := re.fullmatch(pattern, key):
                name = "argmax H" if part == "argmaxima" else found["name"]
                lines.setdefault(name, []).append((float(found["x"].replace(",", "")), y))
        for name, points in lines.items():
            axis.loglog(*zip(*points, strict=True), "o-", ms=3, label=name)
    most = max((y for k, y in figures.get("environments", {}).items() if "device" in k), default=math.nan)
    for axis, title, label in (
        (rate, f"{most:.2g} environment steps a second", "copies"),
        (spent, "milliseconds by batch", "at once"),
        (curve, "validation cost by the clock", "seconds"),
    ):
        axis.set_title(title)
        axis.set_xlabel(label)
        if axis.lines:
            axis.legend(frameon=False, fontsize=8)
    figure.suptitle(card)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
