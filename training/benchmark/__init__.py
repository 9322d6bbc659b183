"""The implicit controller against reinforcement learning and classical control, on the same environments."""

from .benchmark import benchmark
from .config import BenchmarkConfig
from .film import benchmark_film
from .page import write_report
from .plots import benchmark_figures
from .run import Record, evaluation_states, known_optima
from .table import HEADINGS, markdown, rows
from .tuning import TuneConfig, tune

__all__ = [
    "BenchmarkConfig",
    "HEADINGS",
    "Record",
    "TuneConfig",
    "benchmark",
    "benchmark_figures",
    "benchmark_film",
    "evaluation_states",
    "known_optima",
    "markdown",
    "rows",
    "tune",
    "write_report",
]
