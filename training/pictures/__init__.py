"""Figures and films of what was trained and flown."""

from .document import document, figure, sort_key, table
from .film import film, write_film
from .gaps import draw_gallery, draw_gaps, draw_networks, draw_sweeps
from .paths import ACCENT, FEW, INK, SOFT, Array
from .plots import history_figure, plain_ticks, save_figure, tidy, trajectory_figure
from .side_by_side import path_frames, side_by_side

__all__ = [
    "ACCENT",
    "Array",
    "FEW",
    "INK",
    "SOFT",
    "document",
    "draw_gallery",
    "draw_gaps",
    "draw_networks",
    "draw_sweeps",
    "figure",
    "film",
    "history_figure",
    "path_frames",
    "plain_ticks",
    "save_figure",
    "side_by_side",
    "sort_key",
    "table",
    "tidy",
    "trajectory_figure",
    "write_film",
]
