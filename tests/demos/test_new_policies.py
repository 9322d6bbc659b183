"""The policies of the paper's quadrotors and of the households, against their stored optima, without a whole flight.

At each step they play the feedback of that optimum whose flight to the end costs least. What the first choice flies is
therefore what they cost at most, up to how far such choices go astray together, which the stored figures say.
"""

import json
from pathlib import Path

import pytest
import torch

from pontryagin import ImplicitPolicy, make_problem, rollout, solve_optimum
from pontryagin.controllers.optimum import known_reference
from pontryagin.controllers.value import flown
from pontryagin.envs.states import draw_states

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.mark.parametrize("name", ["quadrotor_free", "quadrotor_slides"])
def test_the_first_choice_of_the_papers_quadrotors_is_near_the_optimum(name):
    policy = ImplicitPolicy.load(name, device="cpu")
    z0 = draw_states(policy.problem, 16, 0)
    best = known_reference(policy.problem, z0)
    assert best is not None and best.converged.all()
    members = torch.arange(policy.value.state.shape[1])
    costs = flown(policy.problem, policy.value, 0.0, z0[:6].double(), members.expand(6, -1)).amin(-1)
    gap = costs / best.cost[:6] - 1
    assert gap.min() > -1e-6 and gap.mean() < 0.005 and gap.max() < 0.02
    kept = json.loads((RESULTS / name / "evaluation.json").read_text())
    assert kept["gap_mean"] <= 0.005 and kept["success_rate"] == 1.0
    assert kept["reference_mean"] == pytest.approx(best.cost.mean().item(), rel=1e-6)


@pytest.mark.slow
def test_the_papers_problem_costs_what_it_should_from_rest():
    problem = make_problem("quadrotor_free")
    assert problem == make_problem("quadrotor_paper")
    known = known_reference(problem, draw_states(problem, 16, 0))
    found = solve_optimum(problem, torch.zeros(1, 12), known=known.rows(torch.tensor([2])))
    assert found.converged.all() and found.cost.item() == pytest.approx(13.690001, rel=1e-6)
    u = found.u[..., 0]
    assert u.min() < -0.1 and u.abs().max() < 2.9, "thrust goes below 0, and no bound is met"


def test_the_policy_of_the_households_is_near_the_optimum():
    policy = ImplicitPolicy.load("consumption", device="cpu")
    z0 = draw_states(policy.problem, 4, 0)
    best = known_reference(policy.problem, z0)
    assert best is not None and best.converged.all()
    with torch.no_grad():
        path = rollout(policy.problem, policy, z0.double())
    gap = path.cost / best.cost - 1
    assert gap.min() > -1e-9 and gap.max() < 0.01
    assert (policy.problem.terminal_error(path.z[-1]) == 0).all()
