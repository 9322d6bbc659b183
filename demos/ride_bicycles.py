"""The shipped controller of interacting bicycles from several initial states, on film."""

from pathlib import Path

import torch
import tyro

from pontryagin import ImplicitPolicy
from pontryagin.envs.environment import frames_per_second
from pontryagin.training.pictures.film import film, write_film


def main(
    checkpoint: str = "bicycle5",
    episodes: int = 3,
    seed: int = 0,
    width: int = 560,
    video: Path = Path("results/bicycles.gif"),
) -> Path:
    """Write a GIF or MP4 in which a unit of time takes a second.

    Args:
        checkpoint: a shipped name, bicycle5 or bicycle100, or a folder.
        episodes: rides, each from another initial state.
        seed: of the initial states.
        width: of the film in pixels; the trails of a hundred bicycles make a large file.
        video: the film, .gif or .mp4.
    """
    policy = ImplicitPolicy.load(checkpoint, device="cpu")
    states = policy.problem.sample_initial_state(episodes, torch.Generator().manual_seed(seed)).numpy()
    frames = film(policy.problem, policy, states, every=1)
    path = write_film(frames, video, fps=frames_per_second(policy.problem), width=width)
    print(path)
    return path


if __name__ == "__main__":
    tyro.cli(main)
