"""The quantities of the theory of JFB, against closed forms and against autograd."""

import pytest
import torch
from weighed import Weighed, cells, made, states

from pontryagin import (
    DoubleIntegrator,
    FlownValue,
    GradientAscent,
    ImplicitPolicy,
    ProjectedNewton,
    ValueFunction,
    rollout,
    solve_argmax,
    solve_optimum,
)
from pontryagin.controllers.optimum import expand_agents
from pontryagin.envs.integrate import advance
from pontryagin.training.theory.assumptions import operator_rows
from pontryagin.training.theory.contraction import Points, box_gamma, curvature_at
from pontryagin.training.theory.diagnose import diagnose
from pontryagin.training.theory.flight import adjoint, fly, pull_back, slope_jacobian
from pontryagin.training.theory.law import Law
from pontryagin.training.theory.plain_words import sentences


def exact_gradients(policy, z0, operator, gradient):
    """dJ/dθ by autograd alone, one state at a time, with the argmax solved anew: ``(B, P)``."""
    problem, value, rows = policy.problem, made(policy.problem).value.double(), []
    value.load_state_dict(policy.value.state_dict())
    for start in z0.double():
        z, cost = start.unsqueeze(0), 0.0
        for k in range(problem.steps):
            t = torch.tensor(k * problem.time_step, dtype=z.dtype)
            p = value.gradient(t, z)[1]
            found = solve_argmax(problem, t, z, p, max_iterations=100, tolerance=1e-12).control.detach()
            u = solve_argmax(
                problem, t, z, p, operator=operator, gradient=gradient, u0=found, max_iterations=1, tolerance=1.0
            ).control
            z, spent = advance(problem, t, z, u, problem.time_step)
            cost = cost + spent
        found = torch.autograd.grad(
            (cost + problem.terminal_cost(z)).sum(), list(value.parameters()), allow_unused=True
        )
        rows.append(torch.cat([g.flatten() for g in found if g is not None]))
    return torch.stack(rows)


@pytest.fixture(scope="module")
def weighed():
    policy = made(Weighed())
    return policy, diagnose(policy, states(policy.problem), times=3)


def test_gamma_of_a_linear_quadratic_problem_is_known(weighed):
    """-H_uu = diag(1, 4): α = 2/5, γ = (4 - 1)/(4 + 1) at u* and everywhere else; Newton's is 0."""
    _, found = weighed
    ascent, newton = found.operators
    assert ascent.operator.step_size == pytest.approx(0.4)
    torch.testing.assert_close(ascent.gamma, torch.full((3, 3), 0.6, dtype=torch.float64))
    torch.testing.assert_close(ascent.gamma_box, ascent.gamma, atol=1e-6, rtol=0)
    assert newton.gamma.max() < 1e-12 and newton.gamma_box.max() < 1e-6
    assert (ascent.reached, newton.reached) == (1.0, 1.0)
    assert found.concave == 1.0 and found.convex is None and found.beaten == 0.0 and found.held == 0.0
    assert found.box_range == pytest.approx((1.0, 4.0))
    assert found.residual.max() < 1e-12


def test_a_step_that_is_too_long_does_not_contract():
    policy = made(Weighed())
    found = diagnose(policy, states(policy.problem, 1), GradientAscent(0.6), times=2)
    (part,) = found.operators
    torch.testing.assert_close(part.gamma, torch.full((2, 1), 1.4, dtype=torch.float64))
    assert cells(operator_rows(found))["gamma"][0].verdict == "fails"
    assert cells(operator_rows(found))["ratio_v"][0].verdict == "not applicable"
    text = " ".join(sentences(found))
    assert "does not contract even at u*" in text and "take α < 0.5" in text


def test_m_of_the_double_integrator_has_a_closed_form():
    """∇_u H = -p_2 - u. With phi = ½|A s - d|² + b·s, ∂p_2/∂b = (0, 1, 0), so those columns of M are (0, -α, 0)."""
    problem = DoubleIntegrator(steps=4)
    policy = ImplicitPolicy(problem, ValueFunction(problem, 1, rank=1, seed=0))
    flight = fly(policy, states(problem, 2))
    names = {id(weight): name for name, weight in flight.value.named_parameters()}
    order = [names[id(weight)] for weight in flight.weights]
    assert "constant" not in order
    k, b = 2, 1
    parts = dict(zip(order, slope_jacobian(flight, k, b)[0].split([w.numel() for w in flight.weights]), strict=True))
    torch.testing.assert_close(parts["linear"], torch.tensor([0.0, -1.0, 0.0]).double())
    # ½ e^{-g (4 - τ)} (A s - d)²: d/dd of its derivative in z_2 is -e^{-g (4 - τ)} A_2.
    tau = flight.t[k] * 4 / problem.horizon
    weight = torch.exp(flight.value.growth * (tau - 4.0))
    torch.testing.assert_close(parts["center"], (weight * flight.value.quadratic[:, 1]).detach())
    found = diagnose(policy, states(problem, 2), GradientAscent(0.3), times=4)
    whole = 0.3 * slope_jacobian(flight, k, b).norm()
    torch.testing.assert_close(found.operators[0].singular[k, b, 0], whole)
    assert (found.operators[0].kappa - 1).abs().max() < 1e-12  # one control: a number has condition 1


