"""The user's own agent beside ours: zips of SB3 and sb3-contrib, policies' folders and functions, in every command."""

import json
import os

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

import pontryagin
from pontryagin import AgentPolicy, DirectPolicy, DoubleIntegrator, OptimalControlVectorEnv, Quadrotor, rollout
from pontryagin.envs.states import draw_states
from pontryagin.training.agents import load_controller
from pontryagin.training.commands.cli import main

STATES, SEED = 6, 3


def vector_env(copies, problem=None):
    return VecMonitor(pontryagin.as_sb3(OptimalControlVectorEnv(problem or DoubleIntegrator(), copies)))


def evaluated(capsys, *words):
    capsys.readouterr()
    main(["evaluate", *map(str, words), "--states", str(STATES), "--seed", str(SEED), "--json"])
    return json.loads(capsys.readouterr().out)


def by_sb3(model, statistics=None):
    """SB3's own figure from the same states: as many copies as there are states, seeded alike."""
    env = vector_env(STATES)
    if statistics is not None:
        env = VecNormalize.load(statistics, env)
        env.training, env.norm_reward = False, False
    env.seed(SEED)
    return -np.mean(evaluate_policy(model, env, n_eval_episodes=STATES, return_episode_rewards=True)[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny PPO, one with normalised observations, and a tiny SAC."""
    path = tmp_path_factory.mktemp("agents")
    PPO("MlpPolicy", vector_env(4), n_steps=40, batch_size=80, seed=0, device="cpu").learn(320).save(path / "ppo.zip")
    scaled = VecNormalize(vector_env(4), gamma=1.0)
    PPO("MlpPolicy", scaled, n_steps=40, batch_size=80, seed=1, device="cpu").learn(320).save(path / "scaled.zip")
    scaled.save(str(path / "stats.pkl"))
    SAC("MlpPolicy", vector_env(4), learning_starts=40, seed=0, device="cpu").learn(240).save(path / "sac.zip")
    return path


@pytest.mark.parametrize("algorithm", ["ppo", "sac", None])
def test_one_policy_has_one_number(folder, algorithm, capsys):
    name = algorithm or "sac"
    kind = {"ppo": PPO, "sac": SAC}[name]
    option = [] if algorithm is None else ["--algorithm", algorithm]
    figures = evaluated(capsys, folder / f"{name}.zip", "--problem", "double_integrator", *option)
    assert figures["cost_mean"] == pytest.approx(by_sb3(kind.load(folder / f"{name}.zip")), rel=1e-5)


def test_with_the_statistics_of_its_observations(folder, capsys):
    words = [folder / "scaled.zip", "--problem", "double_integrator"]
    figures = evaluated(capsys, *words, "--vecnormalize", folder / "stats.pkl")
    expected = by_sb3(PPO.load(folder / "scaled.zip"), str(folder / "stats.pkl"))
    assert figures["cost_mean"] == pytest.approx(expected, rel=1e-5)
    assert evaluated(capsys, *words)["cost_mean"] != pytest.approx(expected, rel=1e-3)


def test_the_env_pays_an_agent_what_rollout_says(folder):
    """Actions beyond the bounds and observations beyond state_bound are clipped by both."""
    problem = DoubleIntegrator()
    agent = AgentPolicy.load(folder / "scaled.zip", problem, "ppo", folder / "stats.pkl")
    agent.bound = agent.bound.clone().fill_(0.5)
    env = OptimalControlVectorEnv(problem, 3, autoreset_mode="Disabled")
    observation, _ = env.reset(seed=1)
    cost = np.zeros(3)
    for _ in range(problem.steps):
        seen = np.concatenate([observation[:, :2].clip(-0.5, 0.5), observation[:, 2:]], -1)
        observation, reward, *_ = env.step(agent.predict(seen)[0])
        cost -= reward
    np.testing.assert_allclose(rollout(problem, agent, draw_states(problem, 3, 1)).cost, cost, rtol=1e-5)
    assert agent(0.0, torch.zeros(2)).shape == (1,)


def test_sb3_contrib(tmp_path, capsys):
    contrib = pytest.importorskip("sb3_contrib")
    for name in ("TQC", "CrossQ", "TRPO", "ARS"):
        kind = getattr(contrib, name)
        model = kind("LinearPolicy" if name == "ARS" else "MlpPolicy", vector_env(2), seed=0, device="cpu")
        model.save(tmp_path / "model.zip")
        words = [tmp_path / "model.zip", "--problem", "double_integrator"]
        cost = evaluated(capsys, *words)["cost_mean"]
        assert cost == evaluated(capsys, *words, "--algorithm", name.lower())["cost_mean"]
        assert cost == pytest.approx(by_sb3(model), rel=1e-5)


def test_folders_and_functions(tmp_path, monkeypatch, capsys):
    problem = DoubleIntegrator()
    DirectPolicy(problem, 8, seed=0).save(tmp_path / "direct")
    (tmp_path / "mine_to_fly.py").write_text(
        "import numpy as np\n"
        "def brake(t, z):\n    return -1e6 * z[:, 1:]\n"
        "def wide(t, z):\n    return z\n"
        "class Arrays:\n"
        "    def __init__(self, problem):\n        self.high = problem.control_high\n"
        "    def __call__(self, t, z):\n        return np.clip(-1e6 * z.numpy()[:, 1:], -self.high, self.high)\n"
    )
    monkeypatch.chdir(tmp_path)
    direct = (
        rollout(problem, DirectPolicy.load(tmp_path / "direct"), draw_states(problem, STATES, SEED))
        .cost.detach()
        .mean()
    )
    assert evaluated(capsys, "direct")["cost_mean"] == pytest.approx(float(direct))
    cost = evaluated(capsys, "mine_to_fly:brake", "--problem", "double_integrator")["cost_mean"]
    z0 = draw_states(problem, STATES, SEED)
    bounded = rollout(problem, lambda t, z: (-1e6 * z[:, 1:]).clamp(-100, 100), z0).cost.mean()
    assert cost == pytest.approx(float(bounded))  # as an environment would apply it
    assert evaluated(capsys, "mine_to_fly:Arrays", "--problem", "double_integrator")["cost_mean"] == pytest.approx(cost)
    for word, said in (("mine_to_fly:wide", "answered (6, 2)"), ("mine_to_fly:none", "cannot import")):
        assert said in refused(capsys, "evaluate", word, "--problem", "double_integrator", "--states", "6")
    assert "name its problem" in refused(capsys, "evaluate", "mine_to_fly:brake")
    assert "no costate" in refused(capsys, "evaluate", "direct", "--certificate")


def refused(capsys, *words):
    """The one sentence in which a command ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, words)))
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1, said
    return said


