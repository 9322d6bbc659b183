"""The implicit controller, PPO and SAC on one film, from the same initial state, with the open-loop optimum as a ghost.

Flies what ``pontryagin benchmark`` has trained; what is missing it trains here, briefly.
"""

from pathlib import Path

import tyro

import pontryagin
from pontryagin.envs.environment import frames_per_second
from pontryagin.envs.states import draw_states
from pontryagin.training.agents import load_controller
from pontryagin.training.benchmark.film import Flown, compare_frames, rgb
from pontryagin.training.benchmark.methods import METHODS, Task
from pontryagin.training.console import PlainConsole
from pontryagin.training.pictures.film import write_film


def main(
    problem: str = "quadrotor",
    methods: tuple[str, ...] = ("jfb", "ppo", "sac"),
    policies: Path = Path("runs/benchmark"),
    seconds: float = 60.0,
    seed: int = 0,
    optimum: bool = True,
    video: Path = Path("results/compare.gif"),
) -> Path:
    """Write a GIF or MP4.

    Args:
        problem: quadrotor, bicycle5, ..
        methods: which to show.
        policies: where the benchmark left them.
        seconds: of training, for a method that has left none.
        seed: of the initial state.
        optimum: solve for the open-loop optimum and show it, too.
        video: the film, .gif or .mp4.
    """
    made = pontryagin.make_problem(problem)
    z0 = draw_states(made, 1, seed)
    flown = []
    for name in methods:
        method, folder = METHODS[name], policies / problem / f"{name}-0"
        if (folder / "policy.json").exists():
            controller = load_controller(folder, made)
        else:
            PlainConsole().print(f"{method.label}: nothing in {folder}, training for {seconds:g} s", highlight=False)
            controller = method.make(Task(problem, made, 0, seconds)).controller
        path = pontryagin.evaluate(made, controller, z0).trajectory
        z, u = path.z[:, 0].numpy(), path.u[:, 0].numpy()
        flown.append(Flown(method.label, rgb(method.color), z, u, float(path.cost)))
        PlainConsole().print(f"{method.label}: cost {float(path.cost):.4g}", highlight=False)
    ghost = None
    if optimum:
        best = pontryagin.solve_reference(made, z0)
        said = f"cost {float(best.cost):.4g}" if best.converged.all() else f"not found, {best.status[0]}: none is shown"
        PlainConsole().print(f"optimum: {said}", highlight=False)
        ghost = (best.z[:, 0].numpy(), best.u[:, 0].numpy()) if best.converged.all() else None
    every = max(1, frames_per_second(made) // 15)
    frames = compare_frames(made, flown, ghost, every)
    print(write_film(frames, video, frames_per_second(made) // every, width=640))
    return video


if __name__ == "__main__":
    tyro.cli(main)
