"""A flight whose numbers run out ends its own episode: no error, no neighbour harmed, a finite price."""

import dataclasses

import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from pontryagin import Crazyflie, DoubleIntegrator, OptimalControlEnv, OptimalControlVectorEnv, evaluate, rollout
from pontryagin.envs.sb3 import as_sb3
from pontryagin.training.disturbances import Forced
from pontryagin.training.lost import some


@dataclasses.dataclass(frozen=True)
class Escape(DoubleIntegrator):
    """A speed beyond 20 leaves the numbers, and a position beyond 30 has no cost."""

    lost_cost: float = 50.0

    def dynamics(self, t, z, u):
        return super().dynamics(t, z, u) + torch.where(z[:, 1:].abs() > 20, torch.inf, 0.0)

    def running_cost(self, t, z, u):
        return super().running_cost(t, z, u) + torch.where(z[:, 0].abs() > 30, torch.nan, 0.0)


LOST = {"state": [0.5, 25.0], "cost": [40.0, 0.0]}


@pytest.mark.parametrize("z0", LOST.values(), ids=LOST)
def test_a_lost_flight_ends_where_it_was_and_pays_for_it(z0):
    env = OptimalControlEnv(Escape())
    env.reset(options={"state": np.array(z0)})
    observation, reward, terminated, truncated, info = env.step(np.zeros(1))
    assert (reward, terminated, truncated) == (-50.0, True, False) and info["lost"] and not info["is_success"]
    assert info["running_cost"] == 0 and info["terminal_cost"] == 50
    np.testing.assert_array_equal(observation[:2], np.float32(z0))
    assert observation[2] == pytest.approx(env.problem.time_step) and env.observation_space.contains(observation)
    with pytest.raises(ValueError, match="ended"):
        env.step(np.zeros(1))
    assert not env.reset(seed=0)[1]["lost"] and not env.step(np.zeros(1))[4]["lost"]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_one_lost_copy_leaves_the_others_alone(mode):
    z0 = np.array([[0.1, 0.0], LOST["state"], [0.2, 0.3], LOST["cost"]], np.float32)
    env = OptimalControlVectorEnv(Escape(), 4, autoreset_mode=mode)
    env.reset(seed=0)
    env.reset(options={"state": z0, "reset_mask": np.ones(4, bool)})
    action = np.full((4, 1), 0.1, np.float32)
    observation, reward, terminated, _, info = env.step(action)
    last = info["final_info"] if mode == "SameStep" else info
    assert terminated.tolist() == last["lost"].tolist() == [False, True, False, True]
    assert reward[[1, 3]].tolist() == [-50, -50] and np.isfinite(observation).all()
    alone = OptimalControlEnv(Escape())
    for i in (0, 2):
        alone.reset(options={"state": z0[i]})
        expected = alone.step(action[i])
        assert np.array_equal(observation[i], expected[0]) and reward[i] == expected[1]
    if mode == "Disabled":
        env.reset(options={"reset_mask": terminated})
    observation, reward, *_ = env.step(action)
    assert np.isfinite(observation).all() and np.isfinite(reward).all()
    steps = np.where(terminated, 0 if mode == "NextStep" else 1, 2)
    assert observation[:, 2] == pytest.approx(steps * env.problem.time_step)


def test_a_drone_that_tumbles_a_full_turn_loses_an_episode_and_not_the_training():
    env = OptimalControlVectorEnv(Crazyflie(), 64)
    env.reset(seed=0)
    draw = np.random.default_rng(0)
    lost = 0
    for _ in range(100):
        observation, reward, terminated, _, info = env.step(draw.uniform(-1, 1, (64, 4)).astype(np.float32))
        lost += int(info["lost"].sum())
        assert np.isfinite(observation).all() and np.isfinite(reward).all() and (terminated >= info["lost"]).all()
    assert lost > 0


def test_sb3_trains_through_lost_flights():
    env = as_sb3(OptimalControlVectorEnv(Crazyflie(), 16))
    model = SAC("MlpPolicy", env, learning_starts=800, policy_kwargs={"net_arch": [8]}, seed=0, device="cpu")
    model.learn(1000)
    buffer = model.replay_buffer
    lost = buffer.rewards[: buffer.pos] == -Crazyflie().lost_cost
    assert lost.any() and (buffer.dones[: buffer.pos] >= lost).all()


