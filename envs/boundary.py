"""Where tensors meet Gymnasium: spaces, the scaling of actions, observations, and one batched transition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from .fields import seeded, whole
from .integrate import advance
from .problem import Problem
from .states import as_numbers, drawn

DTYPE = torch.float32
FAR = 1e18
"""A state as large as this is lost: not much beyond it its square is no number of float32."""


class Transition(NamedTuple):
    """One environment step, by sample. Costs, not rewards: reward = -(running_cost + terminal_cost)."""

    z: Tensor
    u: Tensor
    running_cost: Tensor
    terminal_cost: Tensor
    steps: Tensor
    terminated: Tensor
    observation: Tensor
    reward: Tensor
    is_success: Tensor
    lost: Tensor


TransitionFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Transition]


def observation_space(problem: Problem) -> spaces.Box:
    """(z, t): the state within ``state_bound`` and the time within [0, horizon], float32."""
    bound = np.broadcast_to(np.asarray(problem.state_bound, dtype=np.float32), (problem.state_dim,))
    low = np.append(-bound, np.float32(0))
    return spaces.Box(low, np.append(bound, np.float32(problem.horizon)), dtype=np.float32)


def action_space(problem: Problem) -> spaces.Box:
    """[-1, 1]^m, mapped affinely to [control_low, control_high]."""
    return spaces.Box(-1.0, 1.0, (problem.control_dim,), dtype=np.float32)


def to_control(problem: Problem, action: Tensor) -> Tensor:
    """low + (action + 1)/2 · (high - low); actions outside [-1, 1] are clipped."""
    low, high = problem.control_bounds(action)
    return low + 0.5 * (action.clamp(-1.0, 1.0) + 1) * (high - low)


def to_action(problem: Problem, u: Tensor) -> Tensor:
    """The inverse of ``to_control``, in [-1, 1]."""
    low, high = problem.control_bounds(u)
    return (2 * (u - low) / (high - low) - 1).clamp(-1.0, 1.0)


def observe(problem: Problem, index: Tensor, z: Tensor) -> Tensor:
    """``(B, n + 1)``: z, clipped to the observation space, and t = index · dt."""
    bound = torch.as_tensor(problem.state_bound, dtype=z.dtype, device=z.device)
    t = _time(problem, index, z).clamp_max(problem.horizon)
    return torch.cat([z.clamp(-bound, bound), t.unsqueeze(-1)], -1)


def _time(problem: Problem, index: Tensor, z: Tensor) -> Tensor:
    return index * torch.as_tensor(problem.time_step, dtype=z.dtype, device=z.device)


def transition(problem: Problem, index: Tensor, z: Tensor, action: Tensor) -> Transition:
    """The pure step of the environment: hold the control over dt, pay ∫L, and G on the last step.

    Where the next state is not finite, or above FAR, or one of these costs is not finite, the flight is lost: it ends
    where it was and pays ``lost_cost`` in their place.

    Args:
        problem: what is controlled.
        index: ``(B,)`` int64, steps taken so far.
        z: ``(B, n)``.
        action: ``(B, m)`` in [-1, 1].
    """
    u = to_control(problem, action)
    t = _time(problem, index, z)
    after, running = advance(problem, t, z, u, problem.time_step)
    index = index + 1
    terminated = index >= problem.steps
    terminal = torch.where(terminated, problem.terminal_cost(after), 0.0)
    finite = (after.abs().amax(-1) < FAR) & ((running + terminal).abs() < torch.inf)
    lost = finite.logical_not()
    after = torch.where(lost.unsqueeze(-1), z, after)
    running, terminal = torch.where(lost, 0.0, running), torch.where(lost, problem.lost_cost, terminal)
    terminated = terminated | lost
    success = terminated & finite & (problem.terminal_error(after) <= problem.success_radius)
    observation = observe(problem, index, after)
    return Transition(after, u, running, terminal, index, terminated, observation, -(running + terminal), success, lost)


def make_info(problem: Problem, index: Tensor, z: Tensor, step: Transition | None) -> dict[str, np.ndarray]:
    """The ``info`` of every sample, always with the same keys; before the first step the control and costs are 0."""
    count = len(z)
    nothing = np.zeros(count)
    info = {
        "time": (index * problem.time_step).cpu().numpy().astype(float),
        "state": z.cpu().numpy().copy(),
        "control": np.zeros((count, problem.control_dim), np.float32) if step is None else step.u.cpu().numpy(),
        "running_cost": nothing if step is None else step.running_cost.cpu().numpy().astype(float),
        "terminal_cost": nothing if step is None else step.terminal_cost.cpu().numpy().astype(float),
        "is_success": np.zeros(count, bool) if step is None else step.is_success.cpu().numpy(),
        "lost": np.zeros(count, bool) if step is None else step.lost.cpu().numpy(),
    }
    for name, metric in problem.metrics(z).items():
        info[name] = metric.cpu().numpy().astype(float)
    return info


def sample_states(problem: Problem, randoms: Sequence[np.random.Generator]) -> Tensor:
    """One initial state for each generator, ``(len(randoms), n)``: env i's stream does not depend on its neighbours."""
    generator = torch.Generator()
    states = []
    for random in randoms:
        generator.manual_seed(int(random.integers(2**62)))
        states.append(drawn(problem, 1, generator))
    return torch.cat(states).to(DTYPE)


