"""Which optima a run begins with."""

import dataclasses

import pytest
import torch
from conftest import Offset

from pontryagin import (
    DoubleIntegrator,
    ImplicitPolicy,
    MultiBicycle,
    TrainConfig,
    evaluate,
    rollout,
    solve_reference,
    train,
)
from pontryagin.controllers.optimum import expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue
from pontryagin.training.start.expansion import choose, families, member_costs
from pontryagin.training.start.seeking import _flown, fewer, played, searched
from pontryagin.training.train import make_value


@pytest.fixture(scope="module")
def passing():
    """Two that must pass each other: the routes come in families."""
    problem = MultiBicycle(2, layout="swap", steps=30, wheelbase=0.25, interaction=40.0)
    return problem, families(problem, 6)


def test_families_differ_and_the_cheapest_comes_first(passing):
    _, known = passing
    from_mean = (known.z[0] == known.z[0, :1]).all(-1)
    assert from_mean.sum() >= 2 and (known.cost[from_mean].diff() > 0).all() and (~from_mean).sum() == 6


def test_a_convex_problem_has_one():
    known = families(Offset(), 3)
    assert len(known.cost) == 1 + 3
    z0 = Offset().sample_initial_state(16, torch.Generator().manual_seed(0)).double()
    assert choose(Offset(), expand_agents(Offset(), known), z0, 4).state.shape[1] == 1  # one says it all


def test_members_are_chosen_for_what_they_save(passing):
    problem, known = passing
    whole = expand_agents(problem, known)
    z0 = problem.sample_initial_state(32, torch.Generator().manual_seed(0)).double()
    one, two = choose(problem, whole, z0, 1), choose(problem, whole, z0, 2)
    assert one.state.shape[1] == 1 and 1 <= two.state.shape[1] <= 2
    costs = []
    for chosen in (one, two):
        value = ExpandedValue(problem, chosen).double()
        costs.append(evaluate(problem, ImplicitPolicy(problem, value, hamiltonian="held"), z0).cost.mean())
    assert costs[1] <= costs[0] * (1 + 1e-6)


def test_a_run_begins_at_the_optimum_and_is_never_worse(tmp_path, monkeypatch):
    problem = Offset()
    config = TrainConfig(
        iterations=3, batch=8, agent_width=4, hamiltonian="held", anchor="expansion", candidates=2, argmax_iterations=1,
        learning_rate=1e-3, validation_states=16, validate_every=1, out=tmp_path,
    )  # fmt: skip
    policy, history = train(problem, config)
    monkeypatch.setattr("pontryagin.training.start.expansion.families", None)  # a resumed run seeks no optima
    longer, rows = train(problem, dataclasses.replace(config, iterations=4, resume=True))
    assert rows.rows[: len(history.rows)] == history.rows and rows.rows[-1]["iteration"] == 4
    assert torch.equal(longer.value.state, policy.value.state)
    costs = history.column("validation_cost")
    assert history.best["validation_cost"] == min(costs) and min(costs) <= costs[0]
    z0 = problem.sample_initial_state(8, torch.Generator().manual_seed(2)).double()
    again = ImplicitPolicy.load(tmp_path, problem=problem)
    assert again.hamiltonian == "held"
    gap = evaluate(problem, again, z0, solve_reference(problem, z0).cost).gap
    assert gap.max() < 1e-4
    assert policy.value.config["expanded"] == 1


def test_where_agents_are_alike_few_states_do():
    """A hundred of them are as many examples of where one may begin; those with targets of their own are not."""
    assert [fewer(MultiBicycle(num_agents=n, steps=4), 24) for n in (2, 4, 40, 200)] == [24, 20, 2, 1]
    assert fewer(MultiBicycle(num_agents=40, steps=4), 24, 4) == 8
    assert fewer(MultiBicycle(num_agents=40, steps=4, layout="swap"), 24) == 24
    assert fewer(DoubleIntegrator(), 24) == 24


def test_members_are_compared_with_every_agent_in_a_role_of_its_own():
    """So the cost does not depend on the order of the agents, and the controls that are flown on are those compared."""
    problem = MultiBicycle(num_agents=4, steps=12, wheelbase=0.5, initial_scale=0.3)
    z0 = problem.sample_initial_state(3, torch.Generator().manual_seed(3)).double()
    expansion = expand_agents(problem, solve_optimum(problem, z0[:2]))
    cost, turned = (member_costs(problem, expansion, z) for z in (z0, z0.roll(4, -1)))
    assert cost.shape == (3, 2)
    torch.testing.assert_close(cost, turned, rtol=1e-9, atol=0)
    least, u = _flown(problem, expansion, z0)
    assert (least <= cost.amin(-1)).all()
    torch.testing.assert_close(rollout(problem, played(u), z0).cost, least, rtol=1e-9, atol=0)


def test_a_guess_is_flown_from_every_state(monkeypatch):
    """Alike or not: from a planning policy's flights the search is nearly over."""
    problem = MultiBicycle(num_agents=4, steps=12, wheelbase=0.5, initial_scale=0.3)
    z0 = problem.sample_initial_state(3, torch.Generator().manual_seed(3)).double()
    monkeypatch.setattr("pontryagin.training.start.seeking.CAST", 4)
    known = searched(problem, z0)
    asked = []

    def pilot(t, z):
        asked.append(len(z))
        return known.u[round(float(t) / problem.time_step)].to(z)

    again = searched(problem, z0, pilot, max_iterations=2)
    assert set(asked) == {3} and again.converged.all()
    torch.testing.assert_close(again.cost, known.cost, rtol=1e-9, atol=0)


def test_agents_that_are_alike_look_for_their_roles(monkeypatch):
    """One optimum is enough, and who starts where decides who goes where: cheaper than each where it began."""
    problem = MultiBicycle(num_agents=4, steps=12, wheelbase=0.5, initial_scale=0.3)
    z0 = problem.sample_initial_state(3, torch.Generator().manual_seed(3))
    monkeypatch.setattr("pontryagin.training.start.seeking.CAST", 4)
    alone, found = solve_optimum(problem, z0), searched(problem, z0)
    assert found.converged.all() and (found.cost < alone.cost - 0.01 * alone.cost).all()


def test_a_run_may_begin_from_a_policy_on_expansions(tmp_path):
    problem, config = Offset(), TrainConfig(anchor="expansion", hamiltonian="held", candidates=1, agent_width=4)
    policy, _ = train(problem, dataclasses.replace(config, iterations=2, learning_rate=1e-2))
    policy.save(tmp_path / "first")
    again = dataclasses.replace(config, begin_from=str(tmp_path / "first"))
    value = make_value(problem, again)
    assert isinstance(value, ExpandedValue)
    for name, weight in policy.value.state_dict().items():
        torch.testing.assert_close(value.state_dict()[name], weight, check_dtype=False)
    trained, _ = train(problem, dataclasses.replace(again, iterations=1))
    torch.testing.assert_close(trained.value.get_buffer("state"), value.state, check_dtype=False)
    with pytest.raises(ValueError, match="agent_width"):
        make_value(problem, dataclasses.replace(again, agent_width=8))
    with pytest.raises(ValueError, match="whose optima these are"):
        make_value(dataclasses.replace(problem, horizon=1.5), again)
    with pytest.raises(ValueError, match="has no network on expansions"):
        make_value(MultiBicycle(), dataclasses.replace(again, begin_from="bicycle5_wide"))
    with pytest.raises(ValueError, match="expected None: the lessons make"):
        dataclasses.replace(again, anchor="distilled")
