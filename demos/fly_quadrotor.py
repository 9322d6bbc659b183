"""The shipped quadrotor controller from several initial states, on film."""

from pathlib import Path

import torch
import tyro

from pontryagin import ImplicitPolicy
from pontryagin.training.pictures.film import film, write_film


def main(
    checkpoint: str = "quadrotor", episodes: int = 4, seed: int = 0, video: Path = Path("results/quadrotor.gif")
) -> Path:
    """Write a GIF or MP4.

    Args:
        checkpoint: a shipped name or a folder.
        episodes: flights, each from another initial state.
        seed: of the initial states.
        video: the film, .gif or .mp4.
    """
    policy = ImplicitPolicy.load(checkpoint, device="cpu")
    states = policy.problem.sample_initial_state(episodes, torch.Generator().manual_seed(seed)).numpy()
    path = write_film(film(policy.problem, policy, states), video, fps=15, width=560)
    print(path)
    return path


if __name__ == "__main__":
    tyro.cli(main)
