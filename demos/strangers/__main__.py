"""The strangers by ``solve`` with its defaults, row by row as the gallery: ``python -m pontryagin.demos.strangers``."""

from pathlib import Path
from typing import Annotated

import tyro

from pontryagin.training.console import one_sentence

from ..gallery import measured
from . import STRANGERS


def main(
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = tuple(STRANGERS), seed: int = 0, time_budget: str = "5m",
    states: int = 64, out: Path = Path("results/strangers"), fresh: bool = False,
) -> list[dict[str, object]]:  # fmt: skip
    """Solve the held-out problems with no option; rows that are there already are not made again.

    Args:
        names: which of them.
        seed: of the fresh states.
        time_budget: for each.
        states: fresh states.
        out: where rows, NAME-SEED.json, and the figure go.
        fresh: make the rows of these names again.

    Raises:
        ValueError: if a name is none of theirs.
    """
    unknown = [name for name in names if name not in STRANGERS]
    if unknown:
        raise ValueError(f"no stranger is called {', '.join(unknown)}; expected some of {', '.join(STRANGERS)}")
    return measured({name: STRANGERS[name]() for name in names}, (seed,), time_budget, states, out, fresh)


if __name__ == "__main__":
    with one_sentence():
        tyro.cli(main)
