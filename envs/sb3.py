"""The vector environment as a Stable-Baselines3 ``VecEnv``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from .boundary import check_options
from .extras import optional
from .vector import OptimalControlVectorEnv

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


def as_sb3(vector_env: VectorEnv[Any, Any, Any]) -> VecEnv:
    """Adapt an ``OptimalControlVectorEnv`` to Stable-Baselines3, with the Gymnasium vector wrappers around it.

    The adapter takes the environment over and switches it to SAME_STEP, which is SB3's convention; a wrapped one has to
    be made with ``autoreset_mode="SameStep"``, for wrappers look at the mode when they are made. The info of a step
    that ends an episode holds ``terminal_observation``, ``TimeLimit.truncated``, the final info and what wrappers say
    of the episode; other steps carry empty dictionaries, so that a batch of thousands stays fast. ``set_options`` takes
    ``state``, for all environments or for some.

    Raises:
        ValueError: if ``vector_env`` is anything else.
        ImportError: if Stable-Baselines3 is not installed.
    """
    optional("stable_baselines3", "sb3")
    inner: Any = getattr(vector_env, "unwrapped", vector_env)
    if not isinstance(inner, OptimalControlVectorEnv):
        raise ValueError(f"vector_env is a {type(inner).__name__}; expected an OptimalControlVectorEnv")
    if not isinstance(vector_env, VectorWrapper):
        inner.set_autoreset_mode(AutoresetMode.SAME_STEP)
    elif inner.autoreset_mode is not AutoresetMode.SAME_STEP:
        raise ValueError(
            f"vector_env is a {type(vector_env).__name__} around an environment with {inner.autoreset_mode}; expected "
            'OptimalControlVectorEnv(.., autoreset_mode="SameStep") inside, which its wrappers then know of'
        )
    return _adapter()(vector_env)


class Layers:
    """What SB3 asks of the layers of an environment: the wrappers from the outside in, then the environment."""

    env: VectorEnv[Any, Any, Any]
    num_envs: int

    _get_indices: Callable[[Any], Iterable[int]]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(_owner(self.env, attr_name), attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError("the environments share one batch: attributes are set for all of them or for none")
        inner = self.env.unwrapped
        setattr(inner if hasattr(inner, attr_name) else _owner(self.env, attr_name), attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        result = getattr(_owner(self.env, method_name), method_name)(*args, **kwargs)
        return [result] * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        wrapped = any(isinstance(env, wrapper_class) for env in _layers(self.env))
        return [wrapped] * len(list(self._get_indices(indices)))


@functools.cache
def _adapter() -> Callable[[VectorEnv[Any, Any, Any]], VecEnv]:
    """The class of the adapter, made where Stable-Baselines3 is imported."""
    from stable_baselines3.common.vec_env import VecEnv

    class BatchedVecEnv(Layers, VecEnv):
        """One batched step, SB3's four-tuple."""

        def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
            self.env = env
            self.actions: np.ndarray | None = None
            self._seed: int | None = None
            super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

        def __reduce__(self) -> tuple[Any, ...]:
            return as_sb3, (self.env,), {k: v for k, v in self.__dict__.items() if k != "env"}

        def seed(self, seed: int | None = None) -> Sequence[int | None]:
            """Of the next reset: with it all begin at the states of ``pontryagin evaluate --seed``."""
            seeds = super().seed(seed)
            self._seed = self._seeds[0]
            return seeds

        def reset(self) -> np.ndarray:
            observation, info = _begin(self.env, self._seed, self._options)
            self.reset_infos = [_one(info, i) for i in range(self.num_envs)]
            self._seed = None
            self._reset_seeds()
            self._reset_options()
            return observation

        def step_async(self, actions: np.ndarray) -> None:
            self.actions = actions

        def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
            if self.actions is None:
                raise ValueError("step_wait was called before step_async")
            actions, self.actions = self.actions, None
            observation, rewards, terminated, truncated, info = self.env.step(actions)
            ended = terminated | truncated
            return observation, np.asarray(rewards, np.float32), ended, _infos(info, ended, truncated)

        def close(self) -> None:
            self.env.close()

        def get_images(self) -> Sequence[np.ndarray | None]:
            frames: Any = self.env.render()
            return frames or ()

    return BatchedVecEnv


def _begin(env: VectorEnv[Any, Any, Any], seeds: Any, options: list[dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """Reset all environments, those that are given a state to that state."""
    states: list[Any] = [check_options(each, ("state",)).get("state") for each in options]
    given = np.array([state is not None for state in states])
    if given.all():
        return env.reset(seed=seeds, options={"state": np.stack(states)})
    observation, info = env.reset(seed=seeds)
    if not given.any():
        return observation, info
    stand_in = states[int(given.argmax())]
    filled = np.stack([stand_in if state is None else state for state in states])
    observation, again = env.reset(options={"state": filled, "reset_mask": given})
    return observation, {k: _where(given, again[k], v) for k, v in info.items() if not k.startswith("_")}


def _layers(env: VectorEnv[Any, Any, Any]) -> Iterator[VectorEnv[Any, Any, Any]]:
    """The wrappers from the outside in, and the environment."""
    yield env
    while isinstance(env, VectorWrapper):
        env = env.env
        yield env


def _owner(env: VectorEnv[Any, Any, Any], name: str) -> VectorEnv[Any, Any, Any]:
    """The outermost layer that has ``name``; the environment, to say so, if none has."""
    return next((layer for layer in _layers(env) if hasattr(layer, name)), env.unwrapped)


def _where(mask: np.ndarray, yes: Any, no: Any) -> Any:
    return np.where(mask.reshape(-1, *[1] * (np.ndim(no) - 1)), yes, no)


def _one(info: dict[str, Any], i: int) -> dict[str, Any]:
    """What a vector info says of environment ``i``; what a wrapper says in a dictionary stays one."""
    about = {k: v for k, v in info.items() if not k.startswith("_")}
    return {k: _one(v, i) if isinstance(v, dict) else v[i] for k, v in about.items()}


def _infos(info: dict[str, Any], ended: np.ndarray, truncated: np.ndarray) -> list[dict[str, Any]]:
    """SB3's list of infos: those of the episodes that ended, and empty ones."""
    infos: list[dict[str, Any]] = [{} for _ in ended]
    told = {k: v for k, v in info.items() if isinstance(v, dict) and k != "final_info"}  # a wrapper's, of the episode
    for i in np.flatnonzero(ended).tolist():
        infos[i] = _one(info["final_info"], i) | _one(told, i)
        infos[i] |= {"terminal_observation": info["final_obs"][i], "TimeLimit.truncated": bool(truncated[i])}
    return infos
