"""The implicit policy and the environments in the loops that people of reinforcement learning already have."""

import sys
import types

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize, VecVideoRecorder

import pontryagin
from pontryagin import DoubleIntegrator, ImplicitPolicy, OptimalControlVectorEnv, Quadrotor, hamiltonian, rollout


@pytest.fixture(scope="module")
def shipped():
    return ImplicitPolicy.load("quadrotor", device="cpu")


def test_evaluate_policy_and_monitor_give_minus_the_cost(shipped, tmp_path):
    env = Monitor(gymnasium.make("pontryagin/Quadrotor-v0"), str(tmp_path / "log"))
    env.reset(seed=0)
    mean, _ = evaluate_policy(shipped, env, n_eval_episodes=2)
    assert -19 < mean < -14
    assert env.get_episode_lengths() == [160, 160]
    assert np.mean(env.get_episode_rewards()) == pytest.approx(mean, rel=1e-5)
    assert (tmp_path / "log.monitor.csv").read_text().count("\n") == 4  # what it is, headings, two episodes


def test_many_episodes_at_once_give_the_same_returns(shipped):
    env = VecMonitor(pontryagin.as_sb3(OptimalControlVectorEnv(Quadrotor(), 16)))
    env.seed(0)
    first = env.reset()[:, :-1].copy()
    env.seed(0)
    returns, lengths = evaluate_policy(shipped, env, n_eval_episodes=16, return_episode_rewards=True)
    assert set(lengths) == {160}
    with torch.no_grad():
        cost = rollout(Quadrotor(), shipped, torch.from_numpy(first)).cost
    np.testing.assert_allclose(sorted(returns), sorted(-cost.numpy()), rtol=1e-3)


@pytest.mark.parametrize("unwrap", [lambda env: env, Monitor])
def test_the_problem_is_behind_every_wrapper(unwrap):
    env = unwrap(gymnasium.make("pontryagin/Quadrotor-v0"))
    observation, info = env.reset(seed=1)
    problem = env.unwrapped.problem
    z, t = torch.from_numpy(observation[None, :-1]), torch.tensor(float(observation[-1]))
    u, p = torch.tensor([[0.5, 0.1, 0.0, -0.1]]), torch.randn(1, 12)
    f, running = problem.dynamics(t, z, u), problem.running_cost(t, z, u)
    assert f.shape == (1, 12) and problem.terminal_cost(z).shape == (1,)
    torch.testing.assert_close(hamiltonian(problem, t, z, p, u), -(p * f).sum(-1) - running)
    vector = pontryagin.as_sb3(OptimalControlVectorEnv(problem, 2))
    assert vector.get_attr("problem")[0] is problem and VecMonitor(vector).get_attr("problem")[1] is problem


def test_eval_callback_keeps_the_best_model_on_our_env(tmp_path):
    problem = DoubleIntegrator()
    train = VecNormalize(VecMonitor(pontryagin.as_sb3(OptimalControlVectorEnv(problem, 16))), norm_reward=False)
    check = VecNormalize(VecMonitor(pontryagin.as_sb3(OptimalControlVectorEnv(problem, 8))), training=False)
    check.norm_reward = False
    callback = EvalCallback(
        check, n_eval_episodes=8, eval_freq=20, best_model_save_path=str(tmp_path), log_path=str(tmp_path), verbose=0
    )
    PPO("MlpPolicy", train, n_steps=20, batch_size=160, gamma=1.0, seed=0, device="cpu").learn(16 * 60, callback)
    stored = np.load(tmp_path / "evaluations.npz")
    assert (tmp_path / "best_model.zip").exists() and stored["results"].shape == (3, 8)
    assert callback.best_mean_reward == pytest.approx(stored["results"].mean(1).max())


def test_a_loop_that_compares_at_equal_steps(shipped):
    """What EvalCallback does, by hand, for anything with ``predict``: the policy needs no training loop of its own."""
    env = VecMonitor(pontryagin.as_sb3(OptimalControlVectorEnv(Quadrotor(), 8)))
    fresh = PPO("MlpPolicy", env, device="cpu", seed=0)
    means = {}
    for name, candidate in {"implicit": shipped, "untrained": fresh}.items():
        env.seed(3)
        means[name], _ = evaluate_policy(candidate, env, n_eval_episodes=8)
    assert means["implicit"] > -20 > means["untrained"]


def test_vec_video_recorder(shipped, tmp_path, monkeypatch):
    """SB3 hands its frames to moviepy, no dependency of ours, as it asks for an old pillow: imageio stands in."""
    import imageio

    class Clip:
        def __init__(self, frames, fps):
            self.frames, self.fps = frames, fps

        def write_videofile(self, path, **rest):
            imageio.mimwrite(path, self.frames, fps=self.fps, macro_block_size=1)

    clips = types.ModuleType("moviepy.video.io.ImageSequenceClip")
    clips.ImageSequenceClip = Clip
    for name in ("moviepy", "moviepy.video", "moviepy.video.io"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, clips.__name__, clips)
    vector = OptimalControlVectorEnv(Quadrotor(), 1, render_mode="rgb_array")
    env = VecVideoRecorder(pontryagin.as_sb3(vector), str(tmp_path), lambda step: step == 0, video_length=6)
    observation, memory = env.reset(), None
    for _ in range(7):
        action, memory = shipped.predict(observation, memory)
        observation, _, _, _ = env.step(action)
    env.close()
    (film,) = tmp_path.glob("*.mp4")
    frames = imageio.mimread(film)
    assert len(frames) >= 6 and frames[0].shape == (720, 960, 3)
