"""Training on top of optima: rounds that add them, states without one, the first weights."""

import dataclasses

import pytest
import torch
from conftest import Offset

from pontryagin import (
    ImplicitPolicy,
    Quadrotor,
    TrainConfig,
    ValueFunction,
    rollout,
    solve_optimum,
    solve_reference,
    train,
)
from pontryagin.controllers.value.anchored import AnchoredValue
from pontryagin.training.start import nominal
from pontryagin.training.start.anchoring import anchored
from pontryagin.training.train import make_value

pytest.importorskip("casadi")


def test_rounds_add_optima_where_the_flights_are_worst():
    problem = Quadrotor(steps=30)
    z0 = problem.sample_initial_state(512, torch.Generator().manual_seed(3))

    def measure(rounds):
        value = anchored(problem, ValueFunction(problem, 4, rank=2, seed=0), 10, rounds=rounds)
        with torch.no_grad():
            return value.count, rollout(problem, ImplicitPolicy(problem, value), z0).cost

    (few, before), (many, after) = measure(0), measure(2)
    print(before.mean(), after.mean(), before.max(), after.max())
    assert (few, many) == (10, 14) and after.mean() < before.mean() and after.max() < before.max()


def test_states_without_an_optimum_are_left_out(monkeypatch):
    problem = Offset(steps=4)

    def failing(problem, z0, *arguments, **options):
        found = solve_optimum(problem, z0, **options)
        keep = torch.arange(len(z0)) % 2 == 1
        return dataclasses.replace(found, converged=keep if len(z0) > 1 else ~found.converged)

    monkeypatch.setattr(nominal, "solve_optimum", failing)
    z0 = problem.sample_initial_state(5, torch.Generator().manual_seed(0))
    kept = nominal.optima(problem, z0)
    assert torch.equal(kept.z[0], z0[1::2].double()) and kept.converged.all() and len(kept.status) == 2
    assert kept.cost.shape == (2,) and kept.costate.shape == (5, 2, 2)
    with pytest.raises(ValueError, match="no open-loop optimum"):
        anchored(problem, ValueFunction(problem, 4))


@pytest.mark.parametrize("anchor", ["nominal", "multi"])
def test_training_starts_from_the_anchor_and_improves_on_it(anchor, tmp_path):
    problem = Offset(steps=6)
    config = TrainConfig(anchor=anchor, anchors=3, width=6, rank=3, iterations=3, batch=4, validate_every=1,
                         learning_rate=1e-4, validation_states=4, out=tmp_path)  # fmt: skip
    value = make_value(problem, config)
    assert isinstance(value, AnchoredValue) and value.count == (1 if anchor == "nominal" else 4)
    policy, history = train(problem, config)
    assert history.rows[0]["iteration"] == 0 and history.best["validation_cost"] <= history.rows[0]["validation_cost"]
    z0 = problem.sample_initial_state(4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            rollout(problem, policy, z0).cost.double(), solve_reference(problem, z0).cost, rtol=1e-3, atol=1e-3
        )
    with pytest.raises(ValueError, match="anchored"):
        make_value(problem, TrainConfig(begin_from=str(tmp_path), width=6, rank=3))
