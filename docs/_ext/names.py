"""The tables of all names: that of the site and that of README. Nothing here needs Sphinx."""

from __future__ import annotations

import configparser
from pathlib import Path

from generated import FOLDER, table

from pontryagin import ImplicitPolicy
from pontryagin.envs.catalog import PROBLEMS
from pontryagin.envs.registration import ENVIRONMENTS

ROOT = Path(__file__).resolve().parents[2]


def names_table() -> str:
    """One table of all names: environment id, class, command-line name, checkpoint."""
    ids: dict[str, list[str]] = {}
    for identity, short in ENVIRONMENTS.items():
        ids.setdefault(short, []).append(f"`{identity}`")
    rows = []
    for name, (kind, _) in PROBLEMS.items():
        ships = "yes" if (ROOT / "checkpoints" / name).is_dir() else ""
        link = f"[`{name}`](/{FOLDER}/environments/{name}.md)"
        rows.append((link, ", ".join(ids.get(name, [])), f"`{kind.__name__}`", ships))
    return table(("command line", "environment id", "class", "a policy ships"), rows)


def short_names() -> str:
    """The table of README: a class in a row, three names at most; in bold where a policy of that name ships."""
    kinds: dict[str, list[str]] = {}
    for name, (kind, _) in PROBLEMS.items():
        kinds.setdefault(kind.__name__, []).append(name)
    rows = []
    for kind, names in kinds.items():
        for part in (names[i : i + 3] for i in range(0, len(names), 3)):
            ids = [identity for identity, short in ENVIRONMENTS.items() if short in part]
            told = [f"**`{n}`**" if (ROOT / "checkpoints" / n).is_dir() else f"`{n}`" for n in part]
            rows.append((f"`{kind}`", ", ".join(told), ", ".join(f"`{i[11:-3]}`" for i in ids)))
    return table(("class", "command line, checkpoint", "environment id: `pontryagin/..-v0`"), rows)


def ships_table() -> str:
    """The policies that ship: their problem, the Hamiltonian that they maximise, the size of their files."""
    rows = []
    for folder in sorted(path.parent for path in (ROOT / "checkpoints").glob("*/policy.json")):
        policy = ImplicitPolicy.load(folder.name, device="cpu")
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1000
        rows.append((f"`{folder.name}`", f"`{type(policy.problem).__name__}`", policy.hamiltonian, f"{size:.0f}"))
    return table(("ships as", "class", "Hamiltonian", "kB"), rows)


def extras_table() -> str:
    """What each extra of setup.cfg installs."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    rows = []
    for extra, text in setup["options.extras_require"].items():
        packages = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
        rows.append((f"`{extra}`", ", ".join(f"`{package}`" for package in packages)))
    return table(("extra", "installs"), rows)
