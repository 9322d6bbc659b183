"""The argmax against closed forms, brute force and finite differences."""

import itertools

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pontryagin import DoubleIntegrator, GradientAscent, ProjectedNewton, Quadrotor, hamiltonian, solve_argmax
from pontryagin.controllers.hamiltonian import DerivedHamiltonian, control_hamiltonian
from pontryagin.controllers.operators import solve_blocks


class FreeQuadrotor(Quadrotor):
    """The quadrotor with bounds that never bind."""

    control_low = -100.0
    control_high = 100.0


def draw(problem, count, scale=1.0, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, problem.state_dim, generator=generator, dtype=dtype)
    p = scale * torch.randn(count, problem.state_dim, generator=generator, dtype=dtype)
    return torch.tensor(0.3, dtype=dtype), z, p


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_lambert_w_from_tiny_to_huge_costates(exponent):
    """2a r exp(a r²) = |q| gives r² = W(|q|²/2a) / 2a, for |q| from 1e-3 to 1e6."""
    problem = FreeQuadrotor(cost_exponent=exponent)
    sizes = torch.logspace(-3, 6, 37, dtype=torch.float64)
    _, z, p = draw(problem, len(sizes))
    h = control_hamiltonian(problem, torch.tensor(0.0), z, p)
    p = p * (sizes / h.q.norm(dim=-1)).unsqueeze(-1)
    solution = solve_argmax(problem, 0.0, z, p, max_iterations=12, tolerance=1e-12)
    assert solution.converged.all()
    expected = [
        float(mpmath.sqrt(mpmath.lambertw(s**2 / (2 * exponent)).real / (2 * exponent))) for s in sizes.tolist()
    ]
    np.testing.assert_allclose(solution.control.norm(dim=-1), expected, rtol=1e-10)
    q = control_hamiltonian(problem, torch.tensor(0.0), z, p).q
    cosine = torch.nn.functional.cosine_similarity(solution.control, -q)
    np.testing.assert_allclose(cosine, 1.0, rtol=1e-12)


def test_start_needs_no_luck():
    """From u0 = 0, without the closed form's start, the safeguarded Newton still arrives."""
    problem = FreeQuadrotor()
    t, z, p = draw(problem, 64, scale=1e3)
    warm = solve_argmax(problem, t, z, p, tolerance=1e-10, max_iterations=20)
    cold = solve_argmax(problem, t, z, p, tolerance=1e-10, max_iterations=40, u0=torch.zeros(64, 4).double())
    assert cold.converged.all()
    torch.testing.assert_close(cold.control, warm.control, rtol=1e-8, atol=1e-8)


def kkt_violation(problem, t, z, p, u):
    """Largest component of ∇_u H that an admissible move could still climb."""
    low, high = problem.control_bounds(z)
    g = DerivedHamiltonian(problem, t, z, p).gradient(u)
    climb = torch.where(u >= high - 1e-12, g.clamp_max(0), torch.where(u <= low + 1e-12, g.clamp_min(0), g))
    return climb.abs().amax(-1)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e4), seed=st.integers(0, 10_000))
def test_active_bounds_satisfy_the_kkt_conditions(scale, seed):
    problem = Quadrotor()
    t, z, p = draw(problem, 16, scale, seed=seed)
    solution = solve_argmax(problem, t, z, p, max_iterations=25, tolerance=1e-9)
    low, high = problem.control_bounds(z)
    assert ((solution.control >= low) & (solution.control <= high)).all()
    assert solution.converged.all()
    assert (kkt_violation(problem, t, z, p, solution.control) <= 1e-8 * (1 + 10 * scale)).all()


def test_brute_force_on_a_grid(pendulum):
    t, z, p = draw(pendulum, 12, scale=3.0)
    solution = solve_argmax(pendulum, t, z, p, max_iterations=20, tolerance=1e-10)
    axis = np.linspace(-1.5, 1.0, 81)
    grid = torch.tensor(list(itertools.product(axis, axis)))
    best = torch.stack([hamiltonian(pendulum, t, z, p, u.expand(12, 2)) for u in grid]).amax(0)
    found = hamiltonian(pendulum, t, z, p, solution.control)
    assert (found >= best - 1e-9).all()
    assert (found <= best + 0.05).all()


