"""The house: imports go downwards from room to room, and no room is left out of the wheel."""

import ast
import configparser
from pathlib import Path

import pytest

import pontryagin

ROOT = Path(pontryagin.__file__).resolve().parent
LEVELS = (
    ("envs",),
    (
        *("controllers/anderson", "controllers/hamiltonian", "controllers/looking", "controllers/matrix_free"),
        *("controllers/operators", "controllers/starts"),
    ),
    ("controllers/argmax", "controllers/implicit", "controllers/search"),
    ("controllers/optimum",),
    ("controllers/value",),
    ("controllers",),
    ("controllers/plants", "controllers/baselines"),
    ("controllers/export",),
    (
        "training/rules",
        "training/duration",
        "training/console",
        "training/config_model",
        "training/config_descent",
        "training/words",
    ),
    ("training/parallel",),
    ("training/config", "training/recipes", "training/schedule", "training/soap"),
    ("training/start",),
    ("training",),
    ("training/pictures",),
    ("training/theory", "training/benchmark"),
    ("training/commands",),
)
"""A room, or some modules of one, imports from its own level and from those above it in this list."""
RANK = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
HEAVY = {
    "casadi", "crazyflow", "highway_env", "jax", "mujoco", "onnx", "onnxruntime", "optuna", "pygame", "ray",
    "sb3_contrib", "stable_baselines3", "vehiclemodels",
}  # fmt: skip


def rank(module):
    """The level of ``controllers/value/network``: that of the longest name in the list that it begins with."""
    parts = module.split("/")
    names = ("/".join(parts[:k]) for k in range(len(parts), 0, -1))
    return next(RANK[name] for name in names if name in RANK)


def modules():
    return [path for top in ("envs", "controllers", "training") for path in sorted((ROOT / top).rglob("*.py"))]


def imports(path):
    """``controllers/value`` or ``envs/problem`` for each relative import."""
    folder = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder[: len(folder) - node.level + 1]
            yield "/".join((*base, *(node.module or "").split("."))).strip("/")


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_down_and_heavy_ones_stay_inside(path):
    own = path.relative_to(ROOT).with_suffix("").as_posix()
    for target in imports(path):
        assert rank(target) <= rank(own), f"{own} imports {target}, which stands above it"
        room = "/".join(target.split("/")[:2])
        deep = target.count("/") == 2 and not own.startswith(room + "/")
        assert not deep, f"{own} imports {target}; expected what {room}/__init__.py offers"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        assert not HEAVY & {name.split(".")[0] for name in names}, f"{own} imports {names} at module level"


def test_every_room_says_what_it_is_for_and_is_in_the_wheel():
    rooms = {path.parent for path in modules()}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    if setup.has_section("options"):  # a checkout; an installed package is what its wheel held
        listed = setup["options"]["packages"].split()
        assert set(listed) == {".".join(("pontryagin", *room.relative_to(ROOT).parts)) for room in rooms | {ROOT}}
    for room in rooms:
        doc = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
        assert doc and "\n" not in doc, f"{room} does not say in one sentence what it is for"


def test_the_mirror_of_the_rooms():
    """tests/ has a folder for each room, and nothing but them and what tests share."""
    tests = Path(__file__).resolve().parent.parent
    names = {room.name for room in {path.parent for path in modules()}} | {"demos", "docs"}
    assert {folder.name for folder in tests.iterdir() if folder.is_dir() and folder.name[0] not in "._"} == names
