"""Any Problem as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch

from .boundary import (
    DTYPE,
    action_space,
    check_action,
    check_options,
    given_states,
    make_info,
    observation_space,
    observe,
    sample_states,
    seeded_states,
    transition,
)
from .checking import check_class
from .fields import seeded
from .problem import Problem
from .render import Renderer


class OptimalControlEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A finite-horizon optimal control problem as an environment: the return is -(∫ L dt + G(z(T))).

    ## Action space
    ``Box(-1, 1, (m,))``, mapped affinely to ``[control_low, control_high]`` and held over ``dt = horizon/steps``.
    Actions outside are clipped.

    ## Observation space
    ``(z, t)`` as float32, ``Box(n + 1)``: the state, clipped to ``±state_bound``, and the time in ``[0, horizon]``.

    ## Reward
    ``-∫ L dt`` over the step (RK4), and ``-G(z(T))`` on the last one.

    ## Start, end
    ``z(0) ~ rho_0``, or ``reset(options={"state": z0})``; after ``reset(seed=s)`` that of
    ``pontryagin evaluate --states 1 --seed s``. ``terminated=True`` after ``steps`` steps, at t = T: the
    problem has a finite horizon, there is nothing to bootstrap from. Never ``truncated``.
    A step after which the state or the cost is not finite, or a state beyond 10¹⁸, is the last one, too: the flight
    is ``lost``, stays where it was, and pays ``problem.lost_cost``, 10⁶ unless the problem says otherwise, in place
    of the costs of that step.

    ## Info
    ``time``, ``state``, ``control`` (physical units, as applied), ``running_cost``, ``terminal_cost`` (of the step),
    ``is_success`` (terminal error within ``success_radius``), ``lost``, and the problem's own ``metrics``.

    Args:
        problem: what to control; ``env.unwrapped.problem`` is the door to f, L and G.
        render_mode: ``None``, ``"human"`` or ``"rgb_array"``.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 30}

    def __init__(self, problem: Problem, render_mode: str | None = None) -> None:
        check_class(problem)
        self.metadata = {**self.metadata, "render_fps": frames_per_second(problem)}
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is {render_mode!r}; expected None, 'human' or 'rgb_array'")
        self.problem = problem
        self.render_mode = render_mode
        self.observation_space = observation_space(problem)
        self.action_space = action_space(problem)
        self._renderer: Renderer | None = None
        self._index = torch.zeros(1, dtype=torch.int64)
        self._z: torch.Tensor | None = None
        self._u = np.zeros(problem.control_dim, np.float32)
        self._cost, self._ended = 0.0, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        seed = seeded(seed)
        super().reset(seed=seed)
        options = check_options(options, ("state",))
        if "state" in options:
            self._z = given_states(self.problem, options["state"], 1)
        elif seed is not None:
            self._z = seeded_states(self.problem, 1, seed)
        else:
            self._z = sample_states(self.problem, [self.np_random])
        self._index, self._ended = torch.zeros(1, dtype=torch.int64), False
        self._u, self._cost = np.zeros(self.problem.control_dim, np.float32), 0.0
        if self._renderer is not None:
            self._renderer.clear()
        if self.render_mode == "human":
            self.render()
        info = _first(make_info(self.problem, self._index, self._z, None))
        return observe(self.problem, self._index, self._z)[0].numpy(), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self._z is None:
            raise ValueError("step was called before reset")
        if self._ended:
            raise ValueError("the episode has ended; call reset before step")
        array = check_action(action, (self.problem.control_dim,))
        with torch.no_grad():
            step = transition(self.problem, self._index, self._z, torch.from_numpy(array).unsqueeze(0).to(DTYPE))
        self._z, self._index, self._u = step.z, step.steps, step.u[0].numpy()
        reward, self._ended = float(step.reward), bool(step.terminated)
        self._cost -= reward
        if self.render_mode == "human":
            self.render()
        info = _first(make_info(self.problem, step.steps, step.z, step))
        return step.observation[0].numpy(), reward, self._ended, False, info

    def render(self) -> np.ndarray | None:
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='human' or 'rgb_array'")
            return None
        if self._z is None:
            raise ValueError("render was called before reset")
        if self._renderer is None:
            self._renderer = Renderer(self.render_mode, fps=self.metadata["render_fps"])
        z, t = self._z[0].numpy(), int(self._index) * self.problem.time_step
        return self._renderer.draw(
            self.problem.scene(t, z, self._u), time=t, horizon=self.problem.horizon, cost=self._cost,
            title=type(self.problem).__name__, state=z, names=self.problem.state_names,
        )  # fmt: skip

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None}  # a window cannot be pickled; the copy opens its own


def frames_per_second(problem: Problem) -> int:
    """An episode plays in real time for horizons of seconds, between 10 and 60 frames per second."""
    return int(min(60, max(10, round(problem.steps / problem.horizon))))


def _first(info: dict[str, np.ndarray]) -> dict[str, Any]:
    """The info of sample 0 with Python numbers where a value is a scalar."""
    return {k: v[0].item() if v.ndim == 1 else v[0] for k, v in info.items()}
