"""Any controller u(t, z) in the shape of a Stable-Baselines3 policy."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ..envs.integrate import Controller
from ..envs.problem import Problem

Memory: TypeAlias = tuple[np.ndarray, ...] | None


class Predictor:
    """What has Stable-Baselines3's ``predict``: a controller of ``problem`` that says how it answers."""

    problem: Problem

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """Controls ``(B, m)`` for observations ``(B, n + 1)``, float32 on the CPU, and what to remember."""
        raise NotImplementedError

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: Memory = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Memory]:
        """Stable-Baselines3's ``predict``: actions in [-1, 1] for observations (z, t).

            action = 2 (u(t, z) - low) / (high - low) - 1

        Args:
            observation: ``(n + 1,)`` or ``(B, n + 1)``.
            state: what the last call returned.
            episode_start: ``(B,)`` bool; where true, ``state`` is not used.
            deterministic: accepted for the interface; the policy always is.

        Returns:
            actions, ``(m,)`` or ``(B, m)`` float32, and the next ``state``.

        Raises:
            ValueError: on a wrong shape, or values that are not finite (naming the first bad sample).
        """
        with torch.no_grad():
            seen = torch.from_numpy(observed_rows(self.problem, observation))
            u, state = self.respond(seen, state, episode_start)
        return actions(self.problem, u, np.asarray(observation).shape), state


class ControllerPolicy(Predictor):
    """``predict`` for a controller, which it also is itself; no ``state`` is passed around: it comes back as it came.

    Args:
        problem: what is controlled.
        controller: any callable (t, z) -> u. What it remembers, it remembers by row of the batch.
        dtype, device: of the tensors it is given; those of its first parameter where it is an ``nn.Module`` with any.
    """

    def __init__(
        self,
        problem: Problem,
        controller: Controller,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        if not callable(controller):
            raise ValueError(f"controller is a {type(controller).__name__}; expected a callable (t, z) -> u")
        self.problem, self.controller = problem, controller
        self.dtype, self.device = dtype, torch.device(device)
        weight = next(controller.parameters(), None) if isinstance(controller, nn.Module) else None
        if weight is not None:
            self.dtype, self.device = weight.dtype, weight.device

    def __call__(self, t: Tensor, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``."""
        return self.controller(t, z)

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u(t, z), and the state as it came."""
        seen = seen.to(self.device, self.dtype)
        return self.controller(seen[:, -1], seen[:, :-1]), state


def observed_rows(problem: Problem, observation: object) -> np.ndarray:
    """One observation ``(n + 1,)`` or a batch of them as ``(B, n + 1)`` float32.

    Raises:
        ValueError: on a wrong shape, or values that are not finite (naming the first bad sample).
    """
    width = problem.state_dim + 1
    try:
        array = np.asarray(observation, dtype=np.float32)
    except (TypeError, ValueError):
        kind = f"a dict of {list(observation)}" if isinstance(observation, dict) else f"a {type(observation).__name__}"
        raise ValueError(f"observation is {kind}; expected an array ({width},) or (B, {width})") from None
    if array.shape[-1:] != (width,) or array.ndim not in (1, 2):
        name = type(problem).__name__
        raise ValueError(f"observation has shape {array.shape}; {name} gives ({width},) or (B, {width})")
    rows = array.reshape(-1, width)
    if not np.isfinite(rows).all():
        bad = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise ValueError(f"observation is not finite; the first bad sample has index {bad}")
    return rows


def actions(problem: Problem, u: Tensor, observed: tuple[int, ...]) -> np.ndarray:
    """Controls ``(B, m)`` as float32 actions in [-1, 1], shaped for observations of shape ``observed``."""
    low, high = problem.control_bounds(u)
    action = (2 * (u - low) / (high - low) - 1).clamp(-1.0, 1.0)
    return action.cpu().numpy().astype(np.float32).reshape(*observed[:-1], problem.control_dim)
