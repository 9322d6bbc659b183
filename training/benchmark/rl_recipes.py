"""How PPO, SAC and TQC are trained on each problem: plain dataclasses, the result of ``pontryagin tune``."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

Algorithm: TypeAlias = Literal["ppo", "sac", "tqc"]


@dataclasses.dataclass(frozen=True)
class RLRecipe:
    """What PPO and SAC share. The learning rate falls linearly to ``final_share`` of itself over the budget."""

    num_envs: int = 64
    """Copies of the environment that are stepped as one batch."""
    gamma: float = 0.999
    """Discount. The problem has a finite horizon and no discount: 1 is the true objective."""
    learning_rate: float = 1e-3
    """Of Adam, at the beginning."""
    final_share: float = 0.02
    """Learning rate at the end of the budget, relative to the first."""
    width: int = 64
    """Units of each of the two hidden layers, of the actor and of the critic."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Between the layers."""
    start: Literal["middle", "equilibrium"] = "equilibrium"
    """The control that an untrained actor gives: the middle of the box, or what holds the target, if there is such."""
    log_std: float = -1.5
    """Logarithm of the initial standard deviation of the actions, which reach from -1 to 1."""
    normalise_rewards: bool = True
    """Divide rewards by the running standard deviation of the discounted return."""
    reward_clip: float = 10.0
    """Largest normalised reward."""
    normalise_steps: int | None = None
    """Environment steps after which the statistics of observations and rewards are held. Where an untrained actor flies
    off, states a thousand times too far widen them until those near the path look all alike. None: never held."""
    shaping: bool = False
    """Pay G as it changes, -(G(z') - G(z)) at each step, instead of -G(z(T)) at the end: potential-based shaping (Ng,
    Harada and Russell 1999), which adds G(z(0)) to the return, a number that no action changes."""
    action_share: tuple[float, ...] = (1.0,)
    """How far an action of 1 reaches, as a share of half a control's range, for each control of an agent. The optimum
    may use the whole range: what is shut out is out of reach of the policy."""
    compile_env: bool = False
    """Compile the step of the environment: about 20 s of the budget, a faster step after."""

    def __post_init__(self) -> None:
        for name in ("num_envs", "learning_rate", "final_share", "width", "reward_clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{type(self).__name__}.{name} is {getattr(self, name)!r}; expected a positive number")
        if not all(0 < share <= 1 for share in self.action_share):
            raise ValueError(f"{type(self).__name__}.action_share is {self.action_share!r}; expected numbers in (0, 1]")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"{type(self).__name__}.gamma is {self.gamma!r}; expected a discount in (0, 1]")
        if self.normalise_steps is not None and self.normalise_steps < 1:
            raise ValueError(
                f"{type(self).__name__}.normalise_steps is {self.normalise_steps!r}; expected a number >= 1, or None"
            )


@dataclasses.dataclass(frozen=True)
class PPORecipe(RLRecipe):
    """PPO of Stable-Baselines3."""

    n_steps: int = 160
    """Steps of each copy between two updates."""
    minibatches: int = 20
    """Parts into which those samples are cut, in each epoch."""
    epochs: int = 10
    """Passes over them."""
    gae_lambda: float = 0.98
    """λ of the generalised advantage estimate."""
    clip_range: float = 0.2
    """Of the ratio of probabilities."""
    target_kl: float | None = None
    """Divergence at which the passes of an update end early."""


@dataclasses.dataclass(frozen=True)
class SACRecipe(RLRecipe):
    """SAC of Stable-Baselines3."""

    num_envs: int = 16
    learning_rate: float = 3e-4
    gamma: float = 0.99
    activation: Literal["tanh", "relu"] = "relu"
    width: int = 128
    log_std: float = -1.0
    shaping: bool = True
    gradient_steps: int = 8
    """Updates after each step of the batch of copies."""
    batch: int = 256
    """Transitions of an update."""
    buffer: int = 1_000_000
    """Transitions that are kept."""
    random_steps: int = 0
    """Transitions with actions drawn from the whole box, at the beginning, instead of the first actor's own. They cost
    hundreds of times the optimum and drown what comes after."""
    tau: float = 0.005
    """Share by which the target network follows."""
    initial_entropy: float = 0.01
    """First value of the entropy coefficient, which is then learnt."""
    target_entropy_scale: float = 1.0
    """Entropy aimed at, in multiples of -m."""


@dataclasses.dataclass(frozen=True)
class TQCRecipe(SACRecipe):
    """TQC of sb3-contrib: SAC with critics of quantiles, the highest of which are dropped."""

    dropped: int = 2
    """Quantiles that each of the two critics drops, of 25."""


BICYCLES: dict[str, Any] = {
    "start": "middle", "log_std": -2.5, "gae_lambda": 0.95, "num_envs": 128, "n_steps": 60, "minibatches": 10,
}  # fmt: skip
"""What PPO's recipes for bicycles share: the middle of their box is their equilibrium."""

RECIPES: dict[tuple[str, Algorithm], PPORecipe | SACRecipe] = {
    ("quadrotor", "ppo"): PPORecipe(
        learning_rate=8.6e-4, width=128, log_std=-1.66, epochs=5, gae_lambda=0.99, num_envs=64
    ),
    ("quadrotor", "sac"): SACRecipe(log_std=-2.0, normalise_steps=2560),
    ("bicycle5", "ppo"): PPORecipe(**BICYCLES, learning_rate=1e-3),
    ("bicycle5", "sac"): SACRecipe(
        num_envs=64,
        log_std=-2.0,
        width=64,
        action_share=(0.05, 0.25),
        normalise_steps=3840,
        gamma=0.95,
        batch=512,
        learning_rate=1e-3,
        tau=0.01,
    ),
    ("crazyflie", "ppo"): PPORecipe(num_envs=64, n_steps=100, log_std=-2.5, width=128, action_share=(0.5,)),
    ("crazyflie", "sac"): SACRecipe(log_std=-2.0, normalise_steps=1600, action_share=(0.5,)),
    ("bicycle100", "ppo"): PPORecipe(
        start="middle",
        num_envs=128,
        n_steps=20,
        minibatches=4,
        epochs=4,
        log_std=-0.5,
        action_share=(0.1, 0.3),
        shaping=True,
        gamma=0.98,
        gae_lambda=0.9,
        learning_rate=3e-4,
    ),
    ("bicycle100", "sac"): SACRecipe(
        start="middle",
        num_envs=128,
        log_std=-2.0,
        width=256,
        action_share=(0.05, 0.25),
        normalise_steps=7680,
        gamma=0.95,
        learning_rate=1e-3,
        tau=0.01,
    ),
}


def rl_recipe(problem: str, algorithm: Algorithm) -> PPORecipe | SACRecipe:
    """The tuned recipe of a shipped problem; the plain defaults for any other. TQC's is that of SAC."""
    if algorithm == "tqc":
        return TQCRecipe(**dataclasses.asdict(rl_recipe(problem, "sac")))
    return RECIPES.get((problem, algorithm), PPORecipe() if algorithm == "ppo" else SACRecipe())
