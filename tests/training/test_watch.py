"""Runs that go nowhere: each says once what is wrong, and returns no policy that never moved."""

from __future__ import annotations

import warnings

import pytest
import torch

from pontryagin import DoubleIntegrator, TrainConfig, train
from pontryagin.training.watch import PATIENCE, Watch

SHORT = {"iterations": 25, "batch": 4, "validation_states": 4, "width": 8, "validate_every": 10, "compile": False}


class Pulled(DoubleIntegrator):
    """A control that is paid for: at its bound it stays, whatever phi says."""

    def running_cost(self, t, z, u):
        return -1e6 * u.sum(-1)


class Flat(DoubleIntegrator):
    """Everything costs nothing."""

    def running_cost(self, t, z, u):
        return 0.5 * (u * u).sum(-1) * 0.0

    def terminal_cost(self, z):
        return 0.0 * z.sum(-1)


class Exploding(DoubleIntegrator):
    """Each step squares the state."""

    def dynamics(self, t, z, u):
        return 1e8 * z**3 + torch.cat([z[..., 1:], u], -1)


def test_controls_that_stay_at_their_bounds_are_said_and_no_policy_comes():
    with pytest.warns(UserWarning) as seen, pytest.raises(ValueError, match="the weights never moved.*state_scale"):
        train(Pulled(), TrainConfig(**SHORT))
    texts = [str(x.message) for x in seen if issubclass(x.category, UserWarning)]
    assert sum("exactly 0 for 20 iterations" in x for x in texts) == 1
    assert sum("rest on their bounds along all validation flights" in x for x in texts) == 1


def test_states_that_run_away_return_no_policy():
    with pytest.warns(UserWarning, match="not finite"), pytest.raises(ValueError, match="never finite.*more steps"):
        train(Exploding(), TrainConfig(**SHORT))


def test_a_run_that_goes_well_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(DoubleIntegrator(), TrainConfig(**SHORT))


def test_each_thing_is_said_once_and_after_a_while():
    watch = Watch()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(PATIENCE - 1):
            watch.iterated(0.0, 0.9)
        assert not seen
        watch.iterated(1.0, 0.1)  # in between something moved
        for _ in range(3 * PATIENCE):
            watch.iterated(0.0, 0.9)
        for _ in range(3 * PATIENCE):
            watch.iterated(float("nan"), 0.0)
    texts = [str(x.message) for x in seen]
    assert len(texts) == 3 and "exactly 0" in texts[0] and "argmax has not been found" in texts[1]
    assert "not been finite" in texts[2]


def test_a_cost_that_stays_is_said_of_the_second_validation():
    watch, problem, u = Watch(), Flat(), torch.zeros(20, 3, 1)
    watch.validated(problem, u, 1.0)
    with pytest.warns(UserWarning, match="nothing moves"):
        watch.validated(problem, u, 1.0)
