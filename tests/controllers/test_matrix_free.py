"""Newton's direction in three ways: dense blocks, the structure of H_uu, and products alone."""

import pytest
import torch
from torch.autograd import gradcheck

from pontryagin import MultiBicycle, ProjectedNewton, solve_argmax
from pontryagin.controllers.hamiltonian import DerivedHamiltonian, control_hamiltonian
from pontryagin.controllers.matrix_free import conjugate_gradients, matrix_free_direction
from pontryagin.controllers.operators import held, newton_direction
from pontryagin.envs.consumption import Consumption
from pontryagin.envs.coupled import CoupledControls

T = torch.tensor(0.4, dtype=torch.float64)


def drawn(problem, batch=4, seed=0):
    """z, costates of the right size, and controls, some of them at a bound."""
    generator = torch.Generator().manual_seed(seed)
    z = problem.sample_initial_state(batch, generator).double()
    p = torch.randn(z.shape, generator=generator).double()
    if isinstance(problem, Consumption):
        p = -torch.exp(0.3 * p) / problem.households
    low, high = problem.control_bounds(z)
    u = low + (high - low) * torch.rand(batch, problem.control_dim, generator=generator).double() ** 2
    if isinstance(problem, Consumption):
        u = 0.3 + 0.4 * u
    return z, p, u


def pinned(problem, z, u):
    """The bounds, with no room for the first control."""
    low, high = (x.clone() for x in problem.control_bounds(z))
    low[0] = high[0] = u[:, 0] = 0.5
    return low, high


@pytest.mark.parametrize("problem", [Consumption(12), CoupledControls(9)], ids=["consumption", "exponential"])
def test_conjugate_gradients_are_the_dense_solve(problem):
    z, p, u = drawn(problem)
    h, box = control_hamiltonian(problem, T, z, p), pinned(problem, z, u)
    slope = h.gradient(u)
    free = (~held(u, slope, box)).double()
    assert (free[:, 0] == 0).all() and free.mean() > 0.5
    dense = newton_direction(h, u, slope, box)
    found = conjugate_gradients(h, u, slope, free)
    torch.testing.assert_close(found, dense, rtol=1e-6, atol=1e-9)


def test_structure_is_the_dense_solve_and_the_derived_hessian():
    problem = Consumption(12)
    z, p, u = drawn(problem)
    h, box = problem.control_hamiltonian(T, z, p), pinned(problem, z, u)
    torch.testing.assert_close(h.hessian(u), DerivedHamiltonian(problem, T, z, p).hessian(u))
    slope = h.gradient(u)
    free = (~held(u, slope, box)).double()
    torch.testing.assert_close(h.solved(u, slope, free), newton_direction(h, u, slope, box), rtol=1e-8, atol=1e-12)


def test_where_h_is_not_concave_it_is_still_a_direction_of_ascent():
    problem = Consumption(12, pressure=50.0)
    z, p, _ = drawn(problem)
    p[:, 0] *= 1000  # one household for which money is worth a thousand times as much
    h, u = problem.control_hamiltonian(T, z, p), torch.full((4, 12), 4.0).double()
    assert (torch.linalg.eigvalsh(-h.hessian(u).squeeze(1))[:, 0] < 0).all()
    slope = h.gradient(u)
    for found in (h.solved(u, slope, torch.ones_like(u)), conjugate_gradients(h, u, slope, torch.ones_like(u))):
        assert found.isfinite().all() and ((found * slope).sum(-1) > 0).all()


@pytest.mark.parametrize(
    "problem", [Consumption(20), CoupledControls(20), MultiBicycle(2)], ids=lambda p: type(p).__name__
)
def test_every_solver_finds_the_same_argmax(problem):
    z, p, _ = drawn(problem)
    if isinstance(problem, MultiBicycle):
        p = 0.01 * p
    found = [
        solve_argmax(problem, T, z, p, operator=ProjectedNewton(solver=way), max_iterations=30)
        for way in ("auto", "dense", "cg")
    ]
    assert all(x.converged.all() for x in found)
    for other in found[1:]:
        torch.testing.assert_close(other.control, found[0].control, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["auto", "dense", "cg"])
def test_the_derivative_is_that_of_the_implicit_function(way):
    problem = Consumption(4)
    z, p, _ = drawn(problem, 1)

    def u(q):
        found = solve_argmax(problem, T, z, q, operator=ProjectedNewton(solver=way), max_iterations=40, tolerance=1e-13)
        return found.control

    p.requires_grad_()
    assert gradcheck(u, (p,), eps=1e-6, atol=1e-4, rtol=1e-4)


def test_its_own_derivative_is_the_transpose():
    problem = CoupledControls(5)
    z, p, u = drawn(problem, 2)
    h, free = control_hamiltonian(problem, T, z, p), torch.ones_like(u)
    slope = torch.randn(2, 5, generator=torch.Generator().manual_seed(3)).double().requires_grad_()
    assert gradcheck(lambda s: matrix_free_direction(h, u, s, free), (slope,))


def test_a_sample_that_is_solved_or_lost_leaves_the_others_alone():
    problem = CoupledControls(70)
    z, p, u = drawn(problem, 3)
    u = 0.05 * u
    h, free = control_hamiltonian(problem, T, z, p), torch.ones_like(u)
    slope = h.gradient(u)
    alone = conjugate_gradients(h, u, slope, free)
    slope[0], slope[1] = 0.0, torch.nan
    found = conjugate_gradients(h, u, slope, free)
    assert alone[2].isfinite().all() and (found[0] == 0).all() and not found[1].isfinite().any()
    torch.testing.assert_close(found[2], alone[2])


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="solver is 'lu'; expected one of"):
        ProjectedNewton(solver="lu")
