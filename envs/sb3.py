"""The vector environment as a Stable-Baselines3 ``VecEnv``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from .extras import optional
from .vector import OptimalControlVectorEnv

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


def as_sb3(vector_env: VectorEnv[Any, Any, Any]) -> VecEnv:
    """Adapt an ``OptimalControlVectorEnv`` (wrapped or not) to Stable-Baselines3.

    The adapter takes the environment over and switches it to SAME_STEP, which is SB3's convention. The info of a
    step that ends an episode holds ``terminal_observation``, ``TimeLimit.truncated`` and the final info; other steps
    carry empty dictionaries, so that a batch of thousands stays fast.

    Raises:
        ValueError: if ``vector_env`` is anything else.
        ImportError: if Stable-Baselines3 is not installed.
    """
    optional("stable_baselines3", "sb3")
    inner = getattr(vector_env, "unwrapped", vector_env)
    if not isinstance(inner, OptimalControlVectorEnv):
        raise ValueError(f"vector_env is a {type(inner).__name__}; expected an OptimalControlVectorEnv")
    inner.set_autoreset_mode(AutoresetMode.SAME_STEP)
    return _adapter()(inner)


@functools.cache
def _adapter() -> Callable[[OptimalControlVectorEnv], VecEnv]:
    """The class of the adapter, made where Stable-Baselines3 is imported."""
    from stable_baselines3.common.vec_env import VecEnv

    class BatchedVecEnv(VecEnv):
        """One batched step, SB3's four-tuple."""

        def __init__(self, env: OptimalControlVectorEnv) -> None:
            self.env = env
            super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

        def __reduce__(self) -> tuple[Any, ...]:
            return as_sb3, (self.env,), {k: v for k, v in self.__dict__.items() if k != "env"}

        def reset(self) -> np.ndarray:
            states = [options["state"] for options in self._options if options]
            options = {"state": np.stack(states)} if len(states) == self.num_envs else None
            observation, _ = self.env.reset(seed=list(self._seeds), options=options)
            self._reset_seeds()
            self._reset_options()
            return observation

        def step_async(self, actions: np.ndarray) -> None:
            self.actions = actions

        def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
            observation, rewards, terminated, truncated, info = self.env.step(self.actions)
            ended = terminated | truncated
            return observation, rewards.astype(np.float32), ended, _infos(info, ended, truncated)

        def close(self) -> None:
            self.env.close()

        def get_images(self) -> Sequence[np.ndarray | None]:
            return self.env.render() or ()

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            if len(list(self._get_indices(indices))) != self.num_envs:
                raise ValueError("the environments share one batch: attributes are set for all of them or for none")
            setattr(self.env, attr_name, value)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            return [getattr(self.env, method_name)(*args, **kwargs)] * len(list(self._get_indices(indices)))

        def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
            return [False] * len(list(self._get_indices(indices)))

    return BatchedVecEnv


def _infos(info: dict[str, Any], ended: np.ndarray, truncated: np.ndarray) -> list[dict[str, Any]]:
    """SB3's list of infos: those of the episodes that ended, and empty ones."""
    infos: list[dict[str, Any]] = [{} for _ in ended]
    for i in np.flatnonzero(ended):
        infos[i] = {k: v[i] for k, v in info["final_info"].items() if not k.startswith("_")}
        infos[i] |= {"terminal_observation": info["final_obs"][i], "TimeLimit.truncated": bool(truncated[i])}
    return infos
