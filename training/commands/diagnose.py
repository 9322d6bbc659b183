"""The subcommand ``pontryagin diagnose``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ...envs.states import draw_states
from ..checkpoint import load_policy
from ..theory import choices, diagnose, print_diagnosis, record_text, write_diagnosis
from .evaluate import stored_optima


def diagnose_command(
    checkpoint: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="CHECKPOINT", help="a folder that train wrote, or a shipped name"),
    ],
    states: int = 8,
    times: int = 12,
    seed: int = 0,
    operator: Literal["both", "ascent", "newton"] = "both",
    step_size: float | Literal["auto"] = "auto",
    problem: str | None = None,
    out_dir: Path | None = None,
    json: bool = False,
) -> None:
    """Measure along a policy's paths what the theory of JFB assumes, and how far JFB is from the true gradient.

    Args:
        checkpoint: the policy.
        states: how many initial states are drawn from rho_0.
        times: how many control steps of each path are sampled.
        seed: of the initial states and of the admissible controls at which T is tried.
        operator: the fixed-step ascent of the slides, projected Newton, or both.
        step_size: α of the ascent; auto is the best fixed one for the curvature at u*.
        problem: module:ClassName of a policy for a problem of your own.
        out_dir: folder for diagnosis.json and diagnosis.png.
        json: print JSON instead of the tables.
    """
    policy = load_policy(checkpoint, problem)
    z0 = draw_states(policy.problem, states, seed)
    found = diagnose(policy, z0, choices(operator, step_size), times, seed)
    optimum = stored_optima(policy.problem, z0)
    command = f"pontryagin diagnose {checkpoint} --states {states} --times {times} --seed {seed}"
    command += f" --operator {operator} --step-size {step_size}"
    if json:
        print(record_text(found, command, optimum))
    else:
        title = f"{type(policy.problem).__name__}: {checkpoint}, {states} states, seed {seed}"
        print_diagnosis(found, title, optimum)
    if out_dir is not None:
        for path in write_diagnosis(found, command, out_dir, optimum):
            print(path, file=sys.stderr if json else sys.stdout)
