"""What the PettingZoo environment refuses, and that a refusal changes nothing."""

import sys

import numpy as np
import pytest
from test_parallel import Carts

from pontryagin import MultiBicycle, Quadrotor
from pontryagin.envs.parallel import as_parallel


def test_bad_actions_are_refused_and_nothing_moves():
    env = as_parallel(Carts())
    env.reset(seed=0)
    before, zero = env.state(), np.zeros(1, np.float32)
    good = dict.fromkeys(env.agents, zero)
    two = {"agent_0": zero, "agent_1": zero}
    with pytest.raises(ValueError, match=r"missing agents \['agent_2'\] and unknown agents \[\]"):
        env.step(two)
    with pytest.raises(ValueError, match=r"missing agents \[\] and unknown agents \['bicycle'\]"):
        env.step({**good, "bicycle": zero})
    with pytest.raises(ValueError, match=r"missing agents \['agent_2'\] and unknown agents \['agent_3'\]"):
        env.step({**two, "agent_3": zero})
    with pytest.raises(ValueError, match="actions is a ndarray; expected a dictionary"):
        env.step(np.zeros(3))
    with pytest.raises(ValueError, match=r"actions\['agent_1'\]: action has shape \(2,\); expected \(1,\)"):
        env.step({**good, "agent_1": np.zeros(2)})
    with pytest.raises(ValueError, match=r"actions\['agent_2'\]: action is not finite"):
        env.step({**good, "agent_2": np.array([np.nan])})
    assert np.array_equal(env.state(), before) and env.agents == env.possible_agents


def test_calls_out_of_turn_are_refused():
    env = as_parallel(Carts())
    zeros = {agent: np.zeros(1) for agent in env.possible_agents}
    for call in (env.state, lambda: env.step(zeros)):
        with pytest.raises(ValueError, match="before reset"):
            call()
    env.reset(seed=0)
    while env.agents:
        env.step(zeros)
    for actions in (zeros, {}):
        with pytest.raises(ValueError, match="the episode has ended; call reset before step"):
            env.step(actions)
    env.reset()
    assert env.agents == env.possible_agents


def test_spaces_belong_to_agents():
    env = as_parallel(Carts())
    for space in (env.observation_space, env.action_space):
        assert space("agent_0") is space("agent_0") and space("agent_0") is not space("agent_1")
        with pytest.raises(ValueError, match="no agent 'agent_3'; expected one of 'agent_0' to 'agent_2'"):
            space("agent_3")


def test_metadata_and_name():
    env = as_parallel(MultiBicycle(), "rgb_array")
    assert str(env) == env.metadata["name"] == "MultiBicycle" and env.render_mode == "rgb_array"
    assert env.metadata["render_modes"] == ["human", "rgb_array"] and env.metadata["render_fps"] == 15
    assert env.unwrapped.problem == MultiBicycle()


@pytest.mark.parametrize(
    "problem, message",
    [
        (Quadrotor(), "Quadrotor has one agent: its state_block is its state_dim, 12"),
        (MultiBicycle(num_agents=1), "MultiBicycle has one agent"),
        (Carts(state_block=3), "Carts has 3 controls for 2 agents; expected as many for each"),
        ("bicycle5", "problem is a str"),
    ],
)
def test_problems_that_do_not_split_are_refused(problem, message):
    with pytest.raises(ValueError, match=message):
        as_parallel(problem)


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="render_mode is 'ansi'"):
        as_parallel(Carts(), "ansi")


def test_missing_pettingzoo_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    with pytest.raises(ImportError, match=r'as_parallel needs PettingZoo: pip install "pontryagin\[pettingzoo\]"'):
        as_parallel(MultiBicycle())