@pytest.mark.parametrize("problem", [Quadrotor(), Quadrotor(cost_exponent=1.0, mass=0.8)])
def test_closed_form_equals_derived(problem):
    t, z, p = draw(problem, 9)
    u = torch.rand(9, problem.control_dim, dtype=torch.float64)
    closed, derived = control_hamiltonian(problem, t, z, p), DerivedHamiltonian(problem, t, z, p)
    torch.testing.assert_close(closed.gradient(u), derived.gradient(u))
    torch.testing.assert_close(closed.hessian(u), derived.hessian(u))
    torch.testing.assert_close(closed.value(u) - closed.value(0 * u), derived.value(u) - derived.value(0 * u))


def test_derived_blocks_separate(pendulum):
    """H varied one block at a time adds up to H, and the Hessian's blocks are its second differences."""
    t, z, p = draw(pendulum, 5)
    h = DerivedHamiltonian(pendulum, t, z, p)
    u = torch.rand(5, 2, dtype=torch.float64)
    change = (h.value(u) - h.value(torch.zeros_like(u))).sum(-1)
    torch.testing.assert_close(change, h.whole(u) - h.whole(torch.zeros_like(u)))
    eps = 1e-4
    for j in range(2):
        e = torch.eye(2, dtype=torch.float64)[j] * eps
        second = (h.whole(u + e) - 2 * h.whole(u) + h.whole(u - e)) / eps**2
        torch.testing.assert_close(h.hessian(u)[:, j, 0, 0], second, rtol=1e-4, atol=1e-5)


def test_ascent_and_newton_agree():
    problem = Quadrotor()
    t, z, p = draw(problem, 16, scale=0.5)
    newton = solve_argmax(problem, t, z, p, tolerance=1e-9)
    ascent = solve_argmax(problem, t, z, p, operator=GradientAscent(0.02), max_iterations=3000, tolerance=1e-9)
    assert ascent.converged.all() and newton.converged.all()
    assert ascent.iterations.max() > 10 * newton.iterations.max()
    torch.testing.assert_close(ascent.control, newton.control, rtol=1e-6, atol=1e-6)


def derivative(problem, t, z, p, v, **options):
    p = p.clone().requires_grad_(True)
    u = solve_argmax(problem, t, z, p, max_iterations=200, tolerance=1e-12, **options).control
    return torch.autograd.grad((u * v).sum(), p)[0]


@pytest.mark.parametrize("scale", [0.5, 8.0])
def test_gradients_against_finite_differences(scale):
    """Newton-jfb, implicit and unroll are exact, at interior maximisers (0.5) and with active bounds (8)."""
    problem = Quadrotor()
    t, z, p = draw(problem, 6, scale)
    v = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact = torch.zeros_like(p)
    for j in range(problem.state_dim):
        e = torch.eye(problem.state_dim, dtype=torch.float64)[j] * 1e-6
        ends = [solve_argmax(problem, t, z, p + s * e, max_iterations=30, tolerance=1e-13).control for s in (1, -1)]
        exact[:, j] = ((ends[0] - ends[1]) * v).sum(-1) / 2e-6
    for options in ({"gradient": "jfb"}, {"gradient": "implicit"}, {"gradient": "unroll"}):
        torch.testing.assert_close(derivative(problem, t, z, p, v, **options), exact, rtol=1e-5, atol=1e-6)


