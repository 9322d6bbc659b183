"""Flights whose numbers run out: how they are flown, and what they cost, as in the environment."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..envs.integrate import Controller, Trajectory
from ..envs.problem import Problem, check_finite


def held_back(controller: Controller) -> Controller:
    """``controller``, which is never shown a state that is not finite: the last one that was stands for it."""
    last: list[Tensor] = []

    def shown(t: Tensor, z: Tensor) -> Tensor:
        last[:] = [torch.where(z.isfinite().all(-1, keepdim=True), z, last[0]) if last else z]
        return controller(t, last[0])

    return shown


def ended(problem: Problem, path: Trajectory) -> tuple[Trajectory, Tensor]:
    """The paths as an environment would have ended them, and which of them, ``(B,)``, are lost.

    A flight is lost where a state or its cost is not finite: it stays at the last state that is, and ``lost_cost``
    takes the place of its costs.

    Raises:
        ValueError: if a control is not finite, with the index of the first such flight.
    """
    check_finite("the controller's answer", path.u.movedim(1, 0))
    sound = path.z.isfinite().all(-1)
    lost = ~(sound.all(0) & path.cost.isfinite())
    if not lost.any():
        return path, lost
    last = sound.long().cumprod(0).sum(0) - 1
    rows = torch.arange(len(path.z), device=last.device).unsqueeze(-1).minimum(last)
    z = path.z.gather(0, rows.unsqueeze(-1).expand_as(path.z))
    running = torch.where(lost, 0.0, path.running_cost)
    terminal = torch.where(lost, problem.lost_cost, path.terminal_cost)
    return dataclasses.replace(path, z=z, running_cost=running, terminal_cost=terminal), lost
