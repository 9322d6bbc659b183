"""The direct policy: its form, its files, its training."""

import json

import pytest
import torch
from conftest import Pendulum

from pontryagin import DoubleIntegrator, ImplicitPolicy, Quadrotor, TrainConfig, ValueFunction, evaluate, rollout
from pontryagin.controllers.adapter import ControllerPolicy
from pontryagin.training.direct import DirectPolicy, make_direct_step, train_direct
from pontryagin.training.loss import path_loss


def test_formula():
    """u = mid + reach tanh(N / reach), N = W_2 tanh(W_1 s + b_1) + b_2, s = (z / scale, 4 t/T)."""
    problem = Pendulum()
    policy = DirectPolicy(problem, width=5, depth=0, seed=0).double()
    z, t = torch.randn(3, 2, dtype=torch.float64), 0.25
    s = torch.cat([z, torch.full((3, 1), 4 * t / problem.horizon, dtype=torch.float64)], -1)
    (w, w_last), (b, b_last) = policy.weights, policy.biases
    n = torch.tanh(s @ w.mT + b) @ w_last.mT + b_last
    torch.testing.assert_close(policy(t, z), -0.25 + 1.25 * torch.tanh(n / 1.25))
    torch.testing.assert_close(policy(torch.full((3,), t, dtype=torch.float64), z), policy(t, z))


def test_first_controls_are_near_rest_and_all_within_bounds():
    for problem in (Quadrotor(), DoubleIntegrator(), Pendulum()):
        policy = DirectPolicy(problem, seed=0)
        low, high = problem.control_bounds(torch.empty(0))
        u = policy(0.0, problem.sample_initial_state(64))
        assert ((u - torch.zeros_like(low).clamp(low, high)).abs() <= 0.3 * (high - low)).all()
        wild = policy(0.0, 1e6 * torch.randn(64, problem.state_dim))
        assert (wild >= low).all() and (wild <= high).all() and wild.isfinite().all()


def test_weights_follow_the_seed_alone():
    torch.manual_seed(0)
    a = DirectPolicy(Quadrotor(), seed=5)
    torch.manual_seed(1)
    b, c = DirectPolicy(Quadrotor(), seed=5), DirectPolicy(Quadrotor(), seed=6)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.weights[0], c.weights[0])
    for wrong in ({"width": 0}, {"depth": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            DirectPolicy(Quadrotor(), **wrong)


def test_gradient_of_the_loss_is_that_of_the_rollout():
    problem, config = Pendulum(), TrainConfig()
    policy = DirectPolicy(problem, 8, seed=0).double()
    z0 = problem.sample_initial_state(4).double()
    loss = path_loss(problem, policy, make_direct_step(problem, policy, config), z0, config)
    cost = rollout(problem, policy, z0).cost.mean()
    torch.testing.assert_close(loss.total, cost)
    weights = list(policy.parameters())
    for a, b in zip(torch.autograd.grad(loss.total, weights), torch.autograd.grad(cost, weights), strict=True):
        torch.testing.assert_close(a, b)


def test_save_and_load(tmp_path):
    problem = Quadrotor(steps=12)
    policy = DirectPolicy(problem, width=7, depth=2, seed=0)
    policy.save(tmp_path / "p", {"command": "by hand"})
    loaded, z = DirectPolicy.load(tmp_path / "p"), torch.randn(5, 12)
    assert torch.equal(loaded(0.3, z), policy(0.3, z)) and loaded.problem == problem
    with pytest.raises(ValueError, match="DirectPolicy"):
        ImplicitPolicy.load(tmp_path / "p")
    ImplicitPolicy(problem, ValueFunction(problem, 8, seed=0)).save(tmp_path / "q")
    with pytest.raises(ValueError, match="expected a DirectPolicy"):
        DirectPolicy.load(tmp_path / "q")
    with pytest.raises(ValueError, match="was trained for"):
        DirectPolicy.load(tmp_path / "p", problem=Quadrotor(steps=13))
    record = tmp_path / "p" / "policy.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"network": {"width": 8, "depth": 2}}))
    with pytest.raises(ValueError, match="edited"):
        DirectPolicy.load(tmp_path / "p")
    with pytest.raises(ValueError, match="does not exist"):
        DirectPolicy.load(tmp_path / "nowhere")


def test_training_learns_repeats_and_resumes(tmp_path):
    problem = DoubleIntegrator(steps=8)
    settings = {"iterations": 90, "batch": 32, "width": 16, "validate_every": 30, "device": "cpu", "seed": 1}
    policy, history = train_direct(problem, TrainConfig(**settings, out=tmp_path / "run"))
    assert history.column("iteration") == [30.0, 60.0, 90.0]
    assert (
        history.best["validation_cost"]
        < 0.5 * rollout(problem, lambda t, z: torch.zeros_like(z[:, :1]), problem.sample_initial_state(256)).cost.mean()
    )
    again, other = train_direct(problem, TrainConfig(**settings))
    assert other.column("cost") == history.column("cost")
    assert all(torch.equal(x, y) for x, y in zip(policy.parameters(), again.parameters(), strict=True))
    stored = DirectPolicy.load(tmp_path / "run", device="cpu")
    z = torch.randn(4, 2)
    assert torch.equal(stored(0.5, z), policy(0.5, z))
    assert {"config.json", "log.csv", "checkpoint.json"} <= {path.name for path in (tmp_path / "run").iterdir()}
    more = TrainConfig(**settings | {"iterations": 120}, out=tmp_path / "run", resume=True)
    _, longer = train_direct(problem, more)
    assert longer.column("iteration") == [30.0, 60.0, 90.0, 120.0]
    assert evaluate(problem, ControllerPolicy(problem, policy), z).cost.isfinite().all()


def test_what_only_a_value_function_has_is_refused():
    for wrong in (
        {"hjb_weight": 1.0},
        {"bound_penalty": 0.1},
        {"terminal_gradient_weight": 1.0},
        {"begin_from": "x"},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} .* no value function"):
            train_direct(DoubleIntegrator(), TrainConfig(**wrong))


class Cliff(DoubleIntegrator):
    """A cost that is finite and whose gradient is not."""

    def terminal_cost(self, z):
        return super().terminal_cost(z) + (0 * z).sum(-1).sqrt()


def test_gradients_that_are_not_finite_are_skipped_and_counted():
    config = TrainConfig(iterations=10, batch=4, width=4, validate_every=1, validation_states=4, learning_rate=0.5)
    with pytest.warns(UserWarning, match="not finite"):
        _, history = train_direct(Cliff(), config)
    assert history.rows[-1]["skipped"] > 0


@pytest.mark.slow
def test_compiled_training_is_the_same():
    settings = {"iterations": 30, "batch": 16, "width": 8, "validate_every": 30, "device": "cpu"}
    plain, fast = (train_direct(Quadrotor(steps=10), TrainConfig(**settings, compile=c))[1] for c in (False, True))
    assert fast.best["validation_cost"] == pytest.approx(plain.best["validation_cost"], rel=1e-3)
