"""The value function's analytic gradient; the policy's predict, save and load."""

import json

import numpy as np
import pytest
import torch

import pontryagin
from pontryagin import DoubleIntegrator, ImplicitPolicy, ProjectedNewton, Quadrotor, ValueFunction


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_autograds(depth, dtype):
    problem = Quadrotor()
    value = ValueFunction(problem, width=20, depth=depth, seed=1).to(dtype)
    t = torch.rand(7, dtype=dtype, requires_grad=True)
    z = torch.randn(7, 12, dtype=dtype, requires_grad=True)
    expected = torch.autograd.grad(value(t, z).sum(), (t, z))
    found = value.gradient(t, z)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    scalar = value.gradient(0.5, z)
    torch.testing.assert_close(scalar, value.gradient(torch.full((7,), 0.5, dtype=dtype), z))


def test_weights_follow_the_seed_alone():
    torch.manual_seed(0)
    a = ValueFunction(Quadrotor(), seed=5)
    torch.manual_seed(1)
    b = ValueFunction(Quadrotor(), seed=5)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    with pytest.raises(ValueError, match="width=0"):
        ValueFunction(Quadrotor(), width=0)


def test_predict(policy):
    observation = np.append(policy.problem.sample_initial_state(1)[0].numpy(), 0.4).astype(np.float32)
    action, state = policy.predict(observation)
    assert action.shape == (4,) and action.dtype == np.float32 and (np.abs(action) <= 1).all()
    batch, _ = policy.predict(np.stack([observation, observation]), None, np.array([True, True]))
    np.testing.assert_allclose(batch, np.stack([action, action]), atol=1e-5)
    again, _ = policy.predict(observation, state, np.array([False]))
    np.testing.assert_allclose(again, action, atol=1e-5)
    wild = (np.full_like(state[0], 1.9),)
    fresh, _ = policy.predict(observation, wild, np.array([True]))
    np.testing.assert_array_equal(fresh, action)  # an episode's start forgets the state
    for wrong, sentence in ((observation[:5], "shape"), (observation * np.nan, "index 0")):
        with pytest.raises(ValueError, match=sentence):
            policy.predict(wrong)


def test_warm_start_saves_iterations(policy):
    z = policy.problem.sample_initial_state(32)
    cold = policy.solve(0.0, z)
    assert cold.iterations.min() > 0 and policy.solve(0.0, z, cold.control).iterations.max() == 0


def test_save_and_load(policy, tmp_path):
    policy.save(tmp_path / "p", {"command": "by hand"})
    loaded = ImplicitPolicy.load(tmp_path / "p", device="cpu")
    z = torch.randn(5, 12)
    assert torch.equal(loaded(0.3, z), policy(0.3, z))
    assert loaded.problem == policy.problem and loaded.operator == ProjectedNewton()
    assert len(list((tmp_path / "p").glob("[!.]*"))) == 2
    policy.value.linear.data += 1
    policy.save(tmp_path / "p")
    assert len(list((tmp_path / "p").glob("[!.]*"))) == 2  # the old weights are gone, nothing else is left
    assert not torch.equal(ImplicitPolicy.load(tmp_path / "p", device="cpu")(0.3, z), loaded(0.3, z))


def test_damaged_checkpoints_are_refused(policy, tmp_path):
    def fresh(name):
        policy.save(tmp_path / name)
        return tmp_path / name

    cut = fresh("cut")
    weights = next(cut.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ValueError, match="cut short or edited"):
        ImplicitPolicy.load(cut)
    weights.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        ImplicitPolicy.load(cut)
    edited = fresh("edited") / "policy.json"
    edited.write_text(edited.read_text().replace('"mass": 0.5', '"mass": 0.6'))
    with pytest.raises(ValueError, match="edited"):
        ImplicitPolicy.load(edited.parent)
    half = fresh("half") / "policy.json"
    half.write_text(half.read_text()[:100])
    with pytest.raises(ValueError, match="JSON"):
        ImplicitPolicy.load(half.parent)
    foreign = fresh("foreign")
    with pytest.raises(ValueError, match="was trained for"):
        ImplicitPolicy.load(foreign, problem=DoubleIntegrator())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "policy.json").write_text(json.dumps({"weights": 1}))
    with pytest.raises(ValueError, match="not a pontryagin checkpoint"):
        ImplicitPolicy.load(tmp_path / "other")
    with pytest.raises(ValueError, match="shipped policies"):
        ImplicitPolicy.load("no-such-policy")


def test_a_users_problem_is_found_once_imported(pendulum, tmp_path):
    policy = ImplicitPolicy(pendulum, ValueFunction(pendulum, 8, seed=0))
    policy.save(tmp_path)
    loaded = ImplicitPolicy.load(tmp_path, problem=pendulum)
    assert loaded.problem == pendulum
    assert pontryagin.__version__ in (tmp_path / "policy.json").read_text()
