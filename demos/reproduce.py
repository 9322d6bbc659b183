"""The figures of README and of the pages, made again and held against those that are kept: ``make reproduce``.

A figure that has a tolerance must come out within it. One that has none comes from training, which differs from machine
to machine, or ends by the clock: kept and new are printed side by side, for a person to judge.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import tyro
from rich.table import Table

from pontryagin.envs.files import replace_file
from pontryagin.training.console import PlainConsole

ROOT = Path(__file__).resolve().parents[1]
OUT = "{out}"
"""Stands for the folder of the new figures in a command."""
HEADLINES = ("gap_mean", "gap_median", "gap_worst", "cost_mean", "mean", "worst")
"""Keys that are compared, wherever in a file they are."""


@dataclasses.dataclass(frozen=True)
class Repeat:
    """How a file of results/ is made.

    Attributes:
        command: of Python: a script and its options, or ``-m pontryagin`` and more; OUT where it writes.
        kept: the file below results/ that it makes; by ``--json``, what it prints.
        minutes: what it took on 2 shared cores of an AMD EPYC; None where nobody has looked.
        tolerance: largest difference of a figure, relative to the kept one; None where no such promise is made.
    """

    command: tuple[str, ...]
    kept: str
    minutes: float | None = None
    tolerance: float | None = None


def evaluation(*words: str, kept: str, minutes: float) -> Repeat:
    """A shipped policy from 128 initial states. The same weights and states: only rounding may differ."""
    return Repeat(("-m", "pontryagin", "evaluate", *words, "--states", "128", "--json"), kept, minutes, 0.01)


def script(name: str, *words: str, kept: str, minutes: float | None = None) -> Repeat:
    """A demo that takes ``--out-dir``."""
    return Repeat((f"demos/{name}.py", *words, "--out-dir", OUT), kept, minutes)


REPEATS = {
    "quadrotor": evaluation("quadrotor", kept="quadrotor/evaluation.json", minutes=0.3),
    "quadrotor_wide": evaluation("quadrotor_wide", kept="quadrotor_wide/evaluation.json", minutes=0.3),
    "quadrotor_narrow": evaluation(
        "quadrotor_wide", "--on", "quadrotor", kept="quadrotor_wide/evaluation_narrow.json", minutes=0.3
    ),
    "quadrotor_robust": evaluation("quadrotor_robust", kept="quadrotor_robust/evaluation.json", minutes=0.3),
    "bicycle5": evaluation("bicycle5", kept="bicycle5/evaluation.json", minutes=0.7),
    "crazyflie": evaluation("crazyflie", kept="crazyflie/evaluation.json", minutes=0.3),
    "anchors": script("anchors", "--time-budget", "1.5m", kept="anchors/curves.json"),
    "classical": script("classical", kept="classical/figures.json", minutes=1.5),
    "families": script("families", kept="families/families.json", minutes=2.4),
    "highway": script("external_highway", kept="external/highway.json"),
    "mujoco": script("external_mujoco", kept="external/mujoco.json"),
    "rocket": script("new_problem", kept="rocket/figures.json", minutes=3),
    "widths": script("widths", kept="widths/figures.json"),
    "diagnosis": Repeat(
        ("-m", "pontryagin", "diagnose", "quadrotor", "--out-dir", OUT), "diagnosis/quadrotor/diagnosis.json"
    ),
}
"""Name -> how its figures are made."""


def main(name: str = "", out: Path = Path("runs/reproduce")) -> list[tuple[str, float, float]]:
    """Make figures again, and compare them with those that are kept.

    Args:
        name: which; all names are listed unless given.
        out: a folder of that name in it gets the new files.
    """
    if name and name not in REPEATS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(REPEATS)}")
    if not name:
        print_list()
        return []
    repeat, folder = REPEATS[name], out.absolute() / name
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / Path(repeat.kept).name
    command = [sys.executable, *(str(folder) if word == OUT else word for word in repeat.command)]
    if "--json" in command:
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        replace_file(new, done.stdout)
    else:
        subprocess.run(command, cwd=ROOT, check=True)
    rows = compared(json.loads((ROOT / "results" / repeat.kept).read_text()), json.loads(new.read_text()))
    table = Table("figure", "kept", "now", title=f"{name}: results/{repeat.kept}")
    for key, kept, now in rows:
        table.add_row(key, f"{kept:.6g}", f"{now:.6g}")
    PlainConsole(least=100).print(table)
    astray = outside(rows, repeat.tolerance)
    if astray:
        raise SystemExit(f"{', '.join(astray)} of {name} differ by more than {repeat.tolerance:.0%}")
    return rows


def print_list() -> None:
    """Every name with its command, minutes and tolerance."""
    table = Table("name", "command", "minutes", "within", "results/")
    for name, repeat in REPEATS.items():
        words = " ".join(repeat.command).replace("-m pontryagin", "pontryagin")
        minutes = "-" if repeat.minutes is None else f"{repeat.minutes:g}"
        within = "-" if repeat.tolerance is None else f"{repeat.tolerance:.0%}"
        table.add_row(name, words, minutes, within, repeat.kept)
    PlainConsole(least=140).print(table)


def compared(kept: object, now: object, path: str = "") -> list[tuple[str, float, float]]:
    """``(key, kept, now)`` of each headline in both."""
    if not (isinstance(kept, dict) and isinstance(now, dict)):
        return []
    rows = []
    for key in kept:
        if key in now and key in HEADLINES and isinstance(kept[key], float) and isinstance(now[key], float):
            rows.append((path + key, kept[key], now[key]))
        elif key in now:
            rows += compared(kept[key], now[key], f"{path}{key}/")
    return rows


def outside(rows: list[tuple[str, float, float]], tolerance: float | None) -> list[str]:
    """Keys of the figures that are not within the tolerance; nothing to compare is as bad."""
    if tolerance is None:
        return []
    return [key for key, kept, now in rows if not abs(now - kept) <= tolerance * abs(kept)] or ["no figures"] * (
        not rows
    )


if __name__ == "__main__":
    tyro.cli(main)
