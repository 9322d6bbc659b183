"""Where the searches for an open-loop optimum begin."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from ...envs.integrate import Controller, rollout
from ...envs.problem import Problem

PERTURBATION = (0.05, 0.2, 0.8)
"""Sizes of the perturbation of further starts, in turn, in units of the controls' range (at most 10)."""


@torch.no_grad()
def own_guess(problem: Problem, z0: Tensor) -> Controller | None:
    """``problem.guess``, if there is one.

    Raises:
        ValueError: if it answers no finite ``(B, m)``.
    """
    u = problem.guess(torch.zeros((), dtype=z0.dtype, device=z0.device), z0)
    if u is None:
        return None
    shape = (len(z0), problem.control_dim)
    if not (isinstance(u, Tensor) and u.shape == shape and u.isfinite().all()):
        came = f"shape {tuple(u.shape)}" if isinstance(u, Tensor) else f"a {type(u).__name__}"
        raise ValueError(f"{type(problem).__name__}.guess returned {came}; expected {shape}, finite, or None")

    def bounded(t: Tensor, z: Tensor) -> Tensor:
        low, high = problem.control_bounds(z)
        answer = problem.guess(t, z)
        assert answer is not None
        return answer.clamp(low, high)

    return bounded


@torch.no_grad()
def initial_guesses(
    problem: Problem, z0: Tensor, guess: Controller | None, starts: int, seed: int, steps: int
) -> np.ndarray:
    """Where the searches begin: ``(B, starts, K, m + n)``."""
    batch, m = len(z0), problem.control_dim
    low, high = (bound.double().cpu().numpy() for bound in problem.control_bounds(z0))
    rest = np.broadcast_to(np.clip(0.0, low, high), (batch, steps, m))
    # the states stay at z0 rather than fall with u: on the bicycles that finds cheaper optima than a roll-out
    still = np.broadcast_to(z0.double().cpu().numpy()[:, None], (batch, steps, problem.state_dim))
    first = np.concatenate([rest, still], -1)
    if guess is not None:
        path = rollout(problem, guess, z0, steps)
        flown = torch.cat([path.u, path.z[1:]], -1).movedim(1, 0).double().cpu().numpy()
        first = np.where(np.isfinite(flown).all((1, 2), keepdims=True), flown, first)
    guesses = np.repeat(first[:, None], starts, axis=1)
    wave = np.cos(np.pi * np.arange(steps) / steps)[:, None]
    for index, start in itertools.product(range(batch), range(1, starts)):  # u + a + b cos(πt/T), states as they are
        a, b = np.random.default_rng([seed, index, start]).normal(size=(2, 1, m)) * PERTURBATION[(start - 1) % 3]
        u = guesses[index, start, :, :m]
        guesses[index, start, :, :m] = np.clip(u + (a + b * wave) * np.minimum(high - low, 10.0), low, high)
    return guesses
