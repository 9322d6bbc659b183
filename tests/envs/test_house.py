"""The rules of the house that a machine can check."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for room in ("envs", "controllers", "training", "tests", "demos") for path in (ROOT / room).rglob("*.py")]
LONG = {"controllers/export/numpy_runtime.py"}
"""Longer on purpose: ``pontryagin export --to numpy`` copies it as one file that needs nothing but NumPy."""


def lines_without_docstring(function):
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = function.body[0].end_lineno - function.body[0].lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_over_250_lines_and_no_function_over_50(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250 or path.relative_to(ROOT).as_posix() in LONG
    functions = [x for x in ast.walk(ast.parse(text)) if isinstance(x, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {f.name: n for f in functions if (n := lines_without_docstring(f)) > 50} == {}
