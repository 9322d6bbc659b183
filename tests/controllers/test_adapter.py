"""The boundary of a feedback law: times, states and memories from outside, and what is refused there."""

import numpy as np
import pytest
import torch

from pontryagin import DirectPolicy, ImplicitPolicy, Quadrotor, ValueFunction, rollout
from pontryagin.controllers.adapter import ControllerPolicy
from pontryagin.controllers.baselines import ActorPolicy


@pytest.fixture(params=["implicit", "held", "direct", "actor"])
def law(request, short_quadrotor):
    if request.param == "direct":
        return DirectPolicy(short_quadrotor, 8, seed=0)
    if request.param == "actor":
        generator = torch.Generator().manual_seed(0)
        layers = [(torch.randn(4, 13, generator=generator), torch.zeros(4))]
        return ActorPolicy(short_quadrotor, layers, torch.zeros(13), torch.ones(13))
    kind = "held" if request.param == "held" else "continuous"
    policy = ImplicitPolicy(short_quadrotor, ValueFunction(short_quadrotor, 8, seed=0), hamiltonian=kind)
    return policy.double() if kind == "held" else policy


END = Quadrotor().horizon


@pytest.mark.parametrize("t", [-1e-3, -1.0, END * (1 + 1e-4), 1.75 * END, float("nan"), float("inf"), -float("inf")])
def test_a_time_outside_the_horizon_is_refused(law, t):
    z = torch.zeros(2, 12)
    times = (t, np.float64(t), torch.tensor(t), torch.tensor([0.0, t]), torch.tensor(t, dtype=torch.float64))
    for time in times:
        with pytest.raises(ValueError, match=r"expected a time in \[0, 4\.5\], the horizon of Quadrotor"):
            law(time, z)
    if hasattr(law, "predict"):
        with pytest.raises(ValueError, match=r"expected a time in|observation is not finite"):
            law.predict(np.append(np.zeros(12), t))


def test_a_time_that_rounding_put_outside_is_put_back(law):
    z = torch.zeros(2, 12)
    for t, inside in ((END * (1 + 1e-7), END), (-1e-7, 0.0)):
        for time in (t, torch.tensor(t, dtype=torch.float64), torch.full((2,), t, dtype=torch.float64)):
            assert torch.equal(law(time, z), law(inside, z))
    if hasattr(law, "predict"):
        row = np.append(np.zeros(12), np.nextafter(np.float32(END), np.float32(9))).astype(np.float32)
        np.testing.assert_array_equal(law.predict(row)[0], law.predict(np.append(np.zeros(12), END))[0])


def test_states_of_every_kind_are_answered(law):
    z = law.problem.sample_initial_state(3, torch.Generator().manual_seed(0))
    expected = law(0.4, z)
    for given in (z.numpy(), z.tolist(), z.double(), z.double().numpy()):
        torch.testing.assert_close(law(0.4, given).float(), expected, atol=1e-5, rtol=1e-5)
    assert law(0.4, z.double()).dtype == torch.float64
    for one in (z[0], z[0].numpy(), z[0].tolist(), z[0].double()):
        assert law(0.4, one).shape == (4,)
        torch.testing.assert_close(law(0.4, one).float(), expected[0], atol=1e-5, rtol=1e-5)
    assert law(torch.tensor(0.4), torch.zeros(2, 12, dtype=torch.int64)).shape == (2, 4)
    torch.testing.assert_close(
        rollout(law.problem, law, z.double()).cost.float(), rollout(law.problem, law, z).cost, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "z", [None, "z", torch.zeros(3), torch.zeros(2, 3), torch.zeros(2, 2, 12), [[0.0] * 12, [0.0]]]
)
def test_what_is_no_state_is_a_sentence(law, z):
    with pytest.raises(ValueError, match=r"z (has shape|is a)"):
        law(0.0, z)
    with pytest.raises(ValueError, match="t has shape"):
        law(torch.zeros(3), torch.zeros(2, 12))


def test_a_nan_in_the_memory_does_not_persist(policy):
    rows = np.append(policy.problem.sample_initial_state(3).numpy(), np.full((3, 1), 0.2), -1).astype(np.float32)
    fresh, memory = policy.predict(rows)
    for bad in (np.nan, np.inf):
        lost = memory[0].copy()
        lost[1] = bad
        action, again = policy.predict(rows, (lost,))
        np.testing.assert_allclose(action, fresh, atol=1e-5)
        assert np.isfinite(again[0][:, 0]).all()
        _, again = policy.predict(rows, (np.full_like(lost, bad),), np.array([True, False, False]))
        np.testing.assert_allclose(again[0][:, 0], memory[0][:, 0], atol=1e-4)


def test_a_memory_of_other_observations_is_a_sentence(policy):
    rows = np.zeros((3, 13), np.float32)
    _, memory = policy.predict(rows)
    with pytest.raises(ValueError, match="state is of 3 samples; expected 2"):
        policy.predict(rows[:2], memory)
    with pytest.raises(ValueError, match=r"episode_start has shape \(2,\); expected \(3,\)"):
        policy.predict(rows, memory, np.array([True, False]))


@pytest.mark.parametrize("far", [1e30, 101.0, -1e30])
def test_an_observation_that_the_environment_cannot_give_is_refused(policy, far):
    rows = np.zeros((2, 13), np.float32)
    rows[1, 2] = far
    wrapped = ControllerPolicy(policy.problem, policy)
    for one in (policy, wrapped):
        with pytest.raises(ValueError, match=r"beyond ±Quadrotor\.state_bound.* index 1"):
            one.predict(rows)
    rows[1, 2] = np.sign(far) * 100
    policy.predict(rows)


@pytest.mark.parametrize("observation", [None, "left", {"obs": np.zeros(13)}, [[0.0], [0.0, 1.0]]])
def test_what_is_no_observation_is_a_sentence(policy, observation):
    with pytest.raises(ValueError, match="observation"):
        policy.predict(observation)


def test_compiled_code_takes_the_question_as_it_is():
    law = DirectPolicy(Quadrotor(), 4, seed=0)
    whole = torch.compile(lambda t, z: law(t, z), fullgraph=True, backend="eager")
    z = torch.zeros(2, 12)
    torch.testing.assert_close(whole(torch.tensor(0.3), z), law(0.3, z))
