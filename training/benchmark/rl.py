"""PPO, SAC and TQC of Stable-Baselines3 on the batched environment, within a budget of wall time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...controllers.baselines import Activation, ActorPolicy, find_equilibrium
from ...envs.boundary import to_action
from ...envs.integrate import rollout
from ...envs.problem import Problem
from ...envs.sb3 import as_sb3
from ...envs.vector import OptimalControlVectorEnv
from ..lost import ended, held_back
from ..train import VALIDATION_SEED
from .rl_recipes import PPORecipe, RLRecipe, SACRecipe, TQCRecipe
from .shaping import narrowed, shaped

if TYPE_CHECKING:
    from stable_baselines3 import PPO, SAC
    from stable_baselines3.common.vec_env import VecNormalize

Row = dict[str, float]
Watch = Callable[[Row], bool]
"""Sees a row of the curve as it is made; False ends the training."""
STRIDE = 1_000_003
"""Between the seeds of the environments of one run and the next."""
REST = 0.8
"""How far towards a bound the first action may lie with ``start="equilibrium"``."""


@dataclasses.dataclass
class Clock:
    """The budget of a run in seconds, all included: of wall time, or of what ``now`` measures."""

    budget: float
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.started = self.now()

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return self.now() - self.started

    @property
    def share(self) -> float:
        """Of the budget, at most 1."""
        return min(self.seconds / self.budget, 1.0)


@dataclasses.dataclass
class Learned:
    """The best policy on the validation states, and the curve: rows of seconds, env_steps, validation_cost.

    ``diverged`` is what SB3 said where numbers ran out before the budget did; the best until then is kept.
    """

    policy: ActorPolicy
    curve: list[Row]
    diverged: str | None = None


def train_rl(
    problem: Problem,
    recipe: PPORecipe | SACRecipe,
    budget: float,
    seed: int = 0,
    validations: int = 50,
    states: int = 128,
    watch: Watch = lambda row: True,
    now: Callable[[], float] = time.monotonic,
) -> Learned:
    """Train for ``budget`` seconds, everything included, and return the actor that was best on the validation states.

    The states are those on which ``train`` chooses, too. After each ``budget / validations`` seconds the actor is flown
    from them without its noise; that time is part of the budget, as it is for every other method. ``now`` is the clock.

    Raises:
        ValueError: on a budget that is not positive.
        ImportError: if Stable-Baselines3, or for TQC sb3-contrib, is not installed.
    """
    if not budget > 0:
        raise ValueError(f"budget is {budget!r}; expected a positive number of seconds")
    clock = Clock(budget, now)
    env = make_env(problem, recipe)
    model = make_model(problem, recipe, env, clock, seed)
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(VALIDATION_SEED))
    log = _Log(problem, model, env, clock, z0, watch)
    log.look()
    diverged = None
    try:
        model.learn(10**12, callback=_callback(log, budget / validations, recipe.normalise_steps))
        log.look()
    except ValueError as error:  # torch's, of a mean that is not a number, or the environment's, of an action
        if not any(words in str(error) for words in ("invalid values", "not finite")):
            raise
        diverged = str(error).partition("\n")[0]
    env.close()
    return Learned(log.best, log.curve, diverged)


def make_env(problem: Problem, recipe: RLRecipe) -> VecNormalize:
    """The batched environment, shaped and narrowed as the recipe says, with observations and rewards normalised."""
    from stable_baselines3.common.vec_env import VecNormalize

    env = as_sb3(OptimalControlVectorEnv(problem, recipe.num_envs, compile=recipe.compile_env))
    env = shaped(problem, env) if recipe.shaping else env
    env = env if all(share == 1 for share in recipe.action_share) else narrowed(problem, env, recipe.action_share)
    return VecNormalize(env, norm_reward=recipe.normalise_rewards, gamma=recipe.gamma, clip_reward=recipe.reward_clip)


def make_model(problem: Problem, recipe: PPORecipe | SACRecipe, env: VecNormalize, clock: Clock, seed: int) -> Any:
    """PPO, SAC or TQC as the recipe says; the learning rate follows the clock."""
    from stable_baselines3 import PPO, SAC

    def pace(_: float) -> float:
        return recipe.learning_rate * (1 - (1 - recipe.final_share) * clock.share)

    kinds = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    network: dict[str, Any] = {"net_arch": [recipe.width, recipe.width], "activation_fn": kinds[recipe.activation]}
    if isinstance(recipe, PPORecipe):
        model: Any = PPO(
            "MlpPolicy", env, learning_rate=pace, n_steps=recipe.n_steps,
            batch_size=recipe.num_envs * recipe.n_steps // recipe.minibatches, n_epochs=recipe.epochs,
            gamma=recipe.gamma, gae_lambda=recipe.gae_lambda, clip_range=recipe.clip_range, ent_coef=0.0,
            target_kl=recipe.target_kl, policy_kwargs={**network, "log_std_init": recipe.log_std}, seed=seed,
            device="cpu",
        )  # fmt: skip
        head: Any = model.policy.action_net
    else:
        kind: Any = SAC
        more: dict[str, Any] = {}
        if isinstance(recipe, TQCRecipe):
            from sb3_contrib import TQC

            kind, more = TQC, {"top_quantiles_to_drop_per_net": recipe.dropped}
        model = kind(
            "MlpPolicy", env, learning_rate=pace, buffer_size=recipe.buffer, learning_starts=recipe.random_steps,
            batch_size=recipe.batch, tau=recipe.tau, gamma=recipe.gamma, train_freq=1,
            gradient_steps=recipe.gradient_steps, ent_coef=f"auto_{recipe.initial_entropy}",
            target_entropy=-recipe.target_entropy_scale * problem.control_dim, policy_kwargs=network, seed=seed,
            device="cpu", **more,
        )  # fmt: skip
        head = model.policy.actor.mu
        noise: Any = model.policy.actor.log_std
        with torch.no_grad():
            noise.weight.mul_(0.1)
            noise.bias.fill_(recipe.log_std)
    env.seed(STRIDE * seed)  # SB3 has seeded them with seed, seed + 1, ..: almost those of the next run
    u = _equilibrium(problem) if recipe.start == "equilibrium" else None
    if u is not None:
        reach = torch.as_tensor(getattr(env, "action_reach", 1.0))
        rest = (to_action(problem, u) / reach).clamp(-REST, REST)
        with torch.no_grad():
            head.bias.copy_(rest if isinstance(recipe, PPORecipe) else torch.atanh(rest))
            head.weight.mul_(1.0 if isinstance(recipe, PPORecipe) else 0.1)  # PPO begins with a gain of 0.01
    return model


def _equilibrium(problem: Problem) -> Tensor | None:
    """The control that holds the target, ``(m,)``, if one does."""
    try:
        return find_equilibrium(problem)[1].float()
    except ValueError:
        return None


def actor_policy(problem: Problem, model: PPO | SAC, env: VecNormalize | None) -> ActorPolicy:
    """The actor of an SB3 model, with the normalisation of observations and the reach of actions of ``env``.

    Raises:
        ValueError: if its network is not one of linear layers with tanh or relu between them.
    """
    policy: Any = model.policy
    ppo = hasattr(policy, "action_net")
    body = policy.mlp_extractor.policy_net if ppo else policy.actor.latent_pi
    layers, kinds = [], set()
    for part in [*body, policy.action_net if ppo else policy.actor.mu]:
        if isinstance(part, torch.nn.Linear):
            layers.append((part.weight, part.bias))
        else:
            kinds.add(type(part))
    names: dict[type, Any] = {torch.nn.Tanh: "tanh", torch.nn.ReLU: "relu"}
    if len(kinds) > 1 or not kinds <= set(names):
        raise ValueError(f"the actor has layers of {sorted(k.__name__ for k in kinds)}; expected Tanh or ReLU")
    mean, std = torch.zeros(problem.state_dim + 1), torch.ones(problem.state_dim + 1)
    if env is not None:
        statistics: Any = env.obs_rms
        mean = torch.from_numpy(statistics.mean).float()
        std = torch.from_numpy(np.sqrt(statistics.var + env.epsilon)).float()
    kind: Activation = names[kinds.pop()] if kinds else "tanh"
    reach = getattr(env, "action_reach", None)  # VecEnv wrappers look further in
    return ActorPolicy(problem, layers, mean, std, kind, not ppo, None if reach is None else torch.from_numpy(reach))


class _Log:
    """Flies the present actor from the validation states; remembers the curve and the best."""

    def __init__(self, problem: Problem, model: Any, env: VecNormalize, clock: Clock, z0: Tensor, watch: Watch) -> None:
        self.problem, self.model, self.env, self.clock, self.z0, self.watch = problem, model, env, clock, z0, watch
        self.curve: list[Row] = []
        self.best, self.best_cost = actor_policy(problem, model, env), math.inf

    def look(self) -> bool:
        """Add a row; whether to go on."""
        actor = actor_policy(self.problem, self.model, self.env)
        with torch.no_grad():
            path = rollout(self.problem, held_back(actor), self.z0)
            cost = float(ended(self.problem, path)[0].cost.mean())  # as its environment charges
        seconds, steps = self.clock.seconds, float(self.model.num_timesteps)
        row = {"seconds": seconds, "env_steps": steps, "validation_cost": cost}
        self.curve.append(row)
        if cost < self.best_cost:
            self.best, self.best_cost = actor, cost
        return self.watch(row)


def _callback(log: _Log, interval: float, hold: int | None) -> Any:
    from stable_baselines3.common.callbacks import BaseCallback

    class Validate(BaseCallback):
        """Looks at the clock at every step, at the cost now and then; holds the normalisation from ``hold`` on."""

        def __init__(self) -> None:
            super().__init__()
            self.last = log.clock.seconds

        def _on_step(self) -> bool:
            if hold is not None and self.num_timesteps >= hold:
                log.env.training = False
            now = log.clock.seconds
            if now >= log.clock.budget:
                return False
            if now - self.last < interval:
                return True
            self.last = now
            return log.look()

    return Validate()
