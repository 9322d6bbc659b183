"""The global argmax of the bicycles against brute force, its closed form, its jump and its derivative."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bicycle import draw

from pontryagin import DoubleIntegrator, MultiBicycle, hamiltonian, solve_argmax
from pontryagin.controllers.hamiltonian import DerivedHamiltonian, control_hamiltonian
from pontryagin.envs.steering import JUMP, STEERING


class Derived(MultiBicycle):
    """The same physics without the closed form: what a user who writes f and L alone would get."""

    def control_hamiltonian(self, t, z, p):
        return None


@pytest.mark.parametrize("turning", [0.05, 0.25, 1.0, 30.0])
@pytest.mark.parametrize("kind, starts", [(MultiBicycle, "single"), (Derived, "global")])
def test_argmax_is_the_highest_point_of_a_fine_grid(kind, starts, turning):
    """By the closed form's own start, and by the generic search: nothing on a grid of 4001 angles is higher."""
    problem = kind(3)
    t, z, p = draw(problem, 40, turning, seed=2)
    solution = solve_argmax(problem, t, z, p, starts=starts, max_iterations=30, tolerance=1e-9)
    assert solution.converged.all()
    h = control_hamiltonian(MultiBicycle(3), t, z, p)
    axis = torch.linspace(-STEERING, STEERING, 4001, dtype=torch.float64).reshape(-1, 1, 1)
    best = (-(h.q * torch.tan(axis) + 0.5 * axis**2)).amax(0) + 0.5 * h.r.clamp(-5, 5).square()
    found = h.value(solution.control)
    inside = h.r.abs() < 5
    assert (found >= best - 1e-9)[inside].all() and (found <= best + 1e-5 * (1 + turning))[inside].all()


@pytest.mark.parametrize("kind, starts", [(MultiBicycle, "single"), (Derived, "global")])
def test_argmax_jumps_where_it_should(kind, starts):
    """δ(q) is odd, small up to |q| = 0.2297 and at the bound from there on: to 1e-6 around the jump."""
    problem = kind(1)
    q = torch.cat([torch.linspace(-0.6, 0.6, 241, dtype=torch.float64), JUMP + torch.tensor([-1e-6, 1e-6]).double()])
    z = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(len(q), 1)
    p = torch.zeros_like(z)
    p[:, 2] = q * problem.wheelbase
    solution = solve_argmax(problem, 0.0, z, p, starts=starts, max_iterations=30, tolerance=1e-10)
    steering = solution.control[:, 0]
    assert (steering[q.abs() > JUMP].abs() == STEERING).all()
    small = q.abs() < JUMP
    assert (steering[small].abs() < 0.25).all()
    torch.testing.assert_close(q.abs()[small], steering[small].abs() * torch.cos(steering[small]) ** 2)
    assert (steering * q <= 0).all()


def test_the_choice_of_starts_is_reported():
    problem = Derived(2)
    t, z, p = draw(problem, 30, 0.3, seed=3)
    wide = solve_argmax(problem, t, z, p, starts="global", max_iterations=20)
    narrow = solve_argmax(problem, t, z, p, starts="single", max_iterations=20)
    assert wide.start.shape == (30, 2) and not narrow.start.any()
    better = hamiltonian(problem, t, z, p, wide.control) > hamiltonian(problem, t, z, p, narrow.control) + 1e-6
    assert better.any() and (wide.start[better] > 0).any(-1).all()
    same = ~(wide.start > 0).any(-1)
    assert same.any()
    torch.testing.assert_close(wide.control[same], narrow.control[same])