def test_a_lost_flight_has_its_price_in_every_problem_made_from_another():
    assert Forced(Escape()).lost_cost == 50
    for wrong in (-1, 1e39):  # the second is no number of float32
        with pytest.raises(ValueError, match="Escape.lost_cost is .*; expected a positive, finite cost"):
            Escape(lost_cost=wrong)


@pytest.mark.parametrize("z0", LOST.values(), ids=LOST)
def test_a_lost_flight_costs_in_evaluate_what_it_costs_in_the_environment(z0):
    problem, states = Escape(), torch.tensor([[0.1, 0.0], z0, [0.2, 0.3]])
    seen = []

    def rest(t, z):
        seen.append(z)
        return torch.zeros(len(z), 1)

    result = evaluate(problem, rest, states)
    assert result.lost.tolist() == [False, True, False] and result.summary()["lost_rate"] == pytest.approx(1 / 3)
    assert result.cost[1] == 50 and not result.success[1] and result.cost.isfinite().all()
    assert torch.equal(result.trajectory.z[1:, 1].isfinite().all(-1), torch.ones(problem.steps, dtype=torch.bool))
    assert all(z.isfinite().all() for z in seen), "a controller is shown what is finite"
    alone = evaluate(problem, rest, states[[0, 2]])
    assert alone.lost is None and "lost_rate" not in alone.summary()
    assert torch.equal(result.cost[[0, 2]], alone.cost) and torch.equal(
        result.terminal_error[[0, 2]], alone.terminal_error
    )


def test_a_controller_without_an_answer_is_refused():
    def broken(t, z):
        return torch.where(z[:, :1] > 0.15, torch.nan, 0.0)

    with pytest.raises(ValueError, match="the controller's answer is not finite; the first bad sample has index 1"):
        evaluate(DoubleIntegrator(), broken, torch.tensor([[0.1, 0.0], [0.2, 0.0]]))


def test_a_state_whose_square_is_no_number_is_lost_too():
    env = OptimalControlEnv(Crazyflie())
    z0 = np.zeros(12, np.float32)
    z0[6] = 5e18
    env.reset(options={"state": z0})
    assert env.step(np.zeros(4))[4]["lost"]
    result = evaluate(Crazyflie(), lambda t, z: torch.full((len(z), 4), 0.1), torch.from_numpy(np.stack([0 * z0, z0])))
    assert result.lost.tolist() == [False, True] and result.cost.isfinite().all()


@pytest.mark.parametrize("what", ["state", "cost"])
def test_what_was_paid_before_the_loss_stays_paid(what):
    """Lost in a later step: by its speed, which leaves the numbers, or by its position, which has no cost."""
    z0 = np.array([0.0, 19.0] if what == "state" else [27.0, 10.0], np.float32)
    env = OptimalControlEnv(Escape())
    env.reset(options={"state": z0})
    action, total, steps, ended = np.full(1, 0.1, np.float32), 0.0, 0, False
    u = float(0.5 * (1 + action[0]) * 200 - 100)
    while not ended:
        observation, reward, ended, _, info = env.step(action)
        total, steps = total - reward, steps + 1
    assert info["lost"] and 1 < steps < 20 and total > 50
    result = evaluate(Escape(), lambda t, z: torch.full((len(z), 1), u), torch.from_numpy(np.stack([0 * z0, z0])))
    assert float(result.cost[1]) == pytest.approx(total, rel=1e-5)
    np.testing.assert_allclose(result.trajectory.z[-1, 1].numpy(), observation[:2], rtol=1e-5)
    assert result.trajectory.running_cost[1] == pytest.approx(total - 50, rel=1e-5)


def test_conditions_are_certified_along_flights_that_have_an_end():
    path = rollout(DoubleIntegrator(), lambda t, z: torch.zeros(len(z), 1), torch.randn(3, 2))
    kept = some(path, torch.tensor([True, False, True]))
    assert torch.equal(kept.cost, path.cost[[0, 2]]) and torch.equal(kept.z, path.z[:, [0, 2]])
    with pytest.raises(ValueError, match="all flights left the finite numbers"):
        some(path, torch.zeros(3, dtype=torch.bool))
