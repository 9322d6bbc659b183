"""The rules of the house that a machine can check."""

import ast
import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    path
    for room in ("envs", "controllers", "training", "tests", "demos", "docs")
    for path in (ROOT / room).rglob("*.py")
]
LONG = {"controllers/export/numpy_runtime.py", "controllers/export/numpy_held.py"}
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


def calls(path):
    """``(name, line)`` of each function or method that is called, ``open`` with the mode that it is given."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            modes = [x.value for x in (*node.args, *(k.value for k in node.keywords)) if isinstance(x, ast.Constant)]
            modes = {str(mode) for mode in modes if re.fullmatch("[rwxabt+]{1,3}", str(mode))}
            yield (f"open {''.join(modes)}" if name == "open" else name), node.lineno


WRITES = {"write_text", "write_bytes", "savefig", "dump", "savez", "savez_compressed", "mimwrite", "imwrite", "mimsave"}
WRITERS = {
    "envs/files.py": {"open xb", "write_bytes", "write_text"},  # the place itself; a probe, and who holds a lock
    "controllers/export/numpy_weights.py": {"savez"},  # these five: to memory, or to a scratch folder
    "controllers/optimum/store.py": {"savez_compressed"},
    "docs/_ext/problem_pages.py": {"imwrite"},  # to memory
    "training/pictures/film.py": {"mimwrite"},
    "training/pictures/plots.py": {"savefig"},
    "training/console.py": {"open w"},  # the null device
    "training/theory/gradients.py": {"write_text"},  # to the kernel
}
"""What may write otherwise than by ``envs.files``, and how."""


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[len(ROOT.parts)] != "tests"], ids=lambda path: path.name)
def test_files_are_written_whole_and_one_console_prints(path):
    own = path.relative_to(ROOT).as_posix()
    found = {name for name, _ in calls(path) if name in WRITES or re.match("open .*[wxa+]", name)}
    assert found <= WRITERS.get(own, set()), f"{own} writes by {found}; expected replace_file or write_json"
    consoles = [line for name, line in calls(path) if name in ("Console", "get_console")]
    assert not consoles, f"{own} makes a Console in {consoles}; expected training.console.PlainConsole"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    shown = {
        a.name for x in ast.walk(tree) if isinstance(x, ast.ImportFrom) and x.module == "rich.progress" for a in x.names
    }
    bars = [
        x.lineno
        for x in ast.walk(tree)
        if isinstance(x, ast.Call)
        and getattr(x.func, "id", "") in shown & {"track", "Progress"}
        and "console" not in {keyword.arg for keyword in x.keywords}
    ]
    assert not bars, f"{own} has a bar in {bars} on a console of its own; expected console=PlainConsole()"


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_every_python_reads_the_sources(version):
    """With the interpreter where it is at hand, else by the grammar that this one knows of it."""
    sources = [str(path) for path in [*FILES, *(ROOT / ".ci").glob("*.py"), *ROOT.glob("*.py")]]
    for path in sources:
        ast.parse(Path(path).read_text(encoding="utf-8"), path, feature_version=tuple(map(int, version.split("."))))
    python = shutil.which(f"python{version}")
    if python and not subprocess.run([python, "-c", ""], capture_output=True).returncode:
        program = "import sys; [compile(open(path, encoding='utf-8').read(), path, 'exec') for path in sys.argv[1:]]"
        done = subprocess.run([python, "-c", program, *sources], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_oldest_versions_are_those_that_are_tested():
    """A lower bound of setup.cfg is the version of constraints-min.txt: of two bounds, the higher one."""
    if not (ROOT / "constraints-min.txt").exists():
        pytest.skip("an installed package")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    parts = [setup["options"]["install_requires"], *dict(setup["options.extras_require"]).values()]
    bounds = [re.match(r"([\w-]+)>=([\d.]+)", line.strip()) for part in parts for line in part.splitlines()]
    text = (ROOT / "constraints-min.txt").read_text(encoding="utf-8")
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)", text, re.MULTILINE)[::-1])

    def numbers(version):
        return [int(part) for part in version.split(".")]

    for name in {match[1] for match in bounds if match} - {"ray", "crazyflow"}:
        bound = max(numbers(match[2]) for match in bounds if match and match[1] == name)
        assert numbers(tested[name])[: len(bound)] == bound, f"{name}>={bound}, but {tested[name]} is tested"


def test_no_two_files_of_tests_have_one_name():
    """The folders of tests are no packages: of two modules with one name pytest imports the first alone."""
    names = [path.name for path in FILES if path.is_relative_to(ROOT / "tests") and path.name.startswith("test_")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
