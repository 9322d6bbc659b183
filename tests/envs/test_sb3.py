"""The Stable-Baselines3 adapter, and a policy that flies in its tools."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector

import pontryagin
from pontryagin import DoubleIntegrator, OptimalControlEnv, OptimalControlVectorEnv, Quadrotor, rollout


def test_sb3_adapter():
    problem = Quadrotor(steps=6)
    adapter = pontryagin.as_sb3(OptimalControlVectorEnv(problem, 4))
    adapter.seed(3)
    observation = adapter.reset()
    reference = OptimalControlVectorEnv(problem, 4, autoreset_mode=AutoresetMode.SAME_STEP)
    assert np.array_equal(observation, reference.reset(seed=3)[0])
    actions = np.zeros((4, 4), np.float32)
    for k in range(1, 14):
        observation, rewards, dones, infos = adapter.step(actions)
        expected = reference.step(actions)
        assert np.array_equal(observation, expected[0]) and dones.all() == (k % 6 == 0)
        if dones.all():
            assert np.array_equal(infos[2]["terminal_observation"], expected[4]["final_obs"][2])
            assert infos[2]["TimeLimit.truncated"] is False and "is_success" in infos[2]
    with pytest.raises(ValueError, match="OptimalControlVectorEnv"):
        pontryagin.as_sb3(SyncVectorEnv([lambda: OptimalControlEnv(problem)]))


def test_ppo_learns_through_the_adapter():
    """A few iterations of PPO on the double integrator lower its cost: the reward and the resets are wired right."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecMonitor

    torch.manual_seed(0)
    env = VecMonitor(pontryagin.as_sb3(OptimalControlVectorEnv(DoubleIntegrator(), 64)))
    model = PPO("MlpPolicy", env, n_steps=20, batch_size=320, gamma=1.0, seed=0, device="cpu")
    model.learn(64 * 20)
    first = np.mean([episode["r"] for episode in model.ep_info_buffer])
    model.learn(64 * 20 * 12)
    assert np.mean([episode["r"] for episode in model.ep_info_buffer]) > first


def test_policy_flies_in_sb3_evaluate_policy(policy, short_quadrotor):
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    env = Monitor(OptimalControlEnv(short_quadrotor))
    env.reset(seed=0)
    rewards, lengths = evaluate_policy(policy, env, n_eval_episodes=2, return_episode_rewards=True)
    assert lengths == [12, 12] and np.isfinite(rewards).all()
    many = pontryagin.as_sb3(OptimalControlVectorEnv(short_quadrotor, 3))
    evaluate_policy(policy, many, n_eval_episodes=3, warn=False)


def test_env_and_rollout_agree_under_the_policy(policy, short_quadrotor):
    env = OptimalControlEnv(short_quadrotor)
    observation, _ = env.reset(seed=1)
    z0 = torch.from_numpy(observation[None, :-1])
    total, done, memory = 0.0, False, None
    while not done:
        action, memory = policy.predict(observation, memory)
        observation, reward, done, _, _ = env.step(action)
        total += reward
    with torch.no_grad():
        assert total == pytest.approx(-rollout(short_quadrotor, policy, z0).cost.item(), rel=1e-4)


def wrapped(problem, wrap, mode=AutoresetMode.SAME_STEP, count=3):
    return pontryagin.as_sb3(wrap(OptimalControlVectorEnv(problem, count, autoreset_mode=mode)))


def test_wrappers_are_kept(short_quadrotor):
    def wrap(env):
        env = vector.TransformReward(env, lambda r: 0.5 * r)
        return vector.RecordEpisodeStatistics(vector.RescaleAction(env, -2.0, 2.0))

    env, plain = wrapped(short_quadrotor, wrap), wrapped(short_quadrotor, lambda env: env)
    assert env.action_space.high.max() == 2.0
    assert env.env_is_wrapped(vector.RecordEpisodeStatistics) == [True] * 3
    assert plain.env_is_wrapped(vector.RecordEpisodeStatistics) == [False] * 3
    for one in (env, plain):
        one.seed(0)
        assert one.reset().shape == (3, 13)
    total = np.zeros(3)
    for _ in range(12):
        _, rewards, dones, infos = env.step(np.full((3, 4), 1.0, np.float32))
        expected = plain.step(np.full((3, 4), 0.5, np.float32))
        np.testing.assert_allclose(rewards, 0.5 * expected[1], rtol=1e-5)
        total += rewards
    assert dones.all() and np.array_equal(infos[1]["terminal_observation"], expected[3][1]["terminal_observation"])
    assert infos[1]["episode"]["l"] == 12 and infos[1]["episode"]["r"] == pytest.approx(total[1], rel=1e-5)
    env.set_attr("render_mode", "rgb_array")
    assert env.env.unwrapped.render_mode == "rgb_array" and env.get_attr("problem") == [short_quadrotor] * 3


def test_a_wrapper_that_was_made_for_another_mode_is_refused(short_quadrotor):
    with pytest.raises(ValueError, match=r'RecordEpisodeStatistics around .*NEXT_STEP.*autoreset_mode="SameStep"'):
        wrapped(short_quadrotor, vector.RecordEpisodeStatistics, AutoresetMode.NEXT_STEP)


def test_options_seeds_and_infos_of_the_reset(short_quadrotor):
    env = wrapped(short_quadrotor, vector.RecordEpisodeStatistics)
    state = np.arange(12.0)
    env.seed(np.int64(4))
    drawn = env.reset()
    assert [sorted(info) for info in env.reset_infos] == [sorted(OptimalControlEnv(short_quadrotor).reset()[1])] * 3
    np.testing.assert_array_equal(env.reset_infos[1]["state"], drawn[1, :-1])
    env.seed(4)
    env.set_options([{}, {"state": state}, {}])
    some = env.reset()
    np.testing.assert_array_equal(some[[0, 2]], drawn[[0, 2]])
    np.testing.assert_array_equal(some[1, :-1], state)
    np.testing.assert_array_equal(env.reset_infos[1]["state"], state)
    env.set_options({"state": state})
    np.testing.assert_array_equal(env.reset()[:, :-1], np.stack([state] * 3))
    env.set_options({"stat": state})
    with pytest.raises(ValueError, match="unknown reset option 'stat'"):
        env.reset()


def test_a_step_that_nobody_asked_for_is_a_sentence(short_quadrotor):
    env = wrapped(short_quadrotor, lambda env: env)
    env.reset()
    for _ in range(2):
        with pytest.raises(ValueError, match="step_wait was called before step_async"):
            env.step_wait()
        env.step(np.zeros((3, 4), np.float32))
