"""An agent that somebody trained with Stable-Baselines3 or sb3-contrib, read from its file, as a controller."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...envs.boundary import action_space, observation_space, to_control
from ...envs.extras import optional
from ...envs.files import read_file
from ...envs.problem import Problem
from ..adapter import Memory, Predictor, answered, asked

CLASSES = {
    **{name: ("stable_baselines3", name.upper(), "sb3") for name in ("a2c", "ddpg", "ppo", "sac", "td3")},
    **{name: ("sb3_contrib", name.upper(), "contrib") for name in ("ars", "tqc", "trpo")},
    "crossq": ("sb3_contrib", "CrossQ", "contrib"),
}
"""Name of an algorithm -> module, class and extra. All act in a Box and remember nothing between two steps."""
FAMILIES = {
    "stable_baselines3.common.policies": ("ppo", "a2c", "trpo"),
    "stable_baselines3.sac.policies": ("sac",),
    "stable_baselines3.td3.policies": ("td3", "ddpg"),
    "sb3_contrib.tqc.policies": ("tqc",),
    "sb3_contrib.crossq.policies": ("crossq",),
    "sb3_contrib.ars.policies": ("ars",),
}
"""Module of the policy in a file -> the algorithms that may have written it."""


class AgentPolicy(Predictor):
    """The deterministic action of an agent on the observations of our environments, as a control:

        u(t, z) = low + (clip(π(s), ±1) + 1)/2 (high - low),   s = (z clipped to ±state_bound, t), normalised

    Args:
        problem: what is controlled.
        model: whatever has Stable-Baselines3's ``predict`` and spaces.
        normalise: a ``VecNormalize`` whose statistics of observations the agent was trained with.

    Raises:
        ValueError: if the agent observes or acts in other spaces than the environment of ``problem``.
    """

    def __init__(self, problem: Problem, model: Any, normalise: Any = None) -> None:
        self.problem, self.model, self.normalise = problem, model, normalise
        seen, acts, name = model.observation_space, model.action_space, type(problem).__name__
        width = problem.state_dim + 1
        if not isinstance(seen, spaces.Box) or seen.shape != observation_space(problem).shape:
            raise ValueError(
                f"the agent observes {_said(seen)}; {name} gives ({width},), {problem.state_dim} states and the time"
            )
        if not isinstance(acts, spaces.Box) or acts != action_space(problem):
            raise ValueError(f"the agent acts in {acts}; the environment of {name} takes {action_space(problem)}")
        if normalise is not None and np.shape(normalise.obs_rms.mean) != (width,):
            raise ValueError(
                f"the statistics are of observations {np.shape(normalise.obs_rms.mean)}; {name} gives ({width},)"
            )
        self.bound = torch.as_tensor(problem.state_bound, dtype=torch.float32).expand(problem.state_dim)

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; t is ``()`` or ``(B,)``: a controller for ``rollout``."""
        t, batch = asked(self.problem, t, z)
        time = torch.as_tensor(t, dtype=torch.float32).cpu().expand(len(batch)).unsqueeze(-1)
        seen = torch.cat([batch.detach().cpu().float().clamp(-self.bound, self.bound), time], -1)
        return answered(self.respond(seen, None, None)[0].to(batch), z)

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """The controls, and the state as it came."""
        observation = seen.numpy()
        if self.normalise is not None:
            observation = self.normalise.normalize_obs(observation)
        action = self.model.predict(observation, deterministic=True)[0]
        return to_control(self.problem, torch.as_tensor(np.asarray(action), dtype=torch.float32)), state

    @classmethod
    def load(
        cls,
        path: str | Path,
        problem: Problem,
        algorithm: str | None = None,
        vecnormalize: str | Path | None = None,
    ) -> AgentPolicy:
        """An agent on the CPU from the zip that ``model.save`` wrote, and what ``VecNormalize.save`` did.

        Both files are pickles in part: **loading one runs whatever code its author put into it.** Load what you or
        somebody you trust has made; everything else of this package is read without unpickling.

        Args:
            path: the zip.
            problem: what it was trained for.
            algorithm: its name in lower case, see ``CLASSES``; found out from the file unless given.
            vecnormalize: the statistics of the observations, where the agent was trained on normalised ones.

        Raises:
            ValueError: if a file is missing or of another kind, the algorithm is another, or it does not fit the
                problem.
            ImportError: if Stable-Baselines3 or sb3-contrib is not installed.
        """
        chosen = _algorithm(Path(path), algorithm)
        module, name, extra = CLASSES[chosen]
        kind = getattr(optional(module, extra), name)
        try:
            model = kind.load(path, device="cpu")
        except Exception as error:  # whatever a pickle, or a library of another version, raises
            raise ValueError(f"{path} does not load as {chosen}: {type(error).__name__}: {error}") from error
        return cls(problem, model, None if vecnormalize is None else _statistics(Path(vecnormalize)))


def check_algorithm(name: str) -> None:
    """Refuse an algorithm that is not known.

    Raises:
        ValueError: with the names that are.
    """
    if name not in CLASSES:
        raise ValueError(f"algorithm is {name!r}; expected one of {', '.join(sorted(CLASSES))}")


def _algorithm(path: Path, asked_for: str | None) -> str:
    """The algorithm that wrote ``path``, by the readable part of it: nothing is unpickled here."""
    if asked_for is not None:
        check_algorithm(asked_for)
    if path.exists() and not path.is_file():  # a pipe would never end
        raise ValueError(f"{path} is not a regular file; expected the zip that model.save wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
        policy = data["policy_class"]
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; expected the zip that model.save wrote") from None
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is no model of Stable-Baselines3; expected the zip that model.save wrote") from None
    found = FAMILIES.get(policy.get("__module__", "") if isinstance(policy, dict) else "", ())
    if len(found) == 3:  # they share a policy, and differ in what else they keep
        found = ("ppo",) if "n_epochs" in data else ("trpo",) if "cg_max_steps" in data else ("a2c",)
    if asked_for is None and not found:
        raise ValueError(f"{path} does not tell its algorithm; name it: one of {', '.join(sorted(CLASSES))}")
    if asked_for is not None and found and asked_for not in found:
        raise ValueError(f"{path} was trained by {' or '.join(found)}; asked for was {asked_for}")
    return asked_for or found[0]


def _statistics(path: Path) -> Any:
    """The ``VecNormalize`` in ``path``; ``None`` where it leaves observations alone."""
    from stable_baselines3.common.vec_env import VecNormalize

    try:
        found = pickle.loads(read_file(path))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; expected what VecNormalize.save wrote") from None
    except Exception as error:  # whatever a pickle raises
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(found, VecNormalize):
        raise ValueError(f"{path} holds a {type(found).__name__}; expected what VecNormalize.save wrote")
    return found if found.norm_obs else None


def _said(space: spaces.Space[Any]) -> str:
    return str(space.shape) if isinstance(space, spaces.Box) else str(space)