def seeded_states(problem: Problem, count: int, seed: int) -> Tensor:
    """What ``reset(seed=seed)`` starts ``count`` environments from: ``draw_states``, and so those of ``evaluate``."""
    generator = torch.Generator().manual_seed(seed % 2**64)  # Gymnasium's seeds may be larger than torch's
    return drawn(problem, count, generator).to(DTYPE)


def seeds_of(seed: int | Sequence[int | None], count: int) -> list[int | None]:
    """The seed of each of ``count`` environments: seed, seed + 1, .., or those of a list.

    Raises:
        ValueError: if one is no seed, or there are too many or too few.
    """
    if isinstance(seed, list | tuple | np.ndarray):
        seeds = [seeded(one) for one in seed]
    else:
        seeds = [whole(seed, "seed", 0) + i for i in range(count)]
    if len(seeds) != count:
        raise ValueError(f"seed has {len(seeds)} entries; expected {count}")
    return seeds


def reset_states(
    problem: Problem,
    seed: int | Sequence[int | None],
    mask: np.ndarray,
    randoms: Sequence[np.random.Generator],
) -> Tensor:
    """The states of a seeded reset, ``(B, n)``: with one seed one draw of all, with a list that of each one alone.

    Rows outside ``mask`` are zero then, and an entry ``None`` draws from ``randoms``.
    """
    count = len(randoms)
    if not isinstance(seed, list | tuple | np.ndarray):
        return seeded_states(problem, count, whole(seed, "seed", 0))
    rows = [torch.zeros(1, problem.state_dim)] * count
    for i in np.flatnonzero(mask).tolist():
        one = seeds_of(seed, count)[i]
        rows[i] = sample_states(problem, [randoms[i]]) if one is None else seeded_states(problem, 1, one)
    return torch.cat(rows)


def check_action(action: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The action as finite float32 of the right shape.

    Raises:
        ValueError: saying what came; NaN and infinity with the index of the first bad sample.
    """
    try:
        array = np.asarray(action, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"action is a {type(action).__name__}; expected an array of numbers {shape}") from None
    if array.shape != shape:
        raise ValueError(f"action has shape {array.shape}; expected {shape}")
    if not np.isfinite(array).all():
        rows = array.reshape(-1, shape[-1])
        bad = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise ValueError(f"action is not finite; the first bad sample has index {bad}")
    return array


def check_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """The reset options.

    Raises:
        ValueError: naming an option that does not exist.
    """
    if not isinstance(options, dict | None):
        raise ValueError(f"options is a {type(options).__name__}; expected a dict, or None")
    options = dict(options or {})
    for name in options:
        if name not in known:
            raise ValueError(f"unknown reset option {name!r}; expected one of {list(known)}")
    return options


def given_states(problem: Problem, state: Any, count: int) -> Tensor:
    """``options["state"]`` as ``(count, n)`` float32; one state is used for every environment.

    Raises:
        ValueError: on a wrong shape or values that are not finite.
    """
    array = as_numbers(state, "options['state']").detach().cpu().numpy().astype(np.float32)
    shapes = ((problem.state_dim,), (count, problem.state_dim))
    if array.shape not in shapes:
        raise ValueError(f"options['state'] has shape {array.shape}; expected {shapes[0]} or {shapes[1]}")
    array = np.array(np.broadcast_to(array, shapes[1]))
    if not np.isfinite(array).all():
        bad = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"options['state'] is not finite; the first bad sample has index {bad}")
    return torch.from_numpy(array)
