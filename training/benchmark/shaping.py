"""What is done to rewards and actions for algorithms that see nothing but rewards: wrappers of a ``VecEnv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...envs.problem import Problem

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


def shaped(problem: Problem, env: VecEnv) -> VecEnv:
    """Rewards -∫L - (G(z') - G(z)) in place of -∫L and, at the end, -G: their sum is greater by G(z(0))."""
    from stable_baselines3.common.vec_env import VecEnvWrapper

    class Shaped(VecEnvWrapper):
        """Adds G(z) before the step, and takes it away again after it, but for the last step, which pays G itself."""

        def reset(self) -> np.ndarray:
            observation = np.asarray(self.venv.reset())
            self.before = self.terminal_cost(observation)
            return observation

        def step_wait(self) -> Any:
            observation, reward, done, infos = self.venv.step_wait()
            after = self.terminal_cost(np.asarray(observation))
            reward = reward + self.before - np.where(done, 0.0, after)
            self.before = after
            return observation, reward.astype(np.float32), done, infos

        def terminal_cost(self, observation: np.ndarray) -> np.ndarray:
            return problem.terminal_cost(torch.from_numpy(observation[:, :-1])).numpy()

    return Shaped(env)


def narrowed(problem: Problem, env: VecEnv, share: Sequence[float]) -> VecEnv:
    """Actions reach ``share`` of each control's range, about its middle; shares repeat until all controls have one.

    An agent that explores in the whole of a wide range sees little but what goes wrong there. ``action_reach`` of the
    wrapper, ``(m,)``, is what an action of 1 becomes.

    Raises:
        ValueError: if a share is not in (0, 1], or their number does not divide that of the controls.
    """
    from stable_baselines3.common.vec_env import VecEnvWrapper

    if not share or problem.control_dim % len(share) or not all(0 < s <= 1 for s in share):
        raise ValueError(
            f"share is {tuple(share)}; expected numbers in (0, 1] that divide {problem.control_dim} controls"
        )
    reach = np.tile(np.asarray(share, dtype=np.float32), problem.control_dim // len(share))

    class Narrowed(VecEnvWrapper):
        """Scales actions down."""

        action_reach = reach

        def reset(self) -> np.ndarray:
            return np.asarray(self.venv.reset())

        def step_async(self, actions: np.ndarray) -> None:
            self.venv.step_async(np.clip(actions, -1, 1) * reach)

        def step_wait(self) -> Any:
            return self.venv.step_wait()

    return Narrowed(env)
