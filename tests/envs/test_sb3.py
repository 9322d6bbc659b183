"""The Stable-Baselines3 adapter, and a policy that flies in its tools."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

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
    vector = pontryagin.as_sb3(OptimalControlVectorEnv(short_quadrotor, 3))
    evaluate_policy(policy, vector, n_eval_episodes=3, warn=False)


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
