"""What an evaluation measures, and what it compares with."""

import math
import time

import numpy as np
import pytest
import torch

from pontryagin import ImplicitPolicy, evaluate
from pontryagin.training.evaluate import gap_figures, relative_gap


def test_evaluation_figures(policy, short_quadrotor):
    z0 = short_quadrotor.sample_initial_state(6, torch.Generator().manual_seed(0))
    result = evaluate(short_quadrotor, policy, z0, reference_cost=torch.ones(6))
    figures = result.summary()
    assert figures["cost_mean"] == pytest.approx(result.cost.mean().item())
    assert figures["gap_worst"] == pytest.approx(result.cost.max().item() - 1, rel=1e-5)
    assert all(math.isfinite(v) for v in figures.values()) and figures["latency_ms"] > 0
    plain = evaluate(short_quadrotor, lambda t, z: torch.ones(len(z), 4), z0)
    assert plain.residual is None and plain.gap is None
    feedback = ImplicitPolicy(short_quadrotor, policy.value, max_iterations=0)  # which seeks no argmax
    assert evaluate(short_quadrotor, feedback, z0).residual is None
    with pytest.raises(ValueError, match="index 2"):
        evaluate(short_quadrotor, policy, torch.cat([z0[:2], z0[:1] * float("inf")]))


def test_gaps_that_are_not_known_are_left_out():
    assert gap_figures(torch.tensor([0.1, math.nan, 0.3, 0.2])) == pytest.approx(
        {"mean": 0.2, "median": 0.2, "worst": 0.3}
    )
    assert all(math.isnan(x) for x in gap_figures(torch.full((2,), math.nan)).values())


def test_the_first_answer_is_timed_apart_from_those_that_remember(short_quadrotor):
    """As planning policies answer: what they follow they need not seek again."""
    seen = []

    class Counting:
        def __call__(self, t, z):
            return torch.ones(len(z), 4)

        def predict(self, observation, state=None):
            seen.append(state)
            times.append(float(observation[-1]))
            time.sleep(0.03 if state is None else 0.0)
            return np.ones(4), 1 if state is None else state + 1

    times = []
    figures = evaluate(short_quadrotor, Counting(), short_quadrotor.sample_initial_state(2)).summary()
    assert seen == [None, None, *range(1, len(seen) - 1)] and len(seen) > 5
    assert figures["first_answer_ms"] >= 30
    half = short_quadrotor.steps // 2  # where an answer that is asked for again would find the last one's
    assert times[:2] == [0.0, 0.0] and times[2 : 2 + half] == pytest.approx(
        [k * short_quadrotor.time_step for k in range(half, 2 * half)]
    )


@pytest.mark.parametrize("answer", [np.ones(4), (np.ones(4), None)])
def test_what_predicts_without_a_memory_is_timed_too(answer, short_quadrotor):
    class Plain:
        def __call__(self, t, z):
            return torch.ones(len(z), 4)

        def predict(self, observation):
            return answer

    assert evaluate(short_quadrotor, Plain(), short_quadrotor.sample_initial_state(2)).latency > 0


@pytest.mark.parametrize(
    ("cost", "optimum", "gap"), [(3.0, 2.0, 0.5), (-1.0, -2.0, 0.5), (2.0, -2.0, 2.0), (5.0, 1.0, 4.0)]
)
def test_the_gap_is_above_zero_whatever_the_sign_of_the_costs(cost, optimum, gap):
    assert relative_gap(torch.tensor(cost), torch.tensor(optimum)) == gap


def test_an_evaluation_of_nothing_and_one_from_lists(policy, short_quadrotor):
    with pytest.raises(ValueError, match="z0 has no states"):
        evaluate(short_quadrotor, policy, torch.zeros(0, 12))
    z0 = short_quadrotor.sample_initial_state(2, torch.Generator().manual_seed(0))
    expected = evaluate(short_quadrotor, policy, z0).cost
    for states in (z0.tolist(), z0.numpy(), z0.double()):
        torch.testing.assert_close(
            evaluate(short_quadrotor, policy, states).cost.float(), expected, rtol=1e-4, atol=1e-4
        )


def test_optima_that_are_not_known_are_left_out_of_the_gap(policy, short_quadrotor):
    z0 = short_quadrotor.sample_initial_state(3, torch.Generator().manual_seed(0))
    known = evaluate(short_quadrotor, policy, z0, reference_cost=torch.tensor([1.0, 2.0, float("nan")]))
    figures = known.summary()
    assert figures["reference_states"] == 2 and figures["reference_mean"] == 1.5
    assert figures["gap_worst"] == pytest.approx(float(known.gap[:2].max()))
    nothing = evaluate(short_quadrotor, policy, z0, reference_cost=torch.full((3,), float("nan"))).summary()
    assert nothing["reference_states"] == 0 and not any("gap" in name for name in nothing)
