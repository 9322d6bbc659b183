"""The PettingZoo promises: its own checkers, the joint environment seen by agent, one reward for the team."""

import copy
import dataclasses
import pickle
import warnings

import numpy as np
import pytest
import torch
from pettingzoo import ParallelEnv
from pettingzoo.utils import parallel_to_aec

from pontryagin import MultiBicycle, OptimalControlEnv, Problem, rollout
from pontryagin.envs.boundary import to_control
from pontryagin.envs.parallel import as_parallel

with warnings.catch_warnings():
    # PettingZoo's checkers import example environments of its own in a way that it has deprecated.
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, state_test


@dataclasses.dataclass(frozen=True)
class Carts(Problem):
    """Three carts that push each other; every bound is another number, so that no two can be confused."""

    horizon: float = 1.0
    steps: int = 4
    state_dim: int = 6
    control_dim: int = 3
    state_block: int = 2
    control_low = (-1.0, -2.0, -3.0)
    control_high = (4.0, 5.0, 6.0)
    state_bound = (10.0, 11.0, 12.0, 13.0, 14.0, 15.0)

    def dynamics(self, t, z, u):
        position, speed = z.unflatten(-1, (3, 2)).unbind(-1)
        return torch.stack([speed, u + position.roll(1, -1)], -1).flatten(-2)

    def running_cost(self, t, z, u):
        return 0.5 * (u * u).sum(-1)

    def terminal_cost(self, z):
        return (z * z).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return torch.randn(batch, 6, generator=generator)


PROBLEMS = [MultiBicycle(steps=6), MultiBicycle(num_agents=12, steps=6), Carts()]
by_agents = pytest.mark.parametrize("problem", PROBLEMS, ids=["bicycle5", "bicycle12", "carts3"])


def sample(env, random):
    """An action for everyone, some outside [-1, 1], and a dictionary in an order that is not that of the agents."""
    size = env.action_space(env.agents[0]).shape
    actions = {agent: random.uniform(-1.2, 1.2, size).astype(np.float32) for agent in env.agents}
    return dict(reversed(actions.items()))


def joined(env, actions):
    return np.concatenate([actions[agent] for agent in env.possible_agents])


