"""Matrix-free implicit differentiation against the dense solve; Anderson acceleration against the plain ascent."""

import dataclasses

import pytest
import torch
from test_argmax import derivative, draw

from pontryagin import (
    CoupledControls,
    DoubleIntegrator,
    GradientAscent,
    ImplicitGradient,
    ProjectedNewton,
    Quadrotor,
    TrainConfig,
    solve_argmax,
)
from pontryagin.controllers import argmax, operators
from pontryagin.controllers.operators import UNROLLED, solve_blocks


@pytest.mark.parametrize("scale", [0.05, 0.8])
def test_conjugate_gradients_equal_the_dense_solve(scale):
    """On 40 coupled controls, free (0.05) and some at their bounds (0.8); the residual is reported by sample."""
    problem = CoupledControls(40, control_low=-0.4, control_high=0.3)
    t, z, p = draw(problem, 5, scale)
    v = torch.randn(5, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = []
    dense = derivative(problem, t, z, p, v, gradient=ImplicitGradient("dense"))
    free = derivative(problem, t, z, p, v, gradient=ImplicitGradient("cg", tolerance=1e-11, on_solve=found.append))
    torch.testing.assert_close(free, dense, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(derivative(problem, t, z, p, v, gradient="jfb"), dense, rtol=1e-8, atol=1e-10)
    assert len(found) == 1 and found[0].residual.shape == (5,) and found[0].residual.max() < 1e-10
    assert 2 < found[0].products < 100
    held = (dense == 0).float().mean()
    assert (held == 0) if scale == 0.05 else (held > 0.05)


def test_conjugate_gradients_cut_short_report_it():
    problem = CoupledControls(40)
    t, z, p = draw(problem, 3)
    found = []
    derivative(
        problem, t, z, p, torch.ones_like(p), gradient=ImplicitGradient("cg", max_iterations=1, on_solve=found.append)
    )
    assert found[0].residual.min() > 1e-3 and found[0].products <= 4


def test_auto_is_dense_for_small_blocks_and_matrix_free_for_large_ones():
    assert not ImplicitGradient().matrix_free(4) and ImplicitGradient().matrix_free(65)
    assert ImplicitGradient("cg").matrix_free(4) and not ImplicitGradient("dense").matrix_free(500)
    problem = CoupledControls(70)
    t, z, p = draw(problem, 2)
    exact = derivative(problem, t, z, p, torch.ones_like(p), gradient=ImplicitGradient("dense"))
    found = derivative(problem, t, z, p, torch.ones_like(p), gradient="implicit")
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("settings", [{"solver": "gmres"}, {"tolerance": 0.0}, {"max_iterations": 0}])
def test_implicit_refusals(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ImplicitGradient(**settings)


def test_large_blocks_are_diagonalised():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, UNROLLED + 3, UNROLLED + 3, generator=generator, dtype=torch.float64)
    matrix = root + root.mT  # indefinite
    right = torch.randn(6, UNROLLED + 3, generator=generator, dtype=torch.float64)
    x = solve_blocks(matrix, right)
    assert (x * right).sum(-1).min() > 0
    definite = root @ root.mT + torch.eye(UNROLLED + 3, dtype=torch.float64)
    mixed = torch.cat([definite, matrix[:1]])
    expected = torch.linalg.solve(definite, right)
    torch.testing.assert_close(solve_blocks(mixed, torch.cat([right, right[:1]]))[:-1], expected)


@pytest.mark.parametrize("problem", [Quadrotor(), Quadrotor(cost_exponent=1.0), CoupledControls(12)])
def test_anderson_arrives_where_newton_does_in_fewer_iterations(problem):
    t, z, p = draw(problem, 24, 0.5)
    options = {"max_iterations": 4000, "tolerance": 1e-8}
    newton = solve_argmax(problem, t, z, p, operator=ProjectedNewton(), max_iterations=50, tolerance=1e-10)
    curvature = -_largest_curvature(problem, t, z, p, newton.control)
    plain = solve_argmax(problem, t, z, p, operator=GradientAscent(1 / curvature), **options)
    quick = solve_argmax(problem, t, z, p, operator=GradientAscent(1 / curvature, memory=5), **options)
    assert plain.converged.all() and quick.converged.all()
    torch.testing.assert_close(quick.control, newton.control, rtol=1e-6, atol=1e-6)
    assert quick.iterations.float().mean() < 0.5 * plain.iterations.float().mean()
    assert quick.iterations.max() < plain.iterations.max()


def _largest_curvature(problem, t, z, p, u):
    from pontryagin.controllers.hamiltonian import control_hamiltonian

    return torch.linalg.eigvalsh(control_hamiltonian(problem, t, z, p).hessian(u)).min().item()


def test_anderson_is_safeguarded():
    """Where extrapolation overshoots, the plain step is taken: H never ends below the plain iteration's next value."""
    from pontryagin.controllers.anderson import Past, accelerated
    from pontryagin.controllers.hamiltonian import control_hamiltonian

    problem = Quadrotor()
    t, z, p = draw(problem, 64, 2.0)
    h = control_hamiltonian(problem, t, z, p)
    generator = torch.Generator().manual_seed(3)
    box = problem.control_bounds(z)
    past = tuple(Past(*torch.randn(2, 64, 4, generator=generator, dtype=torch.float64).unbind()) for _ in range(3))
    u = h.start().clamp(*box)
    image = GradientAscent(1e-2).iterate(h, u, h.gradient(u), box)
    after, kept = accelerated(h, u, image, past, box, memory=3)
    assert (h.value(after) >= h.value(image)).all() and not torch.equal(after, image)
    assert len(kept) == 4 and torch.equal(kept[-1].u, u)


def test_anderson_leaves_the_derivative_alone():
    problem = Quadrotor()
    t, z, p = draw(problem, 6, 0.5)
    v = torch.ones(6, 4, dtype=torch.float64)
    plain, quick = GradientAscent(0.05), GradientAscent(0.05, memory=4)
    for gradient in ("jfb", "implicit"):
        found = [derivative(problem, t, z, p, v, operator=o, gradient=gradient) for o in (plain, quick)]
        torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="memory"):
        GradientAscent(0.1, memory=-1)


def test_matrix_free_training_does_not_compile():
    from pontryagin.training.loss import make_step
    from pontryagin.training.train import make_value

    problem, config = CoupledControls(70), TrainConfig(width=4, gradient="implicit", compile=True)
    with pytest.raises(ValueError, match="matrix-free; expected compile=False"):
        make_step(problem, make_value(problem, config), config)


@dataclasses.dataclass(frozen=True)
class Cosh(DoubleIntegrator):
    """L = cosh u, one control: its Gram matrix is 1 × 1."""

    def running_cost(self, t, z, u):
        return torch.cosh(u).sum(-1)


@pytest.mark.parametrize("look", [True, False])
def test_acceleration_does_not_die_out_near_the_solution(monkeypatch, look):
    """Steps of 1e-10 are accelerated like those of 1, eager and (no look at values) compiled."""
    if not look:
        for module in (operators, argmax):
            monkeypatch.setattr(module, "host_may_look", lambda x: False)
    p = torch.linspace(-3, 3, 40, dtype=torch.float64).unsqueeze(-1) * torch.ones(2, dtype=torch.float64)
    found = solve_argmax(
        Cosh(),
        0.0,
        torch.zeros_like(p),
        p,
        operator=GradientAscent(0.05, memory=1),
        max_iterations=400,
        tolerance=1e-10,
    )
    assert found.converged.all() and found.iterations.max() < 30


@pytest.mark.parametrize("size", [12, 70])
def test_one_bad_sample_does_not_stop_the_others(size):
    """Blocks large enough for eigh, and for conjugate gradients: the rest is solved."""
    problem = CoupledControls(size)
    t, z, p = draw(problem, 3, 0.1)
    exact = derivative(problem, t, z, p, torch.ones_like(p), gradient="implicit")
    p[1, 0] = float("nan")
    for operator in (ProjectedNewton(), GradientAscent(0.1)):
        found = derivative(problem, t, z, p, torch.ones_like(p), gradient="implicit", operator=operator)
        torch.testing.assert_close(found[[0, 2]], exact[[0, 2]], rtol=1e-4, atol=1e-6)


def test_unrolling_searches_once():
    """As many gradients of H as the iterations need, not twice that."""
    problem, calls = Quadrotor(), []

    class Counted(Quadrotor):
        def control_hamiltonian(self, t, z, p):
            h = super().control_hamiltonian(t, z, p)
            calls.append(h)
            return h

    t, z, p = draw(problem, 4, 0.5)
    p.requires_grad_(True)
    solve_argmax(Counted(), t, z, p, gradient="unroll")
    assert len(calls) == 1


def test_cg_is_once_differentiable():
    problem = CoupledControls(6)
    t, z, p = draw(problem, 2, 0.1)
    p.requires_grad_(True)
    u = solve_argmax(problem, t, z, p, gradient=ImplicitGradient("cg")).control
    (first,) = torch.autograd.grad(u.sum(), p, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.sum(), p)
