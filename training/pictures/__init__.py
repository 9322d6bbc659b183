"""Figures and films of what was trained and flown."""

from .film import film, write_film
from .paths import ACCENT, FEW, INK, SOFT, Array
from .plots import history_figure, plain_ticks, save_figure, tidy, trajectory_figure
from .side_by_side import side_by_side

__all__ = [
    "ACCENT",
    "Array",
    "FEW",
    "INK",
    "SOFT",
    "film",
    "history_figure",
    "plain_ticks",
    "save_figure",
    "side_by_side",
    "tidy",
    "trajectory_figure",
    "write_film",
]
