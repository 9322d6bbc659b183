"""Where a search goes on from: what ``predict`` remembers of its last answers."""

import numpy as np
import pytest
import torch

from pontryagin.controllers.carried import Carried
from pontryagin.controllers.policy import ImplicitPolicy
from pontryagin.envs.integrate import rollout


def test_what_is_expected_of_the_next_miss():
    u = torch.zeros(3, 2, dtype=torch.float64)
    carried = Carried.none(u)
    assert carried.ahead.tolist() == u.tolist()
    carried = carried.then(torch.ones_like(u), torch.zeros(3))
    assert carried.ahead.tolist() == (u + 1).tolist()  # of one alone: the same again
    carried = carried.then(3 * torch.ones_like(u), torch.zeros(3))
    assert carried.ahead.tolist() == (u + 5).tolist()
    begun = Carried.of(carried.misses, u, torch.tensor([False, True, False]))
    assert begun.ahead.tolist() == [[5.0, 5.0], [0.0, 0.0], [5.0, 5.0]]
    found = torch.tensor([[torch.nan, 1.0], [torch.inf, 1.0], [4.0, 1.0]]).double()
    assert carried.then(found, torch.zeros(3)).ahead.tolist() == [[0.0, -1.0], [0.0, -1.0], [5.0, -1.0]]
    unsolved = carried.then(4 * torch.ones_like(u), torch.tensor([0.1, torch.nan, 1e-4]))
    assert unsolved.ahead.tolist() == [[0.0, 0.0], [0.0, 0.0], [5.0, 5.0]]
    assert unsolved.then(u + 2, torch.zeros(3)).ahead.tolist() == [[2.0, 2.0], [2.0, 2.0], [0.0, 0.0]]
    with pytest.raises(ValueError, match=r"\(3, 2\) of controls; expected \(3, 2, 2\)"):
        Carried.of(u, u, None)


@pytest.mark.parametrize("name", ["quadrotor", "bicycle5", "cars5", "bicycle5_continuous"])
def test_a_search_that_goes_on_is_shorter_than_one_that_begins_and_finds_the_same(name):
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
    assert gone_on <= max(0.8 * begun, len(path.u))  # where one a step is enough, there is little to be saved


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
