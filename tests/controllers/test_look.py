"""A derived H seen in three sweeps is what it is in more, and every mode of torch finds the same argmax."""

import numpy as np
import pytest
import torch

from pontryagin import CoupledControls, DoubleIntegrator, ImplicitPolicy, Quadrotor, ValueFunction, solve_argmax
from pontryagin.controllers.hamiltonian import DerivedHamiltonian
from pontryagin.demos.strangers import STRANGERS
from pontryagin.envs.swarm import Swarm


def draw(problem, count):
    generator = torch.Generator().manual_seed(0)
    z, p = (torch.randn(count, problem.state_dim, generator=generator).double() for _ in range(2))
    return torch.tensor(0.3).double(), z, p


@pytest.mark.parametrize("few", [0, 10**9])
@pytest.mark.parametrize(
    "problem",
    [Quadrotor(), CoupledControls(6), STRANGERS["stall"](), STRANGERS["crossing"](), Swarm(num_agents=3)],
    ids=lambda problem: type(problem).__name__,
)
def test_one_look_is_what_three_sweeps_see(problem, few, monkeypatch):
    monkeypatch.setattr("pontryagin.controllers.hamiltonian.FEW", few)
    t, z, p = draw(problem, 5)
    low, high = problem.control_bounds(z)
    u = low + (high - low) * torch.rand(5, problem.control_dim, dtype=torch.float64)
    h = DerivedHamiltonian(problem, t, z, p)
    with torch.no_grad():
        seen = h.look(u)
        if not few:
            assert seen is None
            return
        torch.testing.assert_close(seen[0], h.gradient(u))
        torch.testing.assert_close(seen[1], h.gradient(torch.zeros_like(u)))
        torch.testing.assert_close(seen[2], h.hessian(u))
        if problem.control_block == problem.control_dim:
            torch.testing.assert_close(seen[3], h.value(u))
        else:
            assert seen[3] is None
        many = h.look(torch.stack([u, 0.5 * u]))  # from several starts
        torch.testing.assert_close(many[0][0], seen[0])
        torch.testing.assert_close(many[2][0], seen[2])


@pytest.mark.parametrize("name", ["quad", "stall"])
def test_every_mode_of_torch_finds_the_same_maximum(name):
    problem = STRANGERS[name]()
    value = ValueFunction(problem, 8)
    with torch.no_grad():
        for weight in value.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
    policy, z = ImplicitPolicy(problem, value), problem.sample_initial_state(3, torch.Generator().manual_seed(0))
    p = value.gradient(0.0, z)[1].detach()
    with torch.no_grad():
        found, flown = solve_argmax(problem, 0.0, z, p), policy(0.0, z)
    assert found.converged.all() and found.iterations.max() > 0
    tracked = solve_argmax(problem, 0.0, z, p.clone().requires_grad_())
    torch.testing.assert_close(tracked.control.detach(), found.control)
    torch.testing.assert_close(policy(0.0, z).detach(), flown)
    with torch.inference_mode():
        inferred = solve_argmax(problem, 0.0, z.clone(), p.clone()), policy(0.0, z.clone())
    torch.testing.assert_close(inferred[0].control.clone(), found.control)
    torch.testing.assert_close(inferred[1].clone(), flown)
    seen = torch.cat([z, torch.zeros(3, 1)], -1).numpy()
    low, high = problem.control_bounds(z)
    action = policy.predict(seen)[0]
    np.testing.assert_allclose(action, (2 * (flown - low) / (high - low) - 1).numpy(), rtol=1e-4, atol=1e-4)


def test_a_look_at_what_u_does_not_bend_is_flat():
    class Linear(DoubleIntegrator):
        def running_cost(self, t, z, u):
            return (z * z).sum(-1)

    problem = Linear()
    t, z, p = draw(problem, 3)
    slope, rest, bend, value = DerivedHamiltonian(problem, t, z, p).look(torch.zeros(3, 1, dtype=torch.float64))
    torch.testing.assert_close(slope, -p[:, 1:])
    assert torch.equal(slope, rest) and not bend.any() and value.shape == (3, 1)
