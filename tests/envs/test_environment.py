"""The Gymnasium promises: checkers, return == -cost, vector == single to the bit, in every autoreset mode."""

import functools
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import pontryagin
from pontryagin import DoubleIntegrator, MultiBicycle, OptimalControlEnv, OptimalControlVectorEnv, Quadrotor, rollout
from pontryagin.envs import compiling
from pontryagin.envs.boundary import to_action, to_control
from pontryagin.envs.registration import ENVIRONMENTS
from pontryagin.envs.states import draw_states

IDS = sorted(ENVIRONMENTS)


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_checker(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(name).unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_sb3_checker(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env_sb3(gymnasium.make(name).unwrapped)


@pytest.mark.parametrize("problem", [Quadrotor(steps=30), DoubleIntegrator()])
def test_return_is_minus_the_cost_of_the_rollout(problem):
    env = OptimalControlEnv(problem)
    observation, _ = env.reset(seed=5)
    z0 = torch.from_numpy(observation[:-1]).unsqueeze(0)
    actions = np.random.default_rng(0).uniform(-1, 1, (problem.steps, problem.control_dim)).astype(np.float32)
    total, done, k = 0.0, False, 0
    while not done:
        observation, reward, done, truncated, info = env.step(actions[k])
        total, k = total + reward, k + 1
        assert type(reward) is float and type(done) is bool and truncated is False
    assert k == problem.steps and info["time"] == pytest.approx(problem.horizon)
    controls = iter(to_control(problem, torch.from_numpy(actions)))
    path = rollout(problem, lambda t, z: next(controls).unsqueeze(0), z0)
    assert total == pytest.approx(-path.cost.item(), rel=1e-5)
    np.testing.assert_allclose(info["state"], path.z[-1, 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(info["control"], path.u[-1, 0], rtol=1e-6)
    assert info["running_cost"] + info["terminal_cost"] == pytest.approx(-reward, rel=1e-6)


def compare(left, right, path="info"):
    assert left.keys() == right.keys(), path
    for key in left:
        if isinstance(left[key], dict):
            compare(left[key], right[key], f"{path}.{key}")
        elif isinstance(left[key], np.ndarray) and left[key].dtype.kind == "O":
            for a, b in zip(left[key], right[key], strict=True):
                assert (a is None) == (b is None) and (a is None or np.array_equal(a, b)), f"{path}.{key}"
        else:
            assert np.array_equal(left[key], right[key]), f"{path}.{key}"


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("problem", [Quadrotor(steps=7), DoubleIntegrator(steps=5)])
def test_vector_equals_single_to_the_bit(problem, mode):
    count = 5
    ours = OptimalControlVectorEnv(problem, count, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: OptimalControlEnv(problem) for _ in range(count)], autoreset_mode=mode)
    a, b = ours.reset(seed=list(range(11, 11 + count))), theirs.reset(seed=11)
    assert np.array_equal(a[0], b[0])
    compare(a[1], b[1])
    random = np.random.default_rng(0)
    for k in range(4 * problem.steps):
        actions = random.uniform(-1.2, 1.2, (count, problem.control_dim)).astype(np.float32)
        a, b = ours.step(actions), theirs.step(actions)
        for left, right in zip(a[:4], b[:4], strict=True):
            assert np.array_equal(left, right) and left.dtype == right.dtype, k
        compare(a[4], b[4])
        if mode is AutoresetMode.DISABLED and a[2].any():
            mask = a[2].copy()
            again = ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask.copy()})
            assert np.array_equal(again[0][0], again[1][0])
            compare(again[0][1], again[1][1])


def test_one_set_of_seeded_states():
    """One seed is one set of states: of ``evaluate``, of the vector env, of its SB3 adapter, of one env alone."""
    problem = MultiBicycle()
    expected = draw_states(problem, 5, 7).numpy()
    many = OptimalControlVectorEnv(problem, 5)
    assert np.array_equal(many.reset(seed=7)[0][:, :-1], expected)
    assert np.array_equal(
        gymnasium.make_vec("pontryagin/MultiBicycle5-v0", num_envs=5).reset(seed=7)[0][:, :-1], expected
    )
    adapter = pontryagin.as_sb3(OptimalControlVectorEnv(problem, 5))
    adapter.seed(7)
    assert np.array_equal(adapter.reset()[:, :-1], expected)
    assert not np.array_equal(adapter.reset()[:, :-1], expected)  # a seed is of one reset
    alone = OptimalControlEnv(problem)
    assert np.array_equal(alone.reset(seed=7)[0][:-1], draw_states(problem, 1, 7)[0].numpy())
    masked = many.reset(seed=7, options={"reset_mask": np.array([False, True, False, False, True])})[0]
    assert np.array_equal(masked[1, :-1], expected[1]) and np.array_equal(masked[4, :-1], expected[4])
    assert len({row.tobytes() for row in many.reset(seed=[1, 2, 3, 4, None])[0]}) == 5
    alone.reset(seed=2**100)  # Gymnasium's seeds go beyond torch's


def test_out_of_step_environments_stay_apart():
    """DISABLED with a partial reset: copies at different times; each is what a single environment would be."""
    problem = Quadrotor(steps=6)
    env = OptimalControlVectorEnv(problem, 2, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    action = np.full((2, 4), 0.1, np.float32)
    env.step(action)
    env.step(action)
    env.reset(seed=[None, 9], options={"reset_mask": np.array([False, True])})
    single = OptimalControlEnv(problem)
    single.reset(seed=9)
    for _ in range(4):
        observation, reward, terminated, _, _ = env.step(action)
        expected, expected_reward, _, _, _ = single.step(action[1])
        assert np.array_equal(observation[1], expected) and reward[1] == expected_reward
    assert terminated.tolist() == [True, False]
    with pytest.raises(ValueError, match="environment 0 has ended"):
        env.step(action)


@pytest.mark.parametrize("name", IDS)
def test_make_vec_and_episode_limit(name):
    env = gymnasium.make_vec(name, num_envs=3, max_episode_steps=2)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    env.step(env.action_space.sample())
    _, _, terminated, truncated, _ = env.step(env.action_space.sample())
    assert truncated.all() and not terminated.any()
    env.close()


def test_reset_options():
    env = OptimalControlEnv(Quadrotor())
    state = np.linspace(-0.1, 0.1, 12).astype(np.float32)
    observation, info = env.reset(options={"state": state})
    assert np.array_equal(observation[:-1], state) and observation[-1] == 0
    assert np.array_equal(info["state"], state)
    env.reset(options={})
    for options, sentence in (
        ({"stat": state}, "unknown reset option 'stat'"),
        ({"state": state[:3]}, "shape"),
        ({"state": np.full(12, np.nan)}, "not finite"),
    ):
        with pytest.raises(ValueError, match=sentence):
            env.reset(options=options)


def test_refused_actions():
    env = OptimalControlEnv(Quadrotor())
    with pytest.raises(ValueError, match="before reset"):
        env.step(np.zeros(4))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected \(4,\)"):
        env.step(np.zeros(3))
    vector = OptimalControlVectorEnv(Quadrotor(), 3)
    vector.reset(seed=0)
    actions = np.zeros((3, 4), np.float32)
    actions[1, 2] = np.nan
    with pytest.raises(ValueError, match="index 1"):
        vector.step(actions)
    assert vector.step(np.zeros((3, 4)))[0].shape == (3, 13)  # a refused action loses nothing


def test_episode_does_not_go_on_after_its_end():
    env = OptimalControlEnv(DoubleIntegrator(steps=1))
    env.reset(seed=0)
    assert env.step(np.zeros(1))[2]
    with pytest.raises(ValueError, match="ended"):
        env.step(np.zeros(1))


@pytest.mark.parametrize("made", [OptimalControlEnv, lambda p: OptimalControlVectorEnv(p, 2)])
def test_pickling_continues_the_episode(made):
    env = made(Quadrotor(steps=9))
    env.reset(seed=4)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    twin = pickle.loads(pickle.dumps(env))
    action = env.action_space.sample()
    for left, right in zip(env.step(action)[:2], twin.step(action)[:2], strict=True):
        assert np.array_equal(left, right)


def test_action_scaling_inverts():
    problem = Quadrotor()
    action = torch.rand(7, 4) * 2 - 1
    torch.testing.assert_close(to_action(problem, to_control(problem, action)), action)
    low, high = problem.control_bounds(action)
    assert torch.equal(to_control(problem, torch.full((1, 4), 9.0))[0], high)
    assert torch.equal(to_control(problem, torch.full((1, 4), -9.0))[0], low)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_vector_env_agrees_to_rounding(backend, monkeypatch):
    """The graph in the fast tests; the C++ made of it takes half a minute."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    monkeypatch.setattr(compiling, "compiler_at_hand", lambda: True)
    problem = DoubleIntegrator(steps=4)
    plain, compiled = (OptimalControlVectorEnv(problem, 8, compile=c) for c in (False, True))
    for env in (plain, compiled):
        env.reset(seed=0)
    for _ in range(6):
        action = np.random.default_rng(1).uniform(-1, 1, (8, 1)).astype(np.float32)
        np.testing.assert_allclose(plain.step(action)[0], compiled.step(action)[0], rtol=1e-5, atol=1e-5)
