"""The pages of the command line, from what tyro prints for --help; and of TrainConfig, from its fields.

docs/generated/commands/NAME.md
docs/generated/tables/train_config.md
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import os
import re
import textwrap
from pathlib import Path

from generated import FOLDER, table, write_pages
from sphinx.application import Sphinx

from pontryagin import TrainConfig
from pontryagin.training.commands.cli import _commands, main

COLUMNS = "88"


def helped(name: str) -> str:
    """What ``pontryagin NAME --help`` prints, without colours and at one width."""
    told = {"COLUMNS": COLUMNS, "NO_COLOR": "1", "TERM": "dumb"}
    kept = {key: os.environ.get(key) for key in told}
    os.environ.update(told)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([name, "--help"])
    finally:
        for key, value in kept.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
    return re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue()).rstrip()


def page(name: str) -> str:
    return f"# pontryagin {name}\n\n```text\n{helped(name)}\n```\n"


def documented(kind: type) -> dict[str, str]:
    """Field -> the text below it, in ``kind`` and what it inherits from."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
        for field, text in zip(body, body[1:], strict=False):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def fields_table(config: type) -> str:
    """Name, default and meaning of each field of a dataclass.

    Raises:
        ValueError: if a field has no text.
    """
    words = documented(config)
    missing = [f.name for f in dataclasses.fields(config) if f.name not in words]
    if missing:
        raise ValueError(f"{config.__name__} has fields without a text: {missing}")
    rows = [(f"`{f.name}`", f"`{f.default!r}`", words[f.name]) for f in dataclasses.fields(config)]
    return table(("field", "default", "meaning"), rows)


def write(app: Sphinx, config: object) -> None:
    write_pages(Path(app.srcdir, FOLDER, "commands"), {name: page(name) for name in _commands(TrainConfig())})
    folder = Path(app.srcdir, FOLDER, "fields")
    write_pages(folder, {"train_config": fields_table(TrainConfig)})


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