def test_what_is_wrong_is_one_sentence(folder, tmp_path, capsys):
    (tmp_path / "torn.zip").write_bytes((folder / "ppo.zip").read_bytes()[:1000])
    (tmp_path / "other.pkl").write_bytes(b"no pickle")
    np.save(tmp_path / "array.npy", np.zeros(3))
    zipped, on = folder / "ppo.zip", ["--problem", "double_integrator"]
    for words, said in (
        ([tmp_path / "none.zip", *on], "does not exist"),
        ([tmp_path / "torn.zip", *on], "is no model of Stable-Baselines3"),
        ([zipped], "name its problem"),
        ([zipped, "--problem", "quadrotor"], "observes (3,); Quadrotor gives (13,)"),
        ([zipped, *on, "--algorithm", "sac"], "was trained by ppo; asked for was sac"),
        ([zipped, *on, "--algorithm", "dreamer"], "algorithm is 'dreamer'; expected one of a2c, ars, crossq"),
        ([zipped, *on, "--vecnormalize", tmp_path / "none.pkl"], "none.pkl does not exist"),
        ([zipped, *on, "--vecnormalize", tmp_path / "other.pkl"], "cannot be read"),
        (["quadrotor", "--vecnormalize", folder / "stats.pkl"], "are for the zip of an agent"),
        (["lqr", *on, "--algorithm", "ppo"], "for agents"),
    ):
        assert said in refused(capsys, "evaluate", *words)


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_in_the_place_of_an_agent_does_not_hang(folder, tmp_path, capsys):
    for name in ("agent.zip", "stats.pkl"):
        os.mkfifo(tmp_path / name)
    on = ["--problem", "double_integrator"]
    assert "not a regular file" in refused(capsys, "evaluate", tmp_path / "agent.zip", *on)
    said = refused(capsys, "evaluate", folder / "ppo.zip", *on, "--vecnormalize", tmp_path / "stats.pkl")
    assert "not a regular file" in said


def test_an_agent_of_another_box_or_other_statistics_is_refused(folder):
    problem = DoubleIntegrator()
    model = PPO.load(folder / "ppo.zip")
    model.action_space = type(model.action_space)(-2.0, 2.0, (1,), np.float32)
    with pytest.raises(ValueError, match="acts in Box"):
        AgentPolicy(problem, model)
    other = VecNormalize(vector_env(2, Quadrotor()))
    with pytest.raises(ValueError, match=r"statistics are of observations \(13,\)"):
        AgentPolicy(problem, PPO.load(folder / "ppo.zip"), other)


def test_play_and_load_controller(folder, tmp_path):
    words = ["--problem", "double_integrator", "--episodes", "1", "--video", tmp_path / "film.gif", "--width", "160"]
    main(list(map(str, ["play", folder / "ppo.zip", *words])))
    assert (tmp_path / "film.gif").stat().st_size > 1000
    assert isinstance(load_controller(folder / "sac.zip", "double_integrator"), AgentPolicy)


def test_benchmark_takes_agents_of_ones_own(folder, tmp_path, capsys):
    zipped = f"{folder / 'scaled.zip'}+{folder / 'stats.pkl'}"
    line = [
        "benchmark", "double_integrator", "--methods", f"mine={zipped}", "--states", "6", "--robust-states", "2",
        "--no-film", "--out-dir", str(tmp_path / "out"), "--policies", str(tmp_path / "policies"),
    ]  # fmt: skip
    main(line)
    record = json.loads((tmp_path / "out" / "double_integrator" / "mine-0.json").read_text())
    problem = DoubleIntegrator()
    agent = AgentPolicy.load(folder / "scaled.zip", problem, "ppo", folder / "stats.pkl")
    z0 = draw_states(problem, 128, 0)[:6]
    assert record["summary"]["cost_mean"] == pytest.approx(float(rollout(problem, agent, z0).cost.mean()), rel=1e-5)
    assert "| mine |" in (tmp_path / "out" / "double_integrator" / "table.md").read_text()
    main([*line, "--time-budget", "4m"])  # it is kept, and has no budget
    assert "1 of them finished before" in capsys.readouterr().out
    line[3] = f"mine={folder / 'ppo.zip'}"
    said = refused(capsys, *line)
    assert "run with other settings" in said and "--fresh with --methods mine alone" in " ".join(said.split())
    for methods, said in (
        ("mine=none.zip", "none.zip is no file"),
        ("ppo=model.zip", "calls an agent 'ppo'"),
        ("mine", "NAME=PATH"),
    ):
        line[3] = methods
        assert said in refused(capsys, *line)