@pytest.mark.parametrize("kind", ["weighed", "pendulum", "short_quadrotor"])
def test_the_sum_of_v_is_the_exact_gradient(kind, request):
    problem = Weighed() if kind == "weighed" else request.getfixturevalue(kind)
    policy = made(problem)
    z0 = states(problem, 2)
    found = diagnose(policy, z0, times=2)
    expected = exact_gradients(policy, z0, ProjectedNewton(), "implicit")
    assert found.weights == expected.shape[1]
    torch.testing.assert_close(found.gradient, expected, atol=1e-9, rtol=1e-6)
    # The direction of training is what autograd gives with gradient="jfb".
    flight, ascent = fly(policy, z0), found.operators[0].operator
    trained = exact_gradients(policy, z0, ascent, "jfb")
    cosine = torch.nn.functional.cosine_similarity(trained, expected)
    torch.testing.assert_close(found.operators[0].cosine_trained, cosine, atol=1e-9, rtol=0)
    again = pull_back(flight, ascent.step_size * adjoint(flight, ascent, "jfb") * flight.free)
    torch.testing.assert_close(again, trained, atol=1e-9, rtol=1e-6)


def test_v_is_the_derivative_of_the_cost_by_differences(weighed):
    """One weight moved, J along the path of the moved policy."""
    policy, found = weighed
    value = made(policy.problem).value.double()
    z0 = states(policy.problem).double()

    def cost(shift):
        value.load_state_dict(policy.value.state_dict())
        with torch.no_grad():
            value.linear[1] += shift
        return rollout(policy.problem, ImplicitPolicy(policy.problem, value, tolerance=1e-12), z0).cost

    difference = ((cost(1e-5) - cost(-1e-5)) / 2e-5).detach()
    flight = fly(policy, z0)
    sizes = [weight.numel() for weight in flight.weights]
    place = [id(weight) for weight in flight.weights].index(id(flight.value.linear))
    torch.testing.assert_close(found.gradient.split(sizes, -1)[place][:, 1], difference, atol=1e-7, rtol=1e-6)


def test_newton_is_exact_and_ascent_is_not(weighed):
    _, found = weighed
    ascent, newton = found.operators
    for cosine in (newton.cosine, newton.cosine_trained):
        torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-9, rtol=0)
    assert newton.cosine_mean == pytest.approx(1.0) and newton.variance == pytest.approx(found.variance)
    assert (ascent.cosine < 1 - 1e-4).all()
    assert (ascent.cosine_trained - ascent.cosine).abs().max() > 1e-4
    assert {c.verdict for c in cells(operator_rows(found))["gamma_kappa"][1:]} == {"holds"}


def test_the_bounds_below_equation_8_are_those_of_the_definition(weighed):
    """M, v and w written out for every step of one path, in the space of the weights."""
    policy, found = weighed
    flight, ascent = fly(policy, states(policy.problem)), found.operators[0]
    dt, b, alpha = policy.problem.time_step, 1, ascent.operator.step_size
    g = adjoint(flight, ProjectedNewton(), "implicit")[:, b] / dt
    a = [slope_jacobian(flight, k, b) for k in range(policy.problem.steps)]
    curvature = torch.tensor([1.0, 4.0]).double()
    v = torch.stack([a[k].mT @ (g[k] / curvature) for k in range(len(a))])
    w = torch.stack([alpha * a[k].mT @ g[k] for k in range(len(a))])
    torch.testing.assert_close(dt * v.sum(0), found.gradient[b])
    k = 2  # the second of the three sampled times
    inverse = torch.linalg.eigvalsh(torch.linalg.inv(alpha**2 * a[k] @ a[k].mT))
    torch.testing.assert_close(ascent.lambda_minus[1, b], inverse[0])
    torch.testing.assert_close(ascent.lambda_plus[1, b], inverse[-1])
    torch.testing.assert_close(ascent.kappa[1, b], inverse[-1] / inverse[0])
    newton = found.operators[1]
    m = a[k] / curvature.unsqueeze(-1)
    root = torch.linalg.eigvalsh(torch.linalg.inv(m @ m.mT))[0].sqrt()
    expected = (v[k] - v.mean(0)).norm() / ((m @ v[k]).norm() * root)
    torch.testing.assert_close(newton.ratio_v[1, b], expected)
    margin = inverse[0] - 0.6 * inverse[-1]
    if margin > 0:
        expected = (w[k] - w.mean(0)).norm() / ((alpha * a[k] @ v[k]).norm() * margin.sqrt())
        torch.testing.assert_close(ascent.ratio_w[1, b], expected)
    else:
        assert ascent.ratio_w[1, b].isnan()


class Steep(torch.nn.Module):
    """∇phi = 50."""

    def gradient(self, t, z):
        return torch.zeros_like(z[:, 0]), torch.full_like(z, 50.0)


def test_differences_see_the_projection(pendulum):
    """Where the step is cut off at the bounds, ∂T/∂u is 0 there."""
    n = 4
    law = Law(pendulum, Steep())
    z = torch.zeros(n, 2).double()
    points = Points(law, torch.zeros(n).double(), z, z, torch.ones(n, 2, dtype=torch.bool))
    draws = torch.zeros(1, 2).double()
    assert box_gamma(points, GradientAscent(1.0), draws).max() == 0.0
    # L = cosh u: -H_uu = cosh 0 = 1.
    torch.testing.assert_close(curvature_at(points), torch.ones(n, 2).double())
    assert box_gamma(points, GradientAscent(1e-3), draws).max() == pytest.approx(1 - 1e-3, abs=1e-8)


def test_a_policy_that_was_not_trained_is_refused_before_anything_is_flown():
    """That of ``solve`` has no weights, and flying it takes minutes."""
    problem = DoubleIntegrator()
    z0 = states(problem)
    value = FlownValue(problem, expand_agents(problem, solve_optimum(problem, z0[:1])))
    with pytest.raises(ValueError, match="FlownValue, has no weights.* as train makes it, and not solve"):
        diagnose(ImplicitPolicy(problem, value, hamiltonian="held"), z0)


def test_the_policy_is_left_as_it_was(weighed):
    policy, _ = weighed
    assert all(w.dtype == torch.float32 and w.grad is None for w in policy.value.parameters())
