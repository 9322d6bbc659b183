"""A problem of several agents as a PettingZoo ``ParallelEnv``: one action and one observation for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from .boundary import check_action, observation_space
from .environment import OptimalControlEnv
from .problem import Problem

if TYPE_CHECKING:
    from pettingzoo import ParallelEnv


def as_parallel(problem: Problem, render_mode: str | None = None) -> ParallelEnv:
    """A problem whose state and control split equally among N agents as a cooperative PettingZoo environment.

    The problem stays one, and so does its cost: the agents are N hands on the controls of an ``OptimalControlEnv``.
    N is ``state_dim / state_block``; the states and the controls of an agent are neighbours, in the order of agents.

    | of agent i, ``"agent_i"`` | shape | what it is |
    |---|---|---|
    | observation, first | ``(n/N,)`` | its own state |
    | observation, then | ``(n - n/N,)`` | those of agents i+1, .., N-1, 0, .., i-1: the others, from where it stands |
    | observation, last | ``(1,)`` | time t |
    | action | ``(m/N,)`` | in [-1, 1], mapped affinely to the bounds of its own controls; clipped outside |
    | reward | ``float`` | the team's, ``-∫ L dt`` over the step and ``-G(z(T))`` on the last one |
    | info | | that of ``OptimalControlEnv``, but ``state`` and ``control`` are its own; the rest is the team's |

    Everyone sees everything, in float32 and clipped to ``±state_bound``; ``state()`` is ``(z, t)``, the same for all.
    An observation does not say whose it is: where agents differ, by their targets for example, a policy that they
    share needs the index as well (SuperSuit's ``agent_indicator_v0``). Every agent is paid the full reward of the
    team; added up over the agents, the return is -N times the cost.

    Start as in ``OptimalControlEnv``, ``reset(options={"state": z0})`` takes the joint state ``(n,)``. All terminate
    together after ``steps`` steps, at t = T; ``agents`` is then empty. Never truncated.

    Args:
        problem: what to control, with a ``state_block`` smaller than its ``state_dim``.
        render_mode: ``None``, ``"human"`` or ``"rgb_array"``.

    Raises:
        ValueError: if the problem has one agent only, or its states or controls do not split equally.
        ImportError: if PettingZoo is not installed.
    """
    try:
        from pettingzoo import ParallelEnv
    except ImportError as error:
        raise ImportError('as_parallel needs PettingZoo: pip install "pontryagin[pettingzoo]"') from error

    class OptimalControlParallelEnv(Team, ParallelEnv):  # type: ignore[misc]
        """A ``Team`` of the type that PettingZoo's tools look for; a base class cannot be imported any later."""

    return OptimalControlParallelEnv(OptimalControlEnv(problem, render_mode))


class Team:
    """The methods of a ``ParallelEnv`` on top of one ``OptimalControlEnv``; ``as_parallel`` says what they promise."""

    def __init__(self, inner: OptimalControlEnv) -> None:
        problem = inner.problem
        count = count_agents(problem)
        self.inner = inner
        self.problem = problem
        self.render_mode = inner.render_mode
        self.metadata = {**inner.metadata, "name": type(problem).__name__}
        self.possible_agents = [f"agent_{i}" for i in range(count)]
        self.agents: list[str] = []
        self.state_space = observation_space(problem)
        self._controls = problem.control_dim // count
        self._joint: np.ndarray | None = None
        everything, block = np.arange(problem.state_dim), problem.state_block
        # Agent i reads entry order[i][k] of (z, t) at its place k.
        self._order = {
            agent: np.append(np.roll(everything, -i * block), problem.state_dim)
            for i, agent in enumerate(self.possible_agents)
        }
        low, high = self.state_space.low, self.state_space.high
        self.observation_spaces = {
            agent: spaces.Box(low[order], high[order], dtype=np.float32) for agent, order in self._order.items()
        }
        # One object each: they are seeded apart.
        self.action_spaces = {
            agent: spaces.Box(-1.0, 1.0, (self._controls,), dtype=np.float32) for agent in self.possible_agents
        }

    def observation_space(self, agent: str) -> spaces.Box:
        return self.observation_spaces[self._known(agent)]

    def action_space(self, agent: str) -> spaces.Box:
        return self.action_spaces[self._known(agent)]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        # PettingZoo's API test sends {"options": 1} to every environment and wants it accepted; other unknown options
        # are refused, so that a misspelt "state" is not a random one.
        options = {name: value for name, value in (options or {}).items() if name != "options"}
        self._joint, info = self.inner.reset(seed=seed, options=options)
        self.agents = list(self.possible_agents)
        return self._observe(self._joint), self._split(info)

    def step(
        self, actions: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        # No one is left, or not yet there: the inner environment refuses any step and says which of the two it is.
        action = self._gather(actions) if self.agents else np.zeros(self.problem.control_dim, np.float32)
        self._joint, reward, terminated, truncated, info = self.inner.step(action)
        names = self.possible_agents
        if terminated:
            self.agents = []
        return (
            self._observe(self._joint),
            dict.fromkeys(names, reward),
            dict.fromkeys(names, terminated),
            dict.fromkeys(names, truncated),
            self._split(info),
        )

    def state(self) -> np.ndarray:
        """``(z, t)``, ``(n + 1,)``: the observation of the ``OptimalControlEnv``."""
        if self._joint is None:
            raise ValueError("state was called before reset")
        return self._joint.copy()

    def render(self) -> np.ndarray | None:
        return self.inner.render()

    def close(self) -> None:
        self.inner.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle finds no class that was made inside a function; the copy makes its own.
        return as_parallel, (self.problem, self.render_mode), self.__dict__

    def _known(self, agent: str) -> str:
        if agent not in self._order:
            names = self.possible_agents
            raise ValueError(f"there is no agent {agent!r}; expected one of {names[0]!r} to {names[-1]!r}")
        return agent

    def _gather(self, actions: Mapping[str, np.ndarray]) -> np.ndarray:
        """The joint action ``(m,)``, in the order of the agents whatever that of the dictionary."""
        if not isinstance(actions, Mapping):
            raise ValueError(f"actions is a {type(actions).__name__}; expected a dictionary with an action per agent")
        names = self.possible_agents
        missing = [agent for agent in names if agent not in actions]
        unknown = [agent for agent in actions if agent not in self._order]
        if missing or unknown:
            raise ValueError(
                f"actions has missing agents {missing} and unknown agents {unknown}; expected one action for each of "
                f"{names[0]!r} to {names[-1]!r}"
            )
        parts = []
        for agent in names:
            try:
                parts.append(check_action(actions[agent], (self._controls,)))
            except ValueError as error:
                raise ValueError(f"actions[{agent!r}]: {error}") from error
        return np.concatenate(parts)

    def _observe(self, joint: np.ndarray) -> dict[str, np.ndarray]:
        return {agent: joint[order] for agent, order in self._order.items()}

    def _split(self, info: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The info of the team for every agent, with its own rows of the state and of the control."""
        states = np.array(info["state"]).reshape(len(self._order), -1)
        controls = np.array(info["control"]).reshape(len(self._order), -1)
        return {
            agent: {**info, "state": states[i], "control": controls[i]} for i, agent in enumerate(self.possible_agents)
        }


def count_agents(problem: Problem) -> int:
    """N = state_dim / state_block.

    Raises:
        ValueError: if that is one, or the controls do not split equally.
    """
    name, states = type(problem).__name__, problem.state_dim
    count = states // problem.state_block
    if count == 1:
        raise ValueError(
            f"{name} has one agent: its state_block is its state_dim, {states}; expected at least two agents"
        )
    if problem.control_dim % count:
        raise ValueError(f"{name} has {problem.control_dim} controls for {count} agents; expected as many for each")
    return count
