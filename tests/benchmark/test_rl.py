"""PPO and SAC within a budget: the actor that is taken out of SB3, shaping, the clock, the search for settings."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from conftest import Ticks

from pontryagin import DoubleIntegrator, Quadrotor, rollout
from pontryagin.controllers.baselines.actor import ActorPolicy
from pontryagin.training.benchmark import rl
from pontryagin.training.benchmark.rl import Clock, actor_policy, make_env, make_model, train_rl
from pontryagin.training.benchmark.rl_recipes import RECIPES, PPORecipe, SACRecipe, TQCRecipe, rl_recipe
from pontryagin.training.benchmark.shaping import narrowed
from pontryagin.training.commands.cli import main
from pontryagin.training.train import VALIDATION_SEED

PPO = PPORecipe(num_envs=8, n_steps=20, minibatches=4, epochs=4, width=16, learning_rate=3e-3)
SAC = SACRecipe(num_envs=8, gradient_steps=1, width=16, batch=32, random_steps=32)
TQC = TQCRecipe(**dataclasses.asdict(SAC))
NARROW = dataclasses.replace(SAC, action_share=(0.5, 0.25))


@pytest.mark.parametrize("recipe", [PPO, SAC, TQC, NARROW, dataclasses.replace(PPO, activation="relu", shaping=True)])
def test_the_actor_taken_out_acts_as_the_model_does(recipe, tmp_path):
    if isinstance(recipe, TQCRecipe):
        pytest.importorskip("sb3_contrib")
    problem = Quadrotor(steps=12)
    env = make_env(problem, recipe)
    model = make_model(problem, recipe, env, Clock(1e9), seed=0)
    model.learn(200)
    with torch.no_grad():
        for weight in model.policy.parameters():  # far from where it began, so that actions are clipped, too
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    actor = actor_policy(problem, model, env)
    seen = np.random.default_rng(0).normal(size=(64, 13)).astype(np.float32)
    seen[:, -1] = np.abs(seen[:, -1])
    expected, _ = model.predict(env.normalize_obs(seen), deterministic=True)
    found, _ = actor.predict(seen)
    reach = np.tile(recipe.action_share, 4 // len(recipe.action_share))
    np.testing.assert_allclose(found, reach * np.clip(expected, -1, 1), atol=2e-5)
    assert (np.abs(expected) > 0.9).any() and np.abs(expected).min() < 0.5
    again = ActorPolicy.load(actor.save(tmp_path / "actor"))
    np.testing.assert_array_equal(again.predict(seen[0])[0], actor.predict(seen[0])[0])
    assert again(0.5, torch.zeros(3, 12, dtype=torch.float64)).dtype == torch.float64


def test_actors_are_refused_where_they_do_not_fit(tmp_path):
    problem, bias = DoubleIntegrator(), torch.zeros(1)
    mean, std = torch.zeros(3), torch.ones(3)
    with pytest.raises(ValueError, match="from 3 inputs to 1 outputs"):
        ActorPolicy(problem, [(torch.zeros(1, 2), bias)], mean, std)
    with pytest.raises(ValueError, match="activation is 'elu'"):
        ActorPolicy(problem, [(torch.zeros(1, 3), bias)], mean, std, "elu")
    for reach in (torch.ones(2), torch.zeros(1), torch.tensor([1.5])):
        with pytest.raises(ValueError, match="reach is"):
            ActorPolicy(problem, [(torch.zeros(1, 3), bias)], mean, std, reach=reach)
    folder = ActorPolicy(problem, [(torch.zeros(1, 3), bias)], mean, std).save(tmp_path)
    with pytest.raises(ValueError, match="was trained for"):
        ActorPolicy.load(folder, Quadrotor())
    from pontryagin import DirectPolicy

    DirectPolicy(problem, 4, seed=0).save(tmp_path)
    with pytest.raises(ValueError, match="holds a 'DirectPolicy'"):
        ActorPolicy.load(tmp_path)


@pytest.mark.parametrize("start", ["middle", "equilibrium"])
def test_where_the_first_actor_begins(start):
    problem = Quadrotor(steps=12)
    for recipe in (PPO, SAC):
        recipe = dataclasses.replace(recipe, start=start)
        env = make_env(problem, recipe)
        actor = actor_policy(problem, make_model(problem, recipe, env, Clock(1.0), seed=0), env)
        u = actor(0.0, torch.zeros(1, 12))[0]
        torch.testing.assert_close(u[0], torch.tensor(0.5 if start == "equilibrium" else 1.5), atol=0.3, rtol=0)
        assert u[1:].abs().max() < 0.4


def test_narrowed_actions_reach_a_share_of_the_range():
    problem = Quadrotor(steps=12)
    plain, narrow = (make_env(problem, dataclasses.replace(PPO, action_share=s)) for s in ((1.0,), (0.5, 0.25)))
    for env in (plain, narrow):
        env.training = False
        env.seed(3)
        env.reset()
    action = np.linspace(-1.5, 1.0, 32, dtype=np.float32).reshape(8, 4)
    scaled = np.clip(action, -1, 1) * np.float32([0.5, 0.25, 0.5, 0.25])
    np.testing.assert_array_equal(narrow.step(action)[0], plain.step(scaled)[0])
    for share in ((), (0.5, 0.5, 0.5), (0.0, 1.0), (2.0,)):
        with pytest.raises(ValueError, match="share is"):
            narrowed(problem, plain, share)
    with pytest.raises(ValueError, match="action_share is"):
        SACRecipe(action_share=(1.5,))


def test_shaping_adds_the_terminal_cost_of_the_start_and_nothing_else():
    problem = Quadrotor(steps=12)
    totals = {}
    for shaping in (False, True):
        env = make_env(problem, dataclasses.replace(PPO, shaping=shaping, num_envs=4)).venv
        env.seed(3)
        observation = env.reset()
        bonus = problem.terminal_cost(torch.from_numpy(observation[:, :-1])).numpy()
        totals[shaping] = np.zeros(4)
        for _ in range(12):
            actions = np.linspace(-0.5, 0.5, 16, dtype=np.float32).reshape(4, 4)
            _, rewards, done, _ = env.step(actions)
            totals[shaping] += rewards
        assert done.all()
    np.testing.assert_allclose(totals[True], totals[False] + bonus, rtol=1e-5)


def test_the_learning_rate_follows_the_clock():
    now = [0.0]
    clock = Clock(10.0, lambda: now[0])
    env = make_env(DoubleIntegrator(), PPO)
    model = make_model(DoubleIntegrator(), dataclasses.replace(PPO, final_share=0.1), env, clock, seed=0)
    rates = []
    for now[0] in (0.0, 5.0, 10.0, 20.0):
        rates.append(model.lr_schedule(1.0) / PPO.learning_rate)
    assert rates == pytest.approx([1, 0.55, 0.1, 0.1]) and clock.seconds == 20


def test_training_ends_with_the_budget_and_keeps_the_best():
    problem = DoubleIntegrator()
    learned = train_rl(problem, PPO, budget=3.0, seed=0, validations=8, states=32, now=Ticks(0.01))
    seconds = [row["seconds"] for row in learned.curve]
    assert seconds == sorted(seconds) and 3.0 <= seconds[-1] < 3.1 and len(seconds) == 9
    cost = min(row["validation_cost"] for row in learned.curve)
    assert cost < 0.8 * learned.curve[0]["validation_cost"]
    z0 = problem.sample_initial_state(32, torch.Generator().manual_seed(VALIDATION_SEED))
    with torch.no_grad():
        assert float(rollout(problem, learned.policy, z0).cost.mean()) == pytest.approx(cost, rel=1e-5)
    assert learned.curve[-1]["env_steps"] % PPO.num_envs == 0


def test_who_watches_may_end_the_training():
    rows = []
    learned = train_rl(
        DoubleIntegrator(), SAC, 60.0, validations=600, states=4,
        watch=lambda row: not rows.append(row) and len(rows) < 3, now=Ticks(0.02),
    )  # fmt: skip
    assert len(learned.curve) <= 5 and learned.curve[-1]["seconds"] < 60


def test_numbers_that_run_out_end_the_training_and_not_the_benchmark():
    from pontryagin.training.benchmark.methods import METHODS, Task

    hot = dataclasses.replace(PPO, learning_rate=1e30)
    learned = train_rl(DoubleIntegrator(), hot, 30.0, states=4, now=Ticks(0.01))
    # where another test has switched torch's checks of distributions off, it is the environment that refuses
    assert (
        any(words in learned.diverged for words in ("invalid values", "not finite"))
        and learned.curve[-1]["seconds"] < 30
    )
    assert np.isfinite(learned.policy(0.0, torch.zeros(1, 2)).detach().numpy()).all()
    assert METHODS["ppo"].make(Task("double_integrator", DoubleIntegrator(), 0, 0.2)).settings["diverged"] is None


@pytest.mark.parametrize(("recipe", "hold"), [(PPO, 3 * PPO.num_envs), (SAC, 5 * SAC.num_envs), (PPO, None)])
def test_the_normalisation_is_held_from_a_step_on(recipe, hold, monkeypatch):
    made = []
    monkeypatch.setattr(rl, "make_env", lambda *given: made.append(make_env(*given)) or made[0])
    held = dataclasses.replace(recipe, normalise_steps=hold)
    learned = train_rl(
        DoubleIntegrator(),
        held,
        60.0,
        validations=600,
        states=4,
        watch=lambda row: row["env_steps"] < 400,
        now=Ticks(0.02),
    )
    seen = learned.curve[-1]["env_steps"] if hold is None else hold
    assert made[0].training == (hold is None) and learned.curve[-1]["env_steps"] >= seen
    assert made[0].obs_rms.count == pytest.approx(seen + recipe.num_envs, abs=0.01)  # those of the reset, too


@pytest.mark.parametrize(
    ("change", "message"), [({"gamma": 1.2}, "gamma"), ({"num_envs": 0}, "num_envs"), ({"normalise_steps": 0}, "None")]
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PPO, **change)
    with pytest.raises(ValueError, match="budget is 0"):
        train_rl(DoubleIntegrator(), PPO, 0)


def test_recipes_are_of_their_algorithm():
    for (_, algorithm), recipe in RECIPES.items():
        assert isinstance(recipe, PPORecipe if algorithm == "ppo" else SACRecipe)
    assert isinstance(rl_recipe("my_module:Rocket", "ppo"), PPORecipe)
    assert isinstance(rl_recipe("my_module:Rocket", "sac"), SACRecipe)
    assert rl_recipe("quadrotor", "tqc") == TQCRecipe(**dataclasses.asdict(RECIPES["quadrotor", "sac"]))


def test_tune_keeps_its_log_and_goes_on(tmp_path, capsys):
    def tune(trials):
        main(f"tune double_integrator --trials {trials} --time-budget 0.4s --out-dir {tmp_path}".split())

    tune(2)
    tune(3)
    with (tmp_path / "double_integrator-ppo.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    assert json.loads(rows[0]["recipe"])["learning_rate"] == PPORecipe().learning_rate
    assert float(rows[0]["cost"]) > 0 and "PPORecipe(" in capsys.readouterr().out
    with pytest.raises(ValueError, match="trials"):
        from pontryagin.training.benchmark.tuning import TuneConfig

        TuneConfig(trials=0)
