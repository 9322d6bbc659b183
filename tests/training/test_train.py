"""Training: the Riccati oracle, resume after SIGKILL, determinism, recipes."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import Ticks

from pontryagin import (
    DoubleIntegrator,
    ImplicitPolicy,
    MultiBicycle,
    Quadrotor,
    TrainConfig,
    ValueFunction,
    evaluate,
    rollout,
    train,
)
from pontryagin.training import train as training
from pontryagin.training.checkpoint import read_checkpoint
from pontryagin.training.loss import make_step
from pontryagin.training.recipes import RECIPES
from pontryagin.training.schedule import learning_rate
from pontryagin.training.train import begin, iterate, make_policy, make_value
from pontryagin.training.validation import validate


def riccati_cost(problem, z0):
    """Optimal cost of the double integrator with held controls: discrete Riccati with exact zero-order hold."""
    dt = problem.time_step
    a, b = torch.tensor([[1.0, dt], [0.0, 1.0]]).double(), torch.tensor([[dt**2 / 2], [dt]]).double()
    r, s = torch.tensor([[dt]]).double(), 10.0 * torch.eye(2).double()  # ½ uᵀ r u, ½ zᵀ s z
    for _ in range(problem.steps):
        k = torch.linalg.solve(r + b.T @ s @ b, b.T @ s @ a)
        s = a.T @ s @ (a - b @ k)
    return 0.5 * torch.einsum("bi,ij,bj->b", z0.double(), s, z0.double())


def test_riccati_bounds_every_controller_from_below():
    problem = DoubleIntegrator()
    z0 = torch.randn(32, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    best = riccati_cost(problem, z0)
    for gain in (0.5, 1.0, 2.0):
        path = rollout(problem, lambda t, z, k=gain: -k * z.sum(-1, keepdim=True), z0)
        assert (path.cost >= best - 1e-9).all()


@pytest.mark.slow
def test_training_reaches_riccati_within_one_percent():
    problem = DoubleIntegrator(steps=10)
    config = TrainConfig(iterations=1000, learning_rate=1e-2, width=32, argmax_iterations=1, compile=True)
    policy, history = train(problem, config)
    z0 = problem.sample_initial_state(256, torch.Generator().manual_seed(1))
    best = riccati_cost(problem, z0).mean().item()
    reached = evaluate(problem, policy, z0).cost.mean().item()
    assert best * (1 - 1e-4) <= reached <= 1.01 * best
    assert history.rows[-1]["iteration"] == 1000 and history.best["validation_cost"] < 1.1 * best


def test_same_seed_same_curve(pendulum):
    config = TrainConfig(iterations=6, validate_every=2, batch=8, validation_states=8, width=8)
    curves = [train(pendulum, config)[1].column("validation_cost") for _ in range(2)]
    assert curves[0] == curves[1]
    assert train(pendulum, dataclasses.replace(config, seed=1))[1].column("validation_cost") != curves[0]


def test_clock_stops_training(pendulum, monkeypatch):
    monkeypatch.setattr(training, "time", Ticks())
    config = TrainConfig(time_budget="12s", iterations=10**6, batch=4, validation_states=4, width=8)
    _, history = train(pendulum, config)
    assert (history.rows[-1]["seconds"], history.rows[-1]["iteration"]) == (12, 12)


SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import Pendulum, Ticks
from pontryagin import TrainConfig, train
from pontryagin.training import train as training

class Killed(Pendulum):
    drawn = 0

    def sample_initial_state(self, batch, generator=None):
        Killed.drawn += 1
        if sys.argv[2:] == ["die"] and Killed.drawn == 40:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample_initial_state(batch, generator)

training.time = Ticks(0.01)
train(Killed(), TrainConfig(iterations=60, validate_every=5, batch=8, validation_states=8, width=8,
                            checkpoint_seconds=0.5, out=Path(sys.argv[1]), resume=sys.argv[2:] == ["resume"]))
"""


@pytest.mark.slow
def test_resume_after_sigkill_continues_the_same_curve(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1])))
    run = [sys.executable, str(script)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*run, str(whole)], check=True, capture_output=True)
    assert subprocess.run([*run, str(killed), "die"], capture_output=True).returncode == -signal.SIGKILL
    assert (killed / "checkpoint.json").exists() and not (killed / "policy.json").exists()
    subprocess.run([*run, str(killed), "resume"], check=True, capture_output=True)

    def curve(folder):
        rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
        keep = [i for i, name in enumerate(rows[0]) if name != "seconds"]
        return [[row[i] for i in keep] for row in rows]

    assert curve(whole) == curve(killed) and len(curve(whole)) == 13


