"""Flights whose numbers run out: how they are flown, and what they cost, as in the environment."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..envs.boundary import FAR
from ..envs.integrate import Controller, Trajectory, advance
from ..envs.problem import Problem, check_finite


def held_back(controller: Controller) -> Controller:
    """``controller``, which is never shown a state of a lost flight: the last one that was sound stands for it."""
    last: list[Tensor] = []

    def shown(t: Tensor, z: Tensor) -> Tensor:
        last[:] = [torch.where(z.abs().amax(-1, keepdim=True) < FAR, z, last[0]) if last else z]
        return controller(t, last[0])

    return shown


def ended(problem: Problem, path: Trajectory) -> tuple[Trajectory, Tensor]:
    """The paths as an environment would have ended them, and which of them, ``(B,)``, are lost.

    A flight is lost in the first step after which the state is not finite, or above FAR, or whose cost is not finite:
    it stays where it was, has paid until then, and pays ``lost_cost`` in place of what is left.

    Raises:
        ValueError: if a control is not finite, with the index of the first such flight.
    """
    check_finite("the controller's answer", path.u.movedim(1, 0))
    lost = ~((path.z.abs().amax(-1) < FAR).all(0) & path.cost.isfinite())
    if not lost.any():
        return path, lost
    z, u = path.z[:, lost], path.u[:, lost]
    count, dt = len(u), problem.horizon / len(u)
    t = path.t[:-1].unsqueeze(-1).expand(u.shape[:-1])
    spent = advance(problem, t.flatten(), z[:-1].flatten(0, 1), u.flatten(0, 1), dt)[1].unflatten(0, u.shape[:-1])
    sound = (z[1:].abs().amax(-1) < FAR) & spent.isfinite()
    sound[-1] &= problem.terminal_cost(z[-1]).isfinite()
    steps = sound.long().cumprod(0).sum(0)  # before the one in which it is lost
    rows = torch.arange(count + 1, device=z.device).unsqueeze(-1).minimum(steps)
    held, running = path.z.clone(), path.running_cost.clone()
    held[:, lost] = z.gather(0, rows.unsqueeze(-1).expand_as(z))
    running[lost] = torch.where(rows[1:] > rows[:-1], spent, 0.0).sum(0)
    terminal = torch.where(lost, problem.lost_cost, path.terminal_cost)
    return dataclasses.replace(path, z=held, running_cost=running, terminal_cost=terminal), lost


def some(path: Trajectory, chosen: Tensor) -> Trajectory:
    """The flights where ``chosen (B,)`` is true.

    Raises:
        ValueError: if there are none.
    """
    if not chosen.any():
        raise ValueError("all flights left the finite numbers; expected one that did not")
    return Trajectory(
        path.t, path.z[:, chosen], path.u[:, chosen], path.running_cost[chosen], path.terminal_cost[chosen]
    )
