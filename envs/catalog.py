"""The problems by name: short names for the command line and for checkpoints, ``module:ClassName`` for a user's own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .bicycle import MultiBicycle
from .checking import check_functions
from .consumption import Consumption
from .crazyflie import Crazyflie
from .double_integrator import DoubleIntegrator
from .fields import check_is
from .gallery import (
    Burgers,
    CartPole,
    Dubins,
    Epidemic,
    Goddard,
    Harvest,
    MinFuel,
    Pendulum,
    ReactionDiffusion,
    Reactor,
    Rocket,
    VanDerPol,
)
from .problem import Problem
from .quadrotor import Quadrotor
from .record import class_name, problem_parameters, problem_record
from .scattered import ScatteredBicycles
from .swarm import Swarm

PROBLEMS: dict[str, tuple[type[Problem], dict[str, Any]]] = {
    "quadrotor": (Quadrotor, {}),
    "quadrotor_wide": (Quadrotor, {"initial_scale": 0.5}),
    "quadrotor_free": (Quadrotor, {"thrust_low": -3.0}),
    "quadrotor_slides": (Quadrotor, {"thrust_low": -3.0, "cost_exponent": 1.0}),
    "quadrotor_paper": (Quadrotor, {"thrust_low": -3.0}),
    "quadrotor_robust": (Quadrotor, {}),
    "bicycle5": (MultiBicycle, {}),
    "bicycle10": (MultiBicycle, {"num_agents": 10}),
    "bicycle100": (MultiBicycle, {"num_agents": 100, "success_radius": 0.2}),
    "cars5": (
        MultiBicycle,
        {
            "num_agents": 5,
            "layout": "swap",
            "wheelbase": 0.25,
            "interaction": 40.0,
            "radius": 0.3,
            "initial_scale": 0.05,
            "initial_speed": 0.5,
            "close": 0.27,
        },
    ),
    "swap100": (MultiBicycle, {"num_agents": 100, "success_radius": 0.2, "layout": "swap"}),
    "bicycle5_wide": (ScatteredBicycles, {}),
    "bicycle100_wide": (ScatteredBicycles, {"num_agents": 100, "success_radius": 0.2}),
    "swarm5": (Swarm, {"num_agents": 5, "interaction": 5.0}),
    "swarm100": (Swarm, {}),
    "crazyflie": (Crazyflie, {}),
    "crazyflie_lag": (Crazyflie, {"rotor_lag": 1 / 15.1}),
    "consumption": (Consumption, {}),
    "double_integrator": (DoubleIntegrator, {}),
    "pendulum": (Pendulum, {}),
    "cartpole": (CartPole, {}),
    "dubins": (Dubins, {}),
    "van_der_pol": (VanDerPol, {}),
    "epidemic": (Epidemic, {}),
    "reactor": (Reactor, {}),
    "harvest": (Harvest, {}),
    "reaction_diffusion": (ReactionDiffusion, {}),
    "burgers": (Burgers, {}),
    "goddard": (Goddard, {}),
    "min_fuel": (MinFuel, {}),
    "rocket": (Rocket, {"initial_scale": 0.3}),
}
"""Short name -> (class, arguments)."""
LARGEST = 100_000
"""States or controls that a file may declare: more is not allocated on its word."""


def make_problem(name: str) -> Problem:
    """The problem called ``name``: a short name, or ``module:ClassName`` of a Problem with working defaults.

    A module may be the name of its file, too: ``models/rocket.py:Rocket``.

    Raises:
        ValueError: if there is no such problem, with the names that exist, or its functions do not keep to ``Problem``.
    """
    check_is(name, str, "name")
    if name in PROBLEMS:
        problem, arguments = PROBLEMS[name]
        return problem(**arguments)
    module, _, attribute = name.partition(":")
    if not attribute:
        raise ValueError(f"no problem is called {name!r}; expected one of {sorted(PROBLEMS)} or module:ClassName")
    folder = ""  # a console script does not look in the current folder, its user does
    if module.endswith(".py"):
        folder, module = str(Path(module).parent.absolute()), Path(module).stem
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import {name!r}: {error}") from error
    except TypeError as error:
        if "non-frozen" not in str(error):
            raise  # an error of the module's own, which its traceback explains
        raise ValueError(f"cannot import {name!r}: {error}; write @dataclass(frozen=True), as Problem is") from error
    try:
        problem = found() if isinstance(found, type) else found
    except TypeError as error:
        expected = "a class with all methods of Problem, and a default for each field"
        raise ValueError(f"cannot make {name!r}: {error}; expected {expected}") from error
    if not isinstance(problem, Problem):
        raise ValueError(f"{name!r} is a {type(problem).__name__}; expected a pontryagin.Problem")
    check_functions(problem)
    return problem


def problem_class(record: str) -> type[Problem] | None:
    """The class that ``class_name`` named, among ours and those already imported; never imports anything."""
    for problem, _ in PROBLEMS.values():
        if class_name(problem) == record:
            return problem
    module, _, attribute = record.partition(":")
    found = getattr(sys.modules.get(module), attribute, None)
    return found if isinstance(found, type) and issubclass(found, Problem) else None


def recorded_problem(record: dict[str, Any], given: Problem | None, source: str | Path) -> Problem:
    """The problem of a ``problem_record`` found in ``source``; ``given``, where it is that one.

    Raises:
        ValueError: if ``given`` is another one, there is none and the class has not been imported, or its functions do
            not go with what the record says.
    """
    if given is not None:
        if problem_record(given) != record:
            raise ValueError(
                f"{source} was trained for {record['class']} {record['parameters']}; "
                f"got {class_name(type(given))} {problem_parameters(given)}"
            )
        return given
    found = problem_class(record["class"])
    if found is None:
        raise ValueError(f"{source} is for {record['class']}; import that class first, or pass problem=")
    made = found(**{k: _read(v, source) for k, v in record["parameters"].items()})
    if max(made.state_dim, made.control_dim) > LARGEST:
        raise ValueError(
            f"{source} is for {made.state_dim} states and {made.control_dim} controls; expected {LARGEST} at most"
        )
    check_functions(made)  # a record may say what the class does not mean
    return made


def _read(value: Any, source: str | Path) -> Any:
    """A parameter: lists become tuples, the record of an inner problem that problem, of a tensor or array that."""
    if isinstance(value, dict) and "class" in value:
        return recorded_problem(value, None, source)
    if isinstance(value, dict) and set(value) == {"tensor", "dtype"}:
        return torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]))
    if isinstance(value, dict) and set(value) == {"array", "dtype"}:
        return np.array(value["array"], dtype=value["dtype"])
    return tuple(_read(v, source) for v in value) if isinstance(value, list) else value
