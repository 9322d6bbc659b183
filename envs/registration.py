"""The environment ids: ``gymnasium.make("pontryagin/Quadrotor-v0", **fields_of_the_problem)``."""

from __future__ import annotations

from typing import Any

import gymnasium

from .catalog import PROBLEMS
from .environment import OptimalControlEnv
from .vector import OptimalControlVectorEnv

ENVIRONMENTS = {
    "pontryagin/Quadrotor-v0": "quadrotor",
    "pontryagin/QuadrotorFree-v0": "quadrotor_free",
    "pontryagin/QuadrotorSlides-v0": "quadrotor_slides",
    "pontryagin/MultiBicycle5-v0": "bicycle5",
    "pontryagin/MultiBicycle100-v0": "bicycle100",
    "pontryagin/MultiBicycleSwap100-v0": "swap100",
    "pontryagin/Swarm5-v0": "swarm5",
    "pontryagin/Swarm100-v0": "swarm100",
    "pontryagin/Crazyflie-v0": "crazyflie",
    "pontryagin/Consumption-v0": "consumption",
    "pontryagin/Pendulum-v0": "pendulum",
    "pontryagin/CartPole-v0": "cartpole",
    "pontryagin/Dubins-v0": "dubins",
    "pontryagin/VanDerPol-v0": "van_der_pol",
    "pontryagin/Epidemic-v0": "epidemic",
    "pontryagin/Reactor-v0": "reactor",
    "pontryagin/Harvest-v0": "harvest",
    "pontryagin/ReactionDiffusion-v0": "reaction_diffusion",
    "pontryagin/Burgers-v0": "burgers",
    "pontryagin/Goddard-v0": "goddard",
    "pontryagin/MinFuel-v0": "min_fuel",
    "pontryagin/Rocket-v0": "rocket",
}
"""Environment id -> short name of the problem."""


def register_environments() -> None:
    """Register the ids with Gymnasium. The episode ends by itself at the horizon, so there is no time limit."""
    for name, problem in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="pontryagin.envs.registration:make_environment",
                vector_entry_point="pontryagin.envs.registration:make_vector_environment",
                kwargs={"problem": problem},
            )


def make_environment(problem: str, render_mode: str | None = None, **fields: Any) -> OptimalControlEnv:
    """The environment of a short name; ``fields`` are fields of the problem, such as ``steps`` or ``mass``."""
    kind, arguments = PROBLEMS[problem]
    return OptimalControlEnv(kind(**{**arguments, **fields}), render_mode)


# Where gymnasium.make looks for what can be drawn: with it, "rgb_array_list" collects the frames of "rgb_array".
make_environment.__dict__["metadata"] = OptimalControlEnv.metadata


def make_vector_environment(
    problem: str,
    num_envs: int = 1,
    device: str = "cpu",
    autoreset_mode: gymnasium.vector.AutoresetMode | str = gymnasium.vector.AutoresetMode.NEXT_STEP,
    max_episode_steps: int | None = None,
    render_mode: str | None = None,
    compile: bool = False,
    **fields: Any,
) -> OptimalControlVectorEnv:
    """The vector environment of a short name."""
    kind, arguments = PROBLEMS[problem]
    made = kind(**{**arguments, **fields})
    return OptimalControlVectorEnv(made, num_envs, device, autoreset_mode, max_episode_steps, render_mode, compile)