@settings(max_examples=30, deadline=None)
@given(turning=st.floats(1e-3, 1e3), seed=st.integers(0, 10_000))
def test_closed_form_equals_derived(turning, seed):
    problem = MultiBicycle(3)
    t, z, p = draw(problem, 5, turning, seed)
    u = 1.3 * (2 * torch.rand(5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1)
    closed, derived = control_hamiltonian(problem, t, z, p), DerivedHamiltonian(problem, t, z, p)
    torch.testing.assert_close(closed.gradient(u), derived.gradient(u))
    torch.testing.assert_close(closed.hessian(u), derived.hessian(u))
    torch.testing.assert_close(closed.value(u) - closed.value(0 * u), derived.value(u) - derived.value(0 * u))


def test_closed_start_is_the_global_maximiser_already():
    problem = MultiBicycle(3)
    t, z, p = draw(problem, 400, 0.25, seed=5)
    start = control_hamiltonian(problem, t, z, p).start()[:, 0::2]
    exact = solve_argmax(problem, t, z, p, max_iterations=20, tolerance=1e-12).control[:, 0::2]
    assert (start - exact).abs().max() < 1e-3


def slope_of_steering(problem, q, **options):
    z = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(len(q), 1)
    p = torch.zeros_like(z)
    p[:, 2] = q * problem.wheelbase
    p.requires_grad_(True)
    u = solve_argmax(problem, 0.0, z, p, max_iterations=40, tolerance=1e-12, **options).control
    return torch.autograd.grad(u[:, 0].sum(), p)[0][:, 2] * problem.wheelbase


@pytest.mark.parametrize("gradient", ["jfb", "implicit", "unroll"])
@pytest.mark.parametrize("kind, starts", [(MultiBicycle, "single"), (Derived, "global")])
def test_derivative_on_the_bound_is_zero_and_at_the_jump_that_of_the_branch(kind, starts, gradient):
    """δ cos²δ = -q on the inner branch, so δ' = -1 / (cos²δ - δ sin2δ), up to the jump; beyond it, 0."""
    q = torch.tensor([-0.5, -JUMP - 1e-7, -JUMP + 1e-7, -0.1, 0.0, 0.2, JUMP + 1e-7], dtype=torch.float64)
    slope = slope_of_steering(kind(1), q, starts=starts, gradient=gradient)
    inner = q.abs() < JUMP
    assert (slope[~inner] == 0).all()
    z = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(len(q), 1)
    p = torch.zeros_like(z)
    p[:, 2] = 0.05 * q
    angle = solve_argmax(kind(1), 0.0, z, p, starts=starts, max_iterations=40, tolerance=1e-12).control[:, 0]
    expected = -1 / (torch.cos(angle) ** 2 - angle * torch.sin(2 * angle))
    torch.testing.assert_close(slope[inner], expected[inner], rtol=1e-6, atol=1e-8)


@dataclasses.dataclass(frozen=True)
class Steering(DoubleIntegrator):
    """H = -p (tan u) - ½u² by control: not concave, its argmax jumps to the bound where |p| is near 0.23."""

    state_dim: int = 2
    control_dim: int = 2
    control_block: int = 1
    control_low: float = -1.32
    control_high: float = 1.32

    def dynamics(self, t, z, u):
        return torch.tan(u)


def test_global_starts_find_the_global_maximiser_through_its_jump():
    problem = Steering()
    costates = torch.linspace(-0.6, 0.6, 121, dtype=torch.float64)
    p = torch.stack([costates, costates.flip(0)], -1)
    z = torch.zeros_like(p)
    solution = solve_argmax(problem, 0.0, z, p, starts="global", max_iterations=30, tolerance=1e-9)
    axis = torch.linspace(-1.32, 1.32, 4001, dtype=torch.float64)
    best = (-p.unsqueeze(-1) * torch.tan(axis) - 0.5 * axis**2).amax(-1).sum(-1)
    found = hamiltonian(problem, torch.tensor(0.0), z, p, solution.control)
    assert solution.converged.all() and (found >= best - 1e-9).all()
    size = solution.control[:, 0].abs()
    assert (size[costates.abs() > 0.26] == 1.32).all() and (size[costates.abs() < 0.2] < 0.3).all()
    single = solve_argmax(problem, 0.0, z, p, max_iterations=30)
    assert hamiltonian(problem, torch.tensor(0.0), z, p, single.control).sum() < found.sum() - 0.1
