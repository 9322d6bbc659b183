"""The quantities of the theory of JFB for a policy of the held control, against finite differences."""

import pytest
import torch
from weighed import cells

from pontryagin import ImplicitPolicy, MultiBicycle, ProjectedNewton, ValueFunction, rollout
from pontryagin.training.theory.assumptions import common_rows, operator_rows
from pontryagin.training.theory.diagnose import diagnose
from pontryagin.training.theory.diagnose_plots import draw_diagnosis
from pontryagin.training.theory.diagnose_report import diagnosis_record
from pontryagin.training.theory.flight import fly
from pontryagin.training.theory.plain_words import sentences


def made(problem, kind="held"):
    return ImplicitPolicy(problem, ValueFunction(problem, 4, rank=4, seed=1), hamiltonian=kind)


def near(problem, kind, shift, z0):
    """J of the policy whose linear term in the first state of phi is moved by ``shift``."""
    policy = made(problem, kind).double()
    policy.max_iterations, policy.tolerance = 100, 1e-13
    with torch.no_grad():
        policy.value.linear[0] += shift
        return rollout(problem, policy, z0.double()).cost


@pytest.mark.parametrize("name", ["pendulum", "bicycles"])
def test_the_sum_of_v_is_the_derivative_of_the_cost(name, request):
    """The blocks of H_uu that T uses leave out what agents do to each other; dJ/dθ must not."""
    bicycles = MultiBicycle(2, steps=4, wheelbase=1.0, interaction=50.0)
    problem = bicycles if name == "bicycles" else request.getfixturevalue(name)
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0))
    found = diagnose(made(problem), z0, ProjectedNewton(), times=1)
    flight = fly(made(problem), z0)
    place = [id(weight) for weight in flight.weights].index(id(flight.value.linear))
    part = found.gradient.split([weight.numel() for weight in flight.weights], -1)[place][:, 0]
    slope = (near(problem, "held", 1e-4, z0) - near(problem, "held", -1e-4, z0)) / 2e-4
    assert found.kind == "held" and slope.abs().min() > 1e-6
    torch.testing.assert_close(part, slope, rtol=1e-4, atol=1e-6)
    other = (near(problem, "continuous", 1e-4, z0) - near(problem, "continuous", -1e-4, z0)) / 2e-4
    assert (other - slope).abs().max() > 1e-3 * slope.abs().max()  # the two laws differ


def test_newton_by_agent_leaves_out_what_couples_agents_and_the_report_says_which_hamiltonian():
    problem = MultiBicycle(2, steps=4, wheelbase=1.0, interaction=50.0)
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0))
    found = diagnose(made(problem), z0, ProjectedNewton(), times=1)
    (newton,) = found.operators
    assert found.blocks == 1 and newton.gamma.max() > 0.1 and 0.5 < newton.cosine_trained.min() < 1 - 1e-6
    rows = cells(operator_rows(found))
    assert rows["gamma"][0].verdict == "holds" and found.residual.max() < 1e-6
    assert [row.words for row in common_rows(found) if row.key == "hjb"] == ["phi solves Bellman's equation"]
    assert sentences(found)[0].startswith("This policy maximises H_dt")
    assert diagnosis_record(found, "")["hamiltonian"] == "held"
    titles = [axis.get_title() for axis in draw_diagnosis(found).axes]
    assert "residual of Bellman's equation" in titles
    assert not sentences(diagnose(made(problem, "continuous"), z0, ProjectedNewton(), 1))[0].startswith("This policy")
