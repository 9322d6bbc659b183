"""Whatever the user flies, by one word: a policy's folder, an agent of Stable-Baselines3, or a function of her own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..controllers.adapter import ControllerPolicy, Predictor
from ..controllers.baselines import ActorPolicy, AgentPolicy, DirectPolicy, check_algorithm
from ..controllers.observer import Observer
from ..controllers.policy import SHIPPED, ImplicitPolicy
from ..controllers.storage import read_store
from ..envs.catalog import make_problem
from ..envs.files import sha256
from ..envs.problem import Problem
from ..envs.states import as_numbers
from .checkpoint import import_class

BEHIND = "observer:"
"""Before the word for a controller: the same behind an ``Observer``."""


def load_controller(
    source: str | Path,
    problem: Problem | str | None = None,
    algorithm: str | None = None,
    vecnormalize: str | Path | None = None,
) -> Predictor:
    """The controller called ``source``, on the CPU; its ``problem`` is what it flies.

    Args:
        source: a folder that ``save`` wrote (of an ``ImplicitPolicy``, a ``DirectPolicy`` or an ``ActorPolicy``), a
            shipped name, a zip of Stable-Baselines3 or sb3-contrib (**a pickle: loading it runs its author's code**),
            or ``module:function`` of a controller (t, z) -> u; of a class, what it makes of the problem. After
            ``observer:`` each of these is flown behind an ``Observer``.
        problem: a problem or its name; a folder names its own, everything else needs it.
        algorithm: of a zip, found out unless given.
        vecnormalize: of a zip, the file of its statistics (a pickle, too).

    Raises:
        ValueError: if there is nothing of that, it is damaged, of an unknown kind or for another problem.
        ImportError: if what reads a zip is not installed.
    """
    source, made = str(source), make_problem(problem) if isinstance(problem, str) else problem
    if source.startswith(BEHIND):
        return Observer(load_controller(source.removeprefix(BEHIND), made, algorithm, vecnormalize))
    if algorithm is not None:
        check_algorithm(algorithm)
    if source.endswith(".zip") or algorithm is not None:
        if made is None:
            raise ValueError(f"{source} does not say what it flies; name its problem (--problem quadrotor)")
        return AgentPolicy.load(source, made, algorithm, vecnormalize)
    if vecnormalize is not None:
        raise ValueError(f"statistics of observations are for the zip of an agent; {source} is none")
    if (Path(source) / "policy.json").exists():
        if made is None:
            import_class(Path(source) / "policy.json")
        kind = read_store(source, "policy")[1].get("kind")
        if kind == "DirectPolicy":
            return DirectPolicy.load(source, device="cpu", problem=made)
        if kind == "ActorPolicy":
            return ActorPolicy.load(source, problem=made)
        if kind != "ImplicitPolicy":
            raise ValueError(f"{source} holds a {kind!r}; expected an ImplicitPolicy, a DirectPolicy or an ActorPolicy")
    elif ":" in source and not Path(source).exists():
        if made is None:
            raise ValueError(f"{source} does not say what it flies; name its problem (--problem quadrotor)")
        return _function(source, made)
    return ImplicitPolicy.load(source, device="cpu", problem=made)


def _function(source: str, problem: Problem) -> ControllerPolicy:
    """``module:function`` within the problem's bounds, as an environment would apply it."""
    module, _, attribute = source.partition(":")
    _look_here()
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import the controller {source!r}: {error}") from error
    function = found(problem) if isinstance(found, type) else found
    if not callable(function):
        raise ValueError(f"{source} is a {type(function).__name__}; expected a controller (t, z) -> u")

    def bounded(t: Tensor, z: Tensor) -> Tensor:
        u = as_numbers(function(t, z), f"the answer of {source}").to(z)
        low, high = problem.control_bounds(u)
        expected = (len(z), problem.control_dim)
        if u.shape != expected:
            raise ValueError(f"{source} answered {tuple(u.shape)} for z {tuple(z.shape)}; expected {expected}")
        return torch.maximum(torch.minimum(u, high), low)

    return ControllerPolicy(problem, bounded)


def _look_here() -> None:
    """Import from the current folder, too: a console script does not look there, its user does."""
    if "" not in sys.path:
        sys.path.insert(0, "")


def digest(source: str) -> str:
    """SHA-256 of what ``source`` is read from, so that a table can say that it is about another file by now.

    Raises:
        ValueError: if there is nothing to read.
    """
    source = source.split(BEHIND)[-1]
    path = Path(source)
    if not (path / "policy.json").exists() and (SHIPPED / source / "policy.json").exists():
        path = SHIPPED / source
    if (path / "policy.json").exists():
        path = path / "policy.json"
    elif ":" in source and not path.exists():
        _look_here()
        spec = importlib.util.find_spec(source.partition(":")[0])
        path = Path(spec.origin) if spec is not None and spec.origin is not None else path
    if not path.is_file():
        raise ValueError(f"{source} is no file, folder of a policy or module:function that can be read")
    return sha256(path.read_bytes())
