"""Any Problem as a Gymnasium vector environment: one batched torch step for all copies."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from .boundary import (
    DTYPE,
    Transition,
    TransitionFunction,
    action_space,
    check_action,
    check_options,
    given_states,
    make_info,
    observation_space,
    observe,
    reset_states,
    sample_states,
    seeds_of,
    transition,
)
from .checking import check_class
from .compiling import compiled, device_named
from .environment import frames_per_second
from .fields import whole
from .problem import Problem
from .render import Renderer


class OptimalControlVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """``num_envs`` copies of ``OptimalControlEnv`` in one batch; the numbers are the same to the last bit.

    Args:
        problem: what to control.
        num_envs: copies.
        device: where the batch lives. Observations come out as NumPy arrays in any case.
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP (``final_obs``, ``final_info``), or DISABLED
            (``reset(options={"reset_mask": mask})``).
        max_episode_steps: truncates earlier than the horizon.
        render_mode: ``None`` or ``"rgb_array"``: ``render()`` then returns a tuple of frames.
        compile: compile the step with torch.compile: about 20 s once; equal to rounding then, not to the bit.
    """

    def __init__(
        self,
        problem: Problem,
        num_envs: int = 1,
        device: str | torch.device = "cpu",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        compile: bool = False,
    ) -> None:
        check_class(problem)
        num_envs = whole(num_envs, "num_envs")
        max_episode_steps = None if max_episode_steps is None else whole(max_episode_steps, "max_episode_steps")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}; expected None or 'rgb_array'")
        self.problem, self.num_envs, self.device = problem, num_envs, device_named(device)
        self.render_mode, self.max_episode_steps = render_mode, max_episode_steps
        self.set_autoreset_mode(AutoresetMode(autoreset_mode))
        self.single_observation_space, self.single_action_space = observation_space(problem), action_space(problem)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._compile = compile
        self._transition = self._make_transition()
        self._randoms = [seeding.np_random()[0] for _ in range(num_envs)]
        self._renderers: list[Renderer] = []
        self._z: torch.Tensor | None = None
        self._index = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self._ended = np.zeros(num_envs, bool)
        self._u = np.zeros((num_envs, problem.control_dim), np.float32)
        self._cost = np.zeros(num_envs)

    def _make_transition(self) -> TransitionFunction:
        step: TransitionFunction = functools.partial(transition, self.problem)
        return compiled(step, self.device) if self._compile else step

    def __getstate__(self) -> dict[str, Any]:
        """Without what cannot be pickled, surfaces and compiled code: the copy makes its own."""
        return {k: v for k, v in {**self.__dict__, "_renderers": []}.items() if k != "_transition"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._transition = self._make_transition()

    def set_autoreset_mode(self, mode: AutoresetMode) -> None:
        """Choose what happens at the end of an episode; before the first reset."""
        self.autoreset_mode = mode
        fps = frames_per_second(self.problem)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": fps, "autoreset_mode": mode}

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start episodes, all of them or those in ``options["reset_mask"]``, at ``options["state"]`` or at rho_0.

        With one seed the states are ``draw_states(problem, num_envs, seed)``, those of ``pontryagin evaluate --seed``;
        with a list of them, copy i starts where a single environment does after ``reset(seed=seed[i])``.
        """
        options = check_options(options, ("state", "reset_mask"))
        mask = options.get("reset_mask", np.ones(self.num_envs, bool))
        fits = isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,) and mask.dtype == np.bool_
        if not fits or not mask.any():
            raise ValueError(f"options['reset_mask'] is {mask!r}; expected ({self.num_envs},) bool with a True in it")
        if self._z is None and not mask.all():
            raise ValueError("the first reset must reset every environment")
        state = options.get("state")
        if seed is not None:
            seeds = seeds_of(seed, self.num_envs)
            for i in np.flatnonzero(mask):
                if seeds[i] is not None:
                    self._randoms[i] = seeding.np_random(seeds[i])[0]
            super().reset(seed=seeds[0])  # np_random, for whoever asks for it: seeded as the first environment
            state = reset_states(self.problem, seed, mask, self._randoms) if state is None else state
        self._restart(mask, state)
        assert self._z is not None
        info: dict[str, Any] = {}
        for name, values in make_info(self.problem, self._index, self._z, None).items():
            values[~mask] = 0
            info |= {name: values, f"_{name}": mask.copy()}
        return observe(self.problem, self._index, self._z).cpu().numpy(), info

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._z is None:
            raise ValueError("step was called before reset")
        array = check_action(actions, (self.num_envs, self.problem.control_dim))
        resetting = self._ended
        if self.autoreset_mode is AutoresetMode.DISABLED and resetting.any():
            ended = int(np.flatnonzero(resetting)[0])
            raise ValueError(f"the episode of environment {ended} has ended; reset it with options['reset_mask']")
        with torch.no_grad():
            step = self._transition(self._index, self._z, torch.from_numpy(array).to(self.device, DTYPE))
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and resetting.any():
            step = self._with_restarts(step, resetting)
        self._z, self._index, self._u = step.z, step.steps, step.u.cpu().numpy()
        rewards, terminated = step.reward.cpu().numpy().astype(float), step.terminated.cpu().numpy()
        self._cost = np.where(resetting, 0.0, self._cost - rewards)
        truncated = np.zeros_like(terminated)
        if self.max_episode_steps is not None:
            truncated = (self._index >= self.max_episode_steps).cpu().numpy() & ~terminated
        info = _masked(make_info(self.problem, step.steps, step.z, step), np.ones(self.num_envs, bool))
        observation, ended = step.observation.cpu().numpy(), terminated | truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            observation, info = self._same_step(observation, info, ended)
            ended = np.zeros_like(ended)
        self._ended = ended
        return observation, rewards, terminated, truncated, info

    def _same_step(
        self, observation: np.ndarray, info: dict[str, Any], ended: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start anew in the step that ends an episode; the end goes to ``final_obs`` and ``final_info``."""
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            final[i] = observation[i]
        last = {k: v for k, v in info.items() if not k.startswith("_")}
        kept = {k: np.where(ended.reshape(-1, *[1] * (v.ndim - 1)), v, np.zeros_like(v)) for k, v in last.items()}
        self._restart(ended, None)
        assert self._z is not None
        fresh = make_info(self.problem, self._index, self._z, None)
        for name, values in fresh.items():
            keep = ended.reshape(-1, *[1] * (values.ndim - 1))
            info[name] = np.where(keep, values, info[name])
        info |= {"final_obs": final, "_final_obs": ended.copy(), "_final_info": ended.copy()}
        info["final_info"] = _masked(kept, ended)
        return observe(self.problem, self._index, self._z).cpu().numpy(), info

    def _with_restarts(self, step: Transition, resetting: np.ndarray) -> Transition:
        """NEXT_STEP: environments that had ended start anew in this step; their action is not used."""
        self._restart(resetting, None)
        assert self._z is not None
        again = torch.from_numpy(resetting).to(self.device)
        observation = observe(self.problem, self._index, self._z)
        fresh = Transition(
            self._z, torch.zeros_like(step.u), torch.zeros_like(step.running_cost), torch.zeros_like(step.reward),
            self._index, torch.zeros_like(step.terminated), observation, torch.zeros_like(step.reward),
            torch.zeros_like(step.is_success), torch.zeros_like(step.lost),
        )  # fmt: skip
        pairs = zip(fresh, step, strict=True)
        return Transition(*(torch.where(again.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))

    def _restart(self, mask: np.ndarray, state: Any) -> None:
        """New episodes where ``mask``; nothing else changes."""
        chosen = np.flatnonzero(mask)
        if state is None:
            fresh = sample_states(self.problem, [self._randoms[i] for i in chosen])
        else:
            fresh = given_states(self.problem, state, self.num_envs)[chosen]
        if self._z is None:
            self._z = torch.zeros(self.num_envs, self.problem.state_dim, dtype=DTYPE, device=self.device)
        where = torch.from_numpy(chosen).to(self.device)
        self._z = self._z.index_copy(0, where, fresh.to(self.device))
        self._index = self._index.index_fill(0, where, 0)
        self._ended = self._ended & ~mask
        self._u, self._cost = np.where(mask[:, None], 0, self._u), np.where(mask, 0.0, self._cost)
        for i in chosen if self._renderers else ():
            self._renderers[i].clear()

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One frame per environment."""
        if self.render_mode is None or self._z is None:
            raise ValueError("render() needs render_mode='rgb_array' and a reset before it")
        if not self._renderers:
            fps = frames_per_second(self.problem)
            self._renderers = [Renderer("rgb_array", fps=fps) for _ in range(self.num_envs)]
        states, frames = self._z.cpu().numpy(), []
        for i, renderer in enumerate(self._renderers):
            t = int(self._index[i]) * self.problem.time_step
            scene = self.problem.scene(t, states[i], self._u[i])
            frame = renderer.draw(
                scene, time=t, horizon=self.problem.horizon, cost=float(self._cost[i]),
                title=type(self.problem).__name__, state=states[i],
                names=self.problem.state_names,
            )  # fmt: skip
            assert frame is not None
            frames.append(frame)
        return tuple(frames)

    def close_extras(self, **kwargs: Any) -> None:
        for renderer in self._renderers:
            renderer.close()
        self._renderers = []


def _masked(info: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, Any]:
    """Gymnasium's vector info: each array beside the mask of the environments it speaks of."""
    return {k: v for name, values in info.items() for k, v in ((name, values), (f"_{name}", mask.copy()))}