def test_jfb_ladder_approaches_implicit():
    """With the ascent operator one tracked step is far off; more of them converge to the implicit gradient."""
    problem = Quadrotor()
    t, z, p = draw(problem, 8, 0.5)
    v = torch.ones(8, 4, dtype=torch.float64)
    operator = GradientAscent(0.05)
    exact = derivative(problem, t, z, p, v, operator=operator, gradient="implicit")
    errors = [
        (derivative(problem, t, z, p, v, operator=operator, jfb_steps=k) - exact).norm().item() for k in (1, 4, 16, 64)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.5 * exact.norm() and errors[-1] < 0.05 * exact.norm()


def test_forward_value_does_not_depend_on_the_gradient():
    problem = Quadrotor()
    t, z, p = draw(problem, 5)
    p.requires_grad_(True)
    controls = [solve_argmax(problem, t, z, p, gradient=g).control for g in ("jfb", "implicit", "unroll")]
    assert torch.equal(controls[0], controls[1]) and torch.equal(controls[0], controls[2])


def test_tolerance_zero_runs_every_iteration_and_status_is_by_sample():
    problem = Quadrotor()
    t, z, p = draw(problem, 4)
    assert (solve_argmax(problem, t, z, p, max_iterations=7, tolerance=0).iterations == 7).all()
    p[2] = float("nan")
    solution = solve_argmax(problem, t, z, p)
    assert solution.converged.tolist() == [True, True, False, True]
    stuck = solve_argmax(problem, t, z, p, operator=GradientAscent(1e-4), max_iterations=3)
    assert not stuck.converged.any()


def test_solve_blocks():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(50, 4, 4, generator=generator, dtype=torch.float64)
    definite = root @ root.mT + 0.1 * torch.eye(4, dtype=torch.float64)
    right = torch.randn(51, 4, generator=generator, dtype=torch.float64)
    expected = torch.linalg.solve(definite, right[:-1])
    mixed = torch.cat([definite, -definite[:1]])  # one indefinite block sends all through the unrolled elimination
    torch.testing.assert_close(solve_blocks(mixed, right)[:-1], expected)
    torch.testing.assert_close(solve_blocks(definite, right[:-1]), expected)
    assert (solve_blocks(mixed, right) * right).sum(-1).min() > 0  # still a direction of ascent


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"z": torch.zeros(4, 3)}, "state_dim 12"),
        ({"p": torch.zeros(4, 11)}, "expected the shape and dtype of z"),
        ({"z": torch.zeros(4, 12, dtype=torch.int64)}, "dtype"),
        ({"t": torch.zeros(3)}, "t has shape"),
        ({"u0": torch.zeros(4, 3)}, "control_dim 4"),
        ({"operator": "newton"}, "expected ProjectedNewton"),
        ({"gradient": "exact"}, "'jfb', 'implicit', 'unroll' or ImplicitGradient"),
        ({"starts": "many"}, "'single' or 'global'"),
        ({"max_iterations": -1}, "max_iterations=-1"),
        ({"tolerance": float("nan")}, "tolerance"),
    ],
)
def test_refusals(change, sentence):
    arguments = {"t": 0.0, "z": torch.zeros(4, 12), "p": torch.zeros(4, 12)} | change
    if "z" in change and change["z"].dtype == torch.int64:
        arguments["p"] = change["z"]
    t, z, p = (arguments.pop(k) for k in "tzp")
    with pytest.raises(ValueError, match=sentence):
        solve_argmax(Quadrotor(), t, z, p, **arguments)


def test_operator_refusals():
    with pytest.raises(ValueError, match="step_size"):
        GradientAscent(0.0)
    with pytest.raises(ValueError, match="backtracks"):
        ProjectedNewton(0)


def test_linear_quadratic_in_closed_form():
    """L = ½u²: u* = -p_v exactly, in one Newton step, float32 and float64."""
    problem = DoubleIntegrator()
    for dtype in (torch.float32, torch.float64):
        t, z, p = draw(problem, 8, dtype=dtype)
        solution = solve_argmax(problem, t, z, p)
        torch.testing.assert_close(solution.control, -p[:, 1:])
        assert (solution.iterations == 1).all() and solution.control.dtype == dtype
