"""The vector environment as a Stable-Baselines3 ``VecEnv``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gymnasium.vector import AutoresetMode, VectorEnv

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
    try:
        from .sb3_batch import BatchedVecEnv
    except ImportError as error:
        raise ImportError('as_sb3 needs Stable-Baselines3: pip install "pontryagin[sb3]"') from error
    inner = getattr(vector_env, "unwrapped", vector_env)
    if not isinstance(inner, OptimalControlVectorEnv):
        raise ValueError(f"vector_env is a {type(inner).__name__}; expected an OptimalControlVectorEnv")
    inner.set_autoreset_mode(AutoresetMode.SAME_STEP)
    return BatchedVecEnv(inner)
