"""Runs that go nowhere: each says once what is wrong, and returns no policy that never moved."""

from __future__ import annotations

import warnings

import pytest
import torch

from pontryagin import DoubleIntegrator, TrainConfig, rollout, train
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
    assert len(texts) == 3 and "exactly 0" in texts[0] and "argmax has not been found in most answers" in texts[1]
    assert "not been finite" in texts[2]


def test_a_cost_that_stays_is_said_of_the_second_validation():
    watch, problem, u = Watch(), Flat(), torch.zeros(20, 3, 1)
    watch.validated(problem, u, 1.0)
    with pytest.warns(UserWarning, match="nothing moves"):
        watch.validated(problem, u, 1.0)


class Huge(DoubleIntegrator):
    """States of 10⁴, and nobody has said so: phi saturates, and every control ends at a bound."""

    control_low = -1.0
    control_high = 1.0

    def sample_initial_state(self, batch, generator=None):
        return 1e4 * torch.rand(batch, 2, generator=generator)

    def terminal_cost(self, z):
        return 1e-8 * (z * z).sum(-1)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_whose_controls_come_to_rest_on_their_bounds_returns_no_policy():
    with pytest.raises(ValueError, match=r"no policy: the cost went from .*rest on their bounds.*state_scale.*solve"):
        train(Huge(), TrainConfig(**(SHORT | {"iterations": 60, "validate_every": 100, "optimizer": "adam"})))


def test_it_says_so_before_the_first_validation():
    with (
        pytest.warns(UserWarning, match="rest on their bounds") as seen,
        pytest.raises(ValueError, match="never moved"),
    ):
        train(Pulled(), TrainConfig(**(SHORT | {"validate_every": 1000})))
    assert any("the same to the last digit" in str(x.message) for x in seen)


def test_what_falls_is_no_dead_run_even_at_its_bounds():
    watch, problem = Watch(), DoubleIntegrator()
    for scale in (1.0, 0.5):
        path = rollout(problem, lambda t, z: torch.full_like(z[:, :1], problem.control_high), scale * torch.ones(2, 2))
        watch.looked(problem, path)
    assert watch.pinned and watch.costs[1] < watch.costs[0]
    watch.ended(watch.costs[1], 100.0)
