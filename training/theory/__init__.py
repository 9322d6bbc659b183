"""The claims of the talk, measured: gradients compared, assumptions diagnosed."""

from .compare import PARTS, compare_gradients
from .compare_config import CompareConfig
from .compare_file import Result
from .compare_plots import compare_figures
from .diagnose import choices, diagnose
from .diagnose_report import print_diagnosis, record_text, write_diagnosis

__all__ = [
    "CompareConfig",
    "PARTS",
    "Result",
    "choices",
    "compare_figures",
    "compare_gradients",
    "diagnose",
    "print_diagnosis",
    "record_text",
    "write_diagnosis",
]
