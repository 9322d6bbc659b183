"""Potential-based shaping of the reward by the terminal cost, for algorithms that see nothing but rewards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..envs.problem import Problem

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
