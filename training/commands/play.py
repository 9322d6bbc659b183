"""The command ``pontryagin play``: a policy in a window, or on film."""

from __future__ import annotations

from pathlib import Path

from ...envs.environment import OptimalControlEnv, frames_per_second
from ...envs.states import draw_states
from ...envs.window import check_display
from ..agents import load_controller
from ..pictures import film, write_film
from .arguments import AgentPath


def play_command(
    checkpoint: AgentPath,
    episodes: int = 3,
    seed: int = 0,
    problem: str | None = None,
    video: Path | None = None,
    width: int = 640,
    algorithm: str | None = None,
    vecnormalize: Path | None = None,
) -> None:
    """Watch a policy in a window, or write a film where ``--video`` names one.

    Args:
        checkpoint: the policy.
        episodes: episodes from different initial states.
        seed: of the initial states.
        problem: module:ClassName of a policy for a problem of your own.
        video: a .gif or .mp4 to write instead of opening a window.
        width: of the film, in pixels.
        algorithm: of an agent of your own, as for evaluate: a zip is a pickle, and reading it runs its author's code.
        vecnormalize: its statistics, likewise.
    """
    if video is None:
        check_display()
    policy = load_controller(checkpoint, problem, algorithm, vecnormalize)
    flown = policy.problem
    states = draw_states(flown, episodes, seed).numpy()
    if video is not None:
        every = max(1, frames_per_second(flown) // 15)
        print(write_film(film(flown, policy, states, every), video, frames_per_second(flown) // every, width))
        return
    environment = OptimalControlEnv(flown, render_mode="human")
    for state in states:
        observation, _ = environment.reset(options={"state": state})
        memory, done = None, False
        while not done:
            action, memory = policy.predict(observation, memory)
            observation, _, done, _, _ = environment.step(action)
    environment.close()
