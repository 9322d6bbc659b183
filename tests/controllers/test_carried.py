"""Where a search goes on from: what ``predict`` remembers of its last answers."""

import numpy as np
import pytest
import torch

from pontryagin.controllers.argmax import Solution
from pontryagin.controllers.carried import Carried
from pontryagin.controllers.policy import ImplicitPolicy
from pontryagin.envs.integrate import rollout


def answer(u, residual=0.0, iterations=1):
    count = len(u)
    residuals = torch.as_tensor(residual, dtype=torch.float64).expand(count)
    applied = torch.as_tensor(iterations).expand(count)
    return Solution(u, residuals, applied, residuals <= 1e-6, torch.zeros(count, 1))


def test_what_is_expected_of_the_next_miss():
    u = torch.zeros(3, 2, dtype=torch.float64)
    carried = Carried.none(u)
    assert carried.ahead.tolist() == u.tolist()
    carried = carried.then(u + 4, answer(u + 5))
    assert carried.ahead.tolist() == (u + 1).tolist()  # of one alone: the same again
    carried = carried.then(u, answer(u + 3))
    assert carried.ahead.tolist() == (u + 5).tolist()
    begun = Carried.of(carried.misses, u, torch.tensor([False, True, False]))
    assert begun.ahead.tolist() == [[5.0, 5.0], [0.0, 0.0], [5.0, 5.0]]
    odd = torch.tensor([[torch.nan, 1.0], [torch.inf, 1.0], [4.0, 1.0]]).double()
    assert carried.then(u, answer(odd)).ahead.tolist() == [[0.0, -1.0], [0.0, -1.0], [5.0, -1.0]]
    unsolved = carried.then(u, answer(u + 4, torch.tensor([0.1, torch.nan, 1e-4])))
    assert unsolved.ahead.tolist() == [[0.0, 0.0], [0.0, 0.0], [5.0, 5.0]]
    assert unsolved.then(u, answer(u + 2)).ahead.tolist() == [[2.0, 2.0], [2.0, 2.0], [0.0, 0.0]]
    easy = carried.then(u, answer(u + 5, iterations=torch.tensor([0, 1, 0])))  # found where it was expected
    assert easy.ahead.tolist() == [[5.0, 5.0], [7.0, 7.0], [5.0, 5.0]]
    with pytest.raises(ValueError, match=r"\(3, 2\) of controls; expected \(3, 2, 2\)"):
        Carried.of(u, u, None)
    assert Carried.of(u, u, torch.ones(3, dtype=torch.bool)).misses.isnan().all()  # nobody's memory is looked at


@pytest.mark.parametrize(
    ("name", "share"), [("quadrotor", 0.7), ("bicycle5", 0.8), ("cars5", 1.0), ("bicycle5_continuous", 1.4)]
)
def test_a_search_that_goes_on_finds_the_same_sooner(name, share):
    """Where the guess is right to rounding, as in three of four answers of the last: not sooner, nor much later."""
    policy = ImplicitPolicy.load(name, device="cpu")
    z0 = policy.problem.sample_initial_state(4, torch.Generator().manual_seed(1)).to(policy.value.scale)
    with torch.no_grad():
        path = rollout(policy.problem, policy, z0)
    carried, begun, gone_on = Carried.none(path.u[0]), 0.0, 0.0
    for t, z, u in zip(path.t[:-1], path.z[:-1], path.u, strict=True):
        found, carried = policy.go_on(t, z, carried)
        torch.testing.assert_close(found.control, u, rtol=0, atol=1e-4)
        gone_on += float(found.iterations.double().mean())
        begun += float(policy.solve(t, z).iterations.double().mean())
    assert gone_on <= share * begun


@pytest.mark.parametrize("name", ["quadrotor", "bicycle5"])
def test_predict_is_remembered_by_row_and_answers_in_inference_mode(name):
    policy = ImplicitPolicy.load(name, device="cpu")
    z = policy.problem.sample_initial_state(3, torch.Generator().manual_seed(2))
    first, later = (torch.cat([z, torch.full((3, 1), t)], -1).numpy() for t in (0.0, policy.problem.time_step))
    _, state = policy.predict(first)
    fresh, _ = policy.predict(later)
    known, after = policy.predict(later, state)
    np.testing.assert_allclose(known, fresh, atol=1e-4)
    begun, mixed = policy.predict(later, state, np.array([True, False, False]))
    np.testing.assert_allclose(begun, known, atol=1e-4)
    assert state is not None and after is not None and mixed is not None
    assert np.isnan(mixed[0][:, 1]).all(-1).tolist() == [True, False, False]
    np.testing.assert_array_equal(after[0][:, 1], state[0][:, 0])
    with torch.inference_mode():
        inside, _ = policy.predict(later, state)
    np.testing.assert_array_equal(inside, known)
    with pytest.raises(ValueError, match="the state remembers an array"):
        policy.predict(later, (state[0][:, :, :1],))
