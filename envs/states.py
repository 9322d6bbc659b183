"""States from outside, from NumPy, lists and a problem's own draw, as the batches of tensors that the rest takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .fields import whole
from .problem import Problem, check_state


def as_numbers(x: object, name: str) -> Tensor:
    """A tensor as it is; NumPy's floats in their precision; lists and whole numbers in the default one.

    Raises:
        ValueError: if it is nothing of that.
    """
    if isinstance(x, Tensor):
        return x
    try:
        array = np.asarray(x)
        fits = array.dtype.kind in "fiu"
    except ValueError:  # rows of different lengths
        fits = False
    if not fits:
        raise ValueError(
            f"{name} is a {type(x).__name__} of no numbers; expected a tensor, an array or a list of numbers"
        )
    keeps = isinstance(x, np.ndarray) and array.dtype in (np.float32, np.float64)
    return torch.tensor(array) if keeps else torch.tensor(array.astype(np.float64), dtype=torch.get_default_dtype())


def as_states(problem: Problem, z: object, name: str) -> Tensor:
    """A batch of states ``(B, n)``, which may be NumPy's or a list.

    Raises:
        ValueError: saying what came and what was expected, with the index of the first sample that is not finite.
    """
    states = as_numbers(z, name)
    check_state(problem, states, name)
    return states


def draw_states(problem: Problem, states: int, seed: int) -> Tensor:
    """``states`` initial states from rho_0, seeded, ``(states, n)``.

    Raises:
        ValueError: if there are none to draw, the seed is none, or the problem draws something else.
    """
    count, seed = whole(states, "states"), whole(seed, "seed", 0)
    return drawn(problem, count, torch.Generator().manual_seed(seed))


def drawn(problem: Problem, count: int, generator: torch.Generator) -> Tensor:
    """What ``sample_initial_state`` answers, checked: a user wrote it.

    Raises:
        ValueError: saying what came and what was expected.
    """
    z = problem.sample_initial_state(count, generator)
    name = f"{type(problem).__name__}.sample_initial_state's answer"
    check_state(problem, z, name)
    if len(z) != count:
        raise ValueError(f"{name} has shape {tuple(z.shape)}; expected ({count}, {problem.state_dim})")
    return z