def test_resume_refuses_another_run(pendulum, tmp_path):
    config = TrainConfig(iterations=2, batch=4, validation_states=4, width=8, out=tmp_path)
    train(pendulum, config)
    with pytest.raises(ValueError, match="other settings.*batch"):
        train(pendulum, dataclasses.replace(config, batch=5, resume=True))
    with pytest.raises(ValueError, match="this run is of"):
        train(DoubleIntegrator(), dataclasses.replace(config, resume=True))
    weights = next(tmp_path.glob("checkpoint-*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    progress = begin(pendulum, config, torch.device("cpu"))
    with pytest.raises(ValueError, match="cut short"):
        read_checkpoint(tmp_path, pendulum, config, progress)


def test_bad_gradient_is_skipped_and_counted(pendulum):
    class Spoiled(type(pendulum)):
        def terminal_cost(self, z):
            return super().terminal_cost(z) + (0 * z).sum(-1).sqrt()  # finite, but not its gradient

    with pytest.warns(UserWarning, match="not finite"):
        _, history = train(Spoiled(), TrainConfig(iterations=2, batch=4, validation_states=4, width=8))
    assert history.rows[-1]["skipped"] == 2


def test_learning_rate_is_one_cycle():
    config = TrainConfig(learning_rate=1.0, warmup=0.25)
    assert learning_rate(config, 0.0) == pytest.approx(1 / 25)
    assert learning_rate(config, 0.25) == pytest.approx(1.0)
    assert learning_rate(config, 1.0) == pytest.approx(1e-3)


def test_recipes_are_for_shipped_problems():
    from pontryagin.envs.catalog import PROBLEMS

    assert set(RECIPES) <= set(PROBLEMS)


def test_quadrotor_improves_at_once():
    """Twenty iterations from random weights already lower the cost a lot."""
    policy, history = train(
        Quadrotor(steps=20),
        TrainConfig(iterations=20, batch=16, width=32, learning_rate=3e-2, validation_states=16, validate_every=1),
    )
    costs = history.column("validation_cost")
    assert min(costs) < 0.8 * costs[0] and policy.problem.steps == 20


def test_without_a_compiler_training_runs_eagerly(pendulum, monkeypatch):
    monkeypatch.setattr("pontryagin.envs.compiling.compiler_at_hand", lambda: False)
    with pytest.warns(UserWarning, match="no C"):
        train(pendulum, TrainConfig(iterations=1, batch=4, validation_states=4, width=8, compile=True))


def test_a_run_that_falls_over_a_cliff_returns_to_its_best_weights(pendulum):
    config = TrainConfig(rollback=3.0, rollback_pace=0.5, batch=4, width=8)
    progress = begin(pendulum, config, torch.device("cpu"))
    validation = pendulum.sample_initial_state(8, torch.Generator().manual_seed(0))
    step = make_step(pendulum, progress.value, config)
    loss, size = iterate(pendulum, config, progress, step, 0.1, torch.device("cpu"))
    policy = make_policy(pendulum, progress.value, config)
    row = validate(pendulum, config, progress, loss, size, validation, policy, step)
    good = {k: v.clone() for k, v in progress.value.state_dict().items()}
    assert row["rollbacks"] == 0 and progress.best_cost == row["validation_cost"] and progress.optimizer.state
    progress.value.linear.data += 1e3
    fallen = validate(pendulum, config, progress, loss, size, validation, policy, step)
    assert fallen["validation_cost"] > 3 * row["validation_cost"]
    assert all(torch.equal(v, good[k]) for k, v in progress.value.state_dict().items())
    assert progress.pace == 0.5 and progress.rollbacks == 1 and not progress.optimizer.state
    progress.best_cost = (
        -2.0 * row["validation_cost"]
    )  # costs may be negative: 1.5 |best| above is no fall for factor 3
    validate(pendulum, config, progress, loss, size, validation, policy, step)
    assert progress.rollbacks == 1
    iterate(pendulum, config, progress, step, 0.1, torch.device("cpu"))
    assert progress.optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * learning_rate(config, 0.1))


def test_a_run_may_begin_from_a_policy_for_fewer_agents(tmp_path):
    few, many = MultiBicycle(2, steps=4), MultiBicycle(6, steps=4)
    alone = {"width": 0, "rank": 0, "agent_width": 8, "agent_rank": 3}
    teacher = ImplicitPolicy(few, ValueFunction(few, seed=1, **alone))
    teacher.save(tmp_path)
    value = make_value(many, TrainConfig(begin_from=str(tmp_path), **alone))
    z = few.sample_initial_state(3, torch.Generator().manual_seed(0))
    expected = few.agents(teacher.value.gradient(0.3, z)[1])
    found = many.agents(value.gradient(0.3, z.repeat(1, 3))[1])
    for i in range(6):
        torch.testing.assert_close(found[:, i], expected[:, i % 2], rtol=0.2, atol=0.05)
    assert not torch.equal(found[:, 0], found[:, 2])  # apart, or they could never part
    same = make_value(few, TrainConfig(begin_from=str(tmp_path), **alone))
    assert torch.equal(same.gradient(0.3, z)[1], teacher.value.gradient(0.3, z)[1])
    with pytest.raises(ValueError, match="shape"):
        make_value(many, TrainConfig(begin_from=str(tmp_path), width=4, agent_width=8, agent_rank=3))
