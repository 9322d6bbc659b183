"""Every figure of results/ that is drawn from numbers kept beside it, drawn again: ``make figures``. None is measured.

The others show flights, or end a measurement; ``demos/reproduce.py`` and the command beside each make them again.
"""

import csv
from pathlib import Path

import tyro

from pontryagin.envs.files import read_json
from pontryagin.training.checkpoint import History
from pontryagin.training.commands.benchmark import write_results
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures import draw_gallery, draw_networks, draw_sweeps, history_figure, save_figure
from pontryagin.training.theory import compare_figures


def main(results: Path = Path("results"), out: Path | None = None) -> list[Path]:
    """Draw benchmarks, gradients, the gallery and the curves of training again.

    Args:
        results: the folder that has the numbers.
        out: where the figures go; beside the numbers unless given.
    """
    drawn: list[Path] = []

    def place(folder: Path) -> Path:
        found = folder if out is None else out / folder.relative_to(results)
        found.mkdir(parents=True, exist_ok=True)
        return found

    for folder in sorted({file.parent for file in results.glob("benchmark/*/*-[0-9]*.json")}):
        records = [read_json(file) for file in sorted(folder.glob("*-[0-9]*.json"))]
        if all("cost" in record or "failed" in record for record in records):
            drawn += write_results(folder.name, records, place(folder), film=False)
    for file in sorted(results.glob("gradients/*/compare.json")):
        drawn += compare_figures(read_json(file), file.parent.name, place(file.parent))
    for room in ("gallery", "strangers"):
        rows = [read_json(file) for file in sorted(results.glob(f"{room}/*-*.json"))]
        if rows:
            drawn.append(save_figure(draw_gallery(rows), place(results / room) / "gallery.png"))
    for file in results.glob("sweeps/sweeps.json"):
        drawn.append(save_figure(draw_sweeps(read_json(file)), place(file.parent) / "sweeps.png"))
    told = {file.stem: read_json(file) for file in sorted(results.glob("networks/*.json"))}
    if told:
        drawn.append(save_figure(draw_networks(told), place(results / "networks") / "networks.png"))
    for file in sorted(results.glob("*/log.csv")):
        with file.open(encoding="utf-8") as lines:
            history = History([{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)])
        if file.with_name("history.png").exists():
            drawn.append(history_figure(history, place(file.parent) / "history.png"))
    for path in drawn:
        PlainConsole().print(str(path), highlight=False)
    return drawn


if __name__ == "__main__":
    tyro.cli(main)
