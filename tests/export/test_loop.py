"""The search of exported policies, one step along T's direction a turn, ends where the search in torch does."""

import pytest
import torch

from pontryagin import ImplicitPolicy, MultiBicycle, Quadrotor, ValueFunction
from pontryagin.controllers.export.loop import Loop, State
from pontryagin.controllers.operators import projected_residual

PROBLEMS = {"quadrotor": Quadrotor(steps=20), "bicycles": MultiBicycle(2, steps=20, wheelbase=0.5)}


def wild(problem, scale):
    """A policy whose H is far from concave: whole steps of Newton's are refused now and then."""
    value = ValueFunction(problem, 8, seed=0)
    for weight in value.parameters():
        weight.data = scale * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    return ImplicitPolicy(problem, value.double(), max_iterations=30, hamiltonian="held")


@pytest.mark.parametrize(("name", "scale"), [("quadrotor", 1.5), ("bicycles", 1.0)])
def test_turn_by_turn_it_is_the_same_search(name, scale):
    problem = PROBLEMS[name]
    policy = wild(problem, scale)
    z = problem.sample_initial_state(16, torch.Generator().manual_seed(0)).double()
    seen = torch.cat([z, torch.full((16, 1), 0.3, dtype=torch.float64)], -1)
    loop, refused, turns = Loop(policy, seen), 0, 0
    with torch.no_grad():
        size, *given = loop.head(seen)
        state, known = loop.parted(given)
        while loop.moving(State(*state)).any():
            state = loop.body(seen, size, *state, *known)
            refused, turns = max(refused, int(State(*state).refused.max())), turns + 1
        expected = policy.solve(seen[:, -1], z)
        h, found = policy.hamiltonian_at(seen[:, -1], z), State(*state)
        assert refused > 0 and turns > int(found.applied.max())
        torch.testing.assert_close(found.u, expected.control, rtol=0, atol=1e-6)
        torch.testing.assert_close(found.residual <= policy.tolerance, expected.converged)
        torch.testing.assert_close(found.value, h.value(found.u))
        box = problem.control_bounds(z)
        torch.testing.assert_close(found.residual, projected_residual(found.u, h.gradient(found.u), box, size))