@by_agents
def test_pettingzoo_checkers(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = as_parallel(problem)
        assert isinstance(env, ParallelEnv)
        parallel_api_test(env)
        parallel_seed_test(lambda: as_parallel(problem))
        state_test(parallel_to_aec(as_parallel(problem)), as_parallel(problem))


def test_pettingzoo_checker_of_agents_in_turn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        api_test(parallel_to_aec(as_parallel(MultiBicycle(steps=6))))


def test_pettingzoo_render_test():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        render_test(lambda render_mode: parallel_to_aec(as_parallel(MultiBicycle(steps=6), render_mode)))


@by_agents
def test_it_is_the_single_environment_to_the_bit(problem):
    env, single = as_parallel(problem), OptimalControlEnv(problem)
    env.reset(seed=3)
    joint, _ = single.reset(seed=3)
    assert np.array_equal(env.state(), joint) and env.state_space == single.observation_space
    random = np.random.default_rng(0)
    while env.agents:
        names, actions = list(env.agents), sample(env, random)
        _, rewards, terminations, truncations, infos = env.step(actions)
        joint, reward, terminated, truncated, info = single.step(joined(env, actions))
        assert np.array_equal(env.state(), joint) and env.state().dtype == np.float32
        assert rewards == dict.fromkeys(names, reward) and {type(r) for r in rewards.values()} == {float}
        for flags, flag in ((terminations, terminated), (truncations, truncated)):
            assert flags == dict.fromkeys(names, flag) and {type(f) for f in flags.values()} == {bool}
        for key in ("state", "control"):
            assert np.array_equal(np.concatenate([infos[agent].pop(key) for agent in names]), info.pop(key))
        assert infos == dict.fromkeys(names, info)


@by_agents
def test_observations_are_the_joint_one_from_where_each_agent_stands(problem):
    env = as_parallel(problem)
    observations, infos = env.reset(seed=0)
    count, block, random = len(env.agents), problem.state_block, np.random.default_rng(1)
    joint_space = OptimalControlEnv(problem).observation_space
    while env.agents:
        observations, _, _, _, infos = env.step(sample(env, random))
        states, t = env.state()[:-1].reshape(count, block), env.state()[-1]
        bounds = joint_space.high[:-1].reshape(count, block)
        for i, agent in enumerate(env.possible_agents):
            cycle = [j % count for j in range(i, i + count)]
            assert np.array_equal(observations[agent], [*(x for j in cycle for x in states[j]), t])
            assert observations[agent].dtype == np.float32 and env.observation_space(agent).contains(
                observations[agent]
            )
            high = [*(x for j in cycle for x in bounds[j]), problem.horizon]
            assert np.array_equal(env.observation_space(agent).high, np.float32(high))
            assert np.array_equal(env.observation_space(agent).low[:-1], -np.float32(high[:-1]))
            # clipping is for observations: the state of the info is the true one
            assert np.array_equal(np.clip(infos[agent]["state"], -bounds[i], bounds[i]), states[i])


def test_actions_are_scaled_to_the_bounds_of_each_agent():
    env = as_parallel(Carts())
    env.reset(seed=0)
    _, _, _, _, infos = env.step({"agent_0": [-1.0], "agent_1": [0.0], "agent_2": [7.0]})
    assert [infos[agent]["control"].tolist() for agent in env.agents] == [[-1.0], [1.5], [6.0]]


@by_agents
def test_all_end_together_and_the_return_is_minus_the_cost(problem):
    env, random = as_parallel(problem), np.random.default_rng(2)
    assert env.agents == []
    env.reset(seed=1)
    z0 = torch.from_numpy(env.state()[None, :-1])
    controls, total = [], 0.0
    for k in range(problem.steps):
        assert env.agents == env.possible_agents and env.num_agents == env.max_num_agents
        actions = sample(env, random)
        controls.append(to_control(problem, torch.from_numpy(joined(env, actions))[None]))
        _, rewards, terminations, truncations, infos = env.step(actions)
        assert set(terminations.values()) == {k == problem.steps - 1} and set(truncations.values()) == {False}
        total += rewards["agent_1"]
    assert env.agents == [] and infos["agent_0"]["time"] == pytest.approx(problem.horizon)
    applied = iter(controls)
    assert total == pytest.approx(-rollout(problem, lambda t, z: next(applied), z0).cost.item(), rel=1e-5)


def test_what_a_caller_changes_stays_with_the_caller():
    """Observations, infos and states are copies, and no agent's are those of another."""
    plain, abused = as_parallel(Carts()), as_parallel(Carts())
    results = []
    for env in (plain, abused):
        observations, infos = env.reset(seed=0)
        for _ in range(2):
            if env is abused:
                observations["agent_0"][:] = 9.0
                infos["agent_0"]["state"][:] = 9.0
                infos["agent_0"]["time"] = -1.0
                env.agents.reverse()
            observations, _, _, _, infos = env.step({f"agent_{i}": [0.1 * i] for i in range(3)})
        if env is abused:
            env.state()[:] = 9.0
        results.append([env.state(), *observations.values(), *(info["state"] for info in infos.values())])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_by_themselves(duplicate):
    env = as_parallel(Carts(), "rgb_array")
    env.reset(seed=0)
    env.render()
    env.step(dict.fromkeys(env.agents, np.zeros(1)))
    twin = duplicate(env)
    assert isinstance(twin, ParallelEnv) and np.array_equal(twin.state(), env.state())
    before, actions = twin.state(), dict.fromkeys(env.agents, np.ones(1))
    _, rewards, _, _, _ = env.step(actions)
    assert np.array_equal(twin.state(), before)
    assert twin.step(actions)[1] == rewards and np.array_equal(twin.state(), env.state())
    assert twin.render().shape == env.render().shape
    env.close()
    env.close()
    twin.close()


def test_reset_takes_the_joint_state():
    env, z0 = as_parallel(Carts()), np.arange(6.0)
    observations, infos = env.reset(options={"state": z0})
    assert observations["agent_1"].tolist() == [2.0, 3.0, 4.0, 5.0, 0.0, 1.0, 0.0]
    assert infos["agent_1"]["state"].tolist() == [2.0, 3.0] and infos["agent_1"]["control"].tolist() == [0.0]
    with pytest.raises(ValueError, match="unknown reset option 'sate'"):
        env.reset(options={"sate": z0})
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        env.reset(options={"state": z0[:2]})
