"""What a checkpoint does not keep is made again: large tables of expansions, from the controls of their optima."""

import pytest
import torch

from pontryagin import ImplicitPolicy, MultiBicycle, Quadrotor, solve_optimum
from pontryagin.controllers.optimum import expand_agents
from pontryagin.controllers.value import ExpandedValue, FlownValue, kept


@pytest.fixture(scope="module")
def policy():
    problem = Quadrotor(steps=20, thrust_low=-3.0, terminal_weight=20.0)
    known = solve_optimum(problem, problem.sample_initial_state(2, torch.Generator().manual_seed(0)))
    value = FlownValue(problem, expand_agents(problem, known)).double()
    return ImplicitPolicy(problem, value, hamiltonian="held")


def test_the_tables_come_out_of_the_controls_again(policy, tmp_path, monkeypatch):
    whole = sum(x.numel() for x in policy.value.state_dict().values())
    monkeypatch.setattr(kept, "LARGE", 100)
    policy.save(tmp_path)
    few = kept.stored_tensors(policy.value)
    assert set(few) == {"begin", "controls"} and sum(x.numel() for x in few.values()) < whole / 40
    again = ImplicitPolicy.load(tmp_path, device="cpu")
    for name, table in policy.value.state_dict().items():
        torch.testing.assert_close(again.value.state_dict()[name], table, rtol=1e-4, atol=1e-4)
    z = policy.problem.sample_initial_state(4, torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(again(1.0, z), policy(1.0, z), rtol=1e-3, atol=1e-4)


def test_tables_that_are_no_flights_are_kept_whole(policy, monkeypatch):
    monkeypatch.setattr(kept, "LARGE", 100)
    expansion = expand_agents(policy.problem, solve_optimum(policy.problem, torch.zeros(1, 12)))
    assert "controls" in kept.stored_tensors(ExpandedValue(policy.problem, expansion))
    assert "root" in kept.stored_tensors(ExpandedValue(policy.problem, expansion.later(3)))


def test_small_tables_are_kept_as_they_are(policy):
    assert "root" in kept.stored_tensors(policy.value)


def test_controls_of_another_size_are_refused(policy, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "LARGE", 100)
    real = kept.stored_tensors
    monkeypatch.setattr(
        "pontryagin.controllers.policy.stored_tensors", lambda v: real(v) | {"controls": torch.zeros(19, 2, 4)}
    )
    policy.save(tmp_path)
    with pytest.raises(ValueError, match=r"controls \(19, 2, 4\); expected \(20, 2, 4\)"):
        ImplicitPolicy.load(tmp_path, device="cpu")


def test_a_crowd_is_made_again_too():
    problem = MultiBicycle(2, steps=8)
    known = solve_optimum(problem, problem.sample_initial_state(1, torch.Generator().manual_seed(0)))
    value = ExpandedValue(problem, expand_agents(problem, known), width=3).double()
    tensors = {**dict(value.state_dict()), "begin": value.state[0], "controls": value.control}
    for name in value.tables:
        tensors.pop(name)
    again = kept.restored_tensors(value, tensors)
    assert set(again) == set(value.state_dict())
    for name in value.tables:
        torch.testing.assert_close(again[name], value.state_dict()[name], rtol=1e-3, atol=1e-3)
