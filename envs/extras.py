"""What an optional extra of the package brings, imported where it is used."""

from __future__ import annotations

import importlib
from types import ModuleType


def optional(module: str, extra: str) -> ModuleType:
    """Import a module of an optional extra.

    Raises:
        ImportError: if it is missing, with the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(f'{package} is missing ({error}): run `pip install "pontryagin[{extra}]"`') from error
