"""Any controller u(t, z) in the shape of a Stable-Baselines3 policy."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ..envs.fields import check_callable
from ..envs.integrate import Controller
from ..envs.problem import Problem, check_kind
from ..envs.states import as_numbers
from .looking import host_may_look

SLACK = 1e-6
"""Share of the horizon, and of a bound, that is taken for rounding."""
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
            ValueError: on a wrong shape, or values that are not finite, a state beyond ``state_bound`` or a time
                outside the horizon (naming the first bad sample).
        """
        with torch.no_grad():
            seen = torch.from_numpy(observed_rows(self.problem, observation))
            check_memory(self.problem, len(seen), state, episode_start)
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
        check_kind(problem)
        check_callable(controller)
        self.problem, self.controller = problem, controller
        self.dtype, self.device = dtype, torch.device(device)
        weight = next(controller.parameters(), None) if isinstance(controller, nn.Module) else None
        if weight is not None:
            self.dtype, self.device = weight.dtype, weight.device

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; of one state ``(n,)``: ``(m,)``."""
        t, batch = asked(self.problem, t, z)
        return answered(self.controller(torch.as_tensor(t).to(batch), batch), z)

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u(t, z), and the state as it came."""
        seen = seen.to(self.device, self.dtype)
        return self.controller(seen[:, -1], seen[:, :-1]), state


def observed_rows(problem: Problem, observation: object) -> np.ndarray:
    """One observation ``(n + 1,)`` or a batch of them as ``(B, n + 1)`` float32.

    Raises:
        ValueError: on a wrong shape, or values that are not finite, beyond the bounds or outside the horizon (naming
            the first bad sample).
    """
    width, name = problem.state_dim + 1, type(problem).__name__
    try:
        array = np.asarray(observation, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        kind = f"a dict of {list(observation)}" if isinstance(observation, dict) else f"a {type(observation).__name__}"
        raise ValueError(f"observation is {kind}; expected an array of numbers ({width},) or (B, {width})") from None
    if array.shape[-1:] != (width,) or array.ndim not in (1, 2):
        raise ValueError(f"observation has shape {array.shape}; {name} gives ({width},) or (B, {width})")
    rows = array.reshape(-1, width)
    if not np.isfinite(rows).all():
        bad = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise ValueError(f"observation is not finite; the first bad sample has index {bad}")
    far = (np.abs(rows[:, :-1]) > np.asarray(problem.state_bound, np.float32) * (1 + SLACK)).any(-1)
    if far.any():
        raise ValueError(
            f"observation is beyond ±{name}.state_bound, to which the environment clips; the first bad sample has "
            f"index {int(far.argmax())}"
        )
    t = rows[:, -1]
    if len(t) and not (t.min() >= 0 and t.max() <= problem.horizon):
        rows = np.concatenate([rows[:, :-1], _in_horizon(problem, t)[:, None]], -1)
    return rows


def check_memory(problem: Problem, count: int, state: Memory, episode_start: np.ndarray | None) -> None:
    """Refuse a memory, or starts of episodes, for another number of observations.

    Raises:
        ValueError: saying what came and what was expected.
    """
    if episode_start is not None and np.shape(episode_start) not in ((count,), ()):
        raise ValueError(f"episode_start has shape {np.shape(episode_start)}; expected ({count},)")
    remembered = isinstance(state, tuple) and state and all(isinstance(part, np.ndarray) for part in state)
    if state is not None and not remembered:
        raise ValueError(f"state is a {type(state).__name__}; expected None, or what the last call returned")
    for part in () if state is None else state:
        if isinstance(part, np.ndarray) and part.ndim and len(part) != count:
            raise ValueError(f"state is of {len(part)} samples; expected {count}, as many as there are observations")


def asked(problem: Problem, t: Tensor | float, z: object) -> tuple[Tensor | float, Tensor]:
    """The question (t, z) to a feedback law: z as ``(B, n)``, from a tensor, an array or a list, or of one state.

    Where the host may look, which it does not on a GPU and in compiled code, a time that rounding put outside [0, T]
    is put back.

    Raises:
        ValueError: on a wrong shape, or a time outside the horizon.
    """
    z = as_numbers(z, "z")
    if z.ndim not in (1, 2) or z.shape[-1] != problem.state_dim:
        n, name = problem.state_dim, type(problem).__name__
        raise ValueError(f"z has shape {tuple(z.shape)}; {name} has states ({n},) or (B, {n})")
    z = z if z.is_floating_point() else z.to(torch.get_default_dtype())
    z = z if z.ndim == 2 else z.unsqueeze(0)
    if torch.compiler.is_compiling() or (isinstance(t, Tensor) and not host_may_look(t)):
        return t, z
    times = t.detach().numpy() if isinstance(t, Tensor) else np.asarray(t, float)
    if times.shape not in ((), (len(z),)):
        raise ValueError(f"t has shape {times.shape}; expected a number or ({len(z)},), one for each state")
    if times.size and not (times.min() >= 0 and times.max() <= problem.horizon):
        inside = _in_horizon(problem, times)
        return (torch.from_numpy(np.asarray(inside)).to(t) if isinstance(t, Tensor) else torch.as_tensor(inside)), z
    return t, z


def answered(u: Tensor, z: object) -> Tensor:
    """The controls ``(B, m)``; ``(m,)`` where one state was asked about."""
    return u if (z.ndim if isinstance(z, Tensor) else np.ndim(z)) == 2 else u[0]  # type: ignore[arg-type]


def _in_horizon(problem: Problem, t: np.ndarray) -> np.ndarray:
    """t, clipped to [0, T] where rounding alone put it outside."""
    end = problem.horizon
    bad = ~((t >= -SLACK * end) & (t <= (1 + SLACK) * end))
    if bad.any():
        k = int(bad.argmax())
        raise ValueError(
            f"t is {t.reshape(-1)[k]:g} in the sample with index {k}; expected a time in [0, {end:g}], the horizon of "
            f"{type(problem).__name__}"
        )
    return t.clip(0, end)


def actions(problem: Problem, u: Tensor, observed: tuple[int, ...]) -> np.ndarray:
    """Controls ``(B, m)`` as float32 actions in [-1, 1], shaped for observations of shape ``observed``."""
    low, high = problem.control_bounds(u)
    action = (2 * (u - low) / (high - low) - 1).clamp(-1.0, 1.0)
    return action.cpu().numpy().astype(np.float32).reshape(*observed[:-1], problem.control_dim)
