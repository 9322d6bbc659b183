"""Classical baselines against Riccati's equation, the open-loop optimum and each other."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import Pendulum

from pontryagin import (
    DoubleIntegrator,
    MultiBicycle,
    Problem,
    Quadrotor,
    ValueFunction,
    rollout,
    solve_reference,
)
from pontryagin.controllers.baselines import find_equilibrium
from pontryagin.controllers.baselines.direct import DirectPolicy
from pontryagin.controllers.baselines.explicit import ExplicitPolicy
from pontryagin.controllers.baselines.lqr import LinearQuadraticRegulator, TimeVaryingLQR
from pontryagin.controllers.baselines.mpc import RecedingHorizon
from pontryagin.controllers.optimum.step_model import StepModel, expand_end, riccati, step_model
from pontryagin.envs.integrate import advance

pytest.importorskip("casadi")


class Hill(DoubleIntegrator):
    """Linear-quadratic, but not about the origin: a drift, costs with slopes, a target elsewhere."""

    def dynamics(self, t, z, u):
        return torch.cat([z.narrow(-1, 1, 1), u - 0.5 + 0.2 * z.narrow(-1, 0, 1)], -1)

    def running_cost(self, t, z, u):
        return 0.5 * ((u - 0.3) ** 2).sum(-1) + 0.1 * z[..., 0] + 0.2 * (z**2).sum(-1) + 0.1 * z[..., 1] * u[..., 0]

    def terminal_cost(self, z):
        return 5.0 * ((z - torch.tensor([1.0, 0.0], dtype=z.dtype)) ** 2).sum(-1)


def changed(base, **methods):
    return type("Changed", (base,), methods)()


def states(problem, count=4, seed=0):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(seed)).double()


def nominal(problem, z=(0.4, -0.3)):
    return solve_reference(problem, torch.tensor([z], dtype=torch.float64))


CONTROLLERS = {
    "lqr": LinearQuadraticRegulator,
    "lqr-tracking": lambda problem: TimeVaryingLQR(problem, nominal(problem)),
    "mpc": RecedingHorizon,
    "direct": lambda problem: DirectPolicy(problem, 8, seed=0).double(),
    "explicit": lambda problem: ExplicitPolicy(problem, ValueFunction(problem, 8, seed=0).double()),
}


@pytest.mark.parametrize("kind", CONTROLLERS)
def test_what_every_controller_owes(kind):
    """Within the bounds whatever the state, one answer per sample whatever the batch, t a number or a batch."""
    problem = Pendulum() if kind != "explicit" else changed(Pendulum, running_cost=lambda s, t, z, u: (u * u).sum(-1))
    controller = CONTROLLERS[kind](problem)
    z, t = 3 * states(problem, 5), torch.tensor(0.25, dtype=torch.float64)
    u = controller(t, z).detach()
    assert u.shape == (5, 2) and u.dtype == torch.float64
    assert (u >= -1.5).all() and (u <= 1.0).all()
    singles = torch.cat([CONTROLLERS[kind](problem)(t, row[None]) for row in z]).detach()
    torch.testing.assert_close(singles, u, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(controller(t.expand(5), z).detach(), u, rtol=1e-6, atol=1e-7)
    path = rollout(problem, controller, z)
    assert path.cost.isfinite().all()
    if kind not in ("direct", "explicit"):  # those have a dtype of their own
        low, high = problem.control_bounds(z.float())
        narrow = controller(t, z.float())
        assert narrow.dtype == torch.float32 and (narrow >= low).all() and (narrow <= high).all()
        with pytest.raises(ValueError, match="z has shape"):
            controller(t, torch.zeros(3, 5))


def test_expansion_is_autograds(pendulum):
    generator = torch.Generator().manual_seed(0)
    z, u, p = (torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    t = torch.tensor([0.0, 0.3, 0.6], dtype=torch.float64)
    found = step_model(pendulum, t, z, u, p, 0.2)
    for b in range(3):

        def step(y, b=b):
            after, cost = advance(pendulum, t[b], y[None, :2], y[None, 2:], 0.2)
            return after[0], cost[0] + p[b] @ after[0]

        y = torch.cat([z[b], u[b]])
        jacobian, gradient = torch.autograd.functional.jacobian(step, y)
        hessian = torch.autograd.functional.hessian(lambda y: step(y)[1], y)
        for a, expected in zip(found, (jacobian, gradient, hessian), strict=True):
            torch.testing.assert_close(a[b], expected, rtol=1e-10, atol=1e-12)
    slope, curvature = expand_end(pendulum, z[0])
    torch.testing.assert_close(slope, 4 * z[0])
    torch.testing.assert_close(curvature, 4 * torch.eye(2, dtype=z.dtype))


def test_regularisation_is_counted_and_keeps_the_gain_finite():
    """One step, F = z + u, c = ½ h u² with h < 0: Q_uu = h + S."""
    one = torch.ones(1, 1, dtype=torch.float64)

    def gains(h, s=1.0):
        hessian = torch.zeros(1, 2, 2, dtype=torch.float64)
        hessian[0, 1, 1] = h
        steps = StepModel(torch.ones(1, 1, 2, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64), hessian)
        return riccati(steps, 0 * one, 0 * one[0], s * one, one.bool())

    good, bad, flat = gains(1.0), gains(-3.0), gains(-1.0)
    assert (good.regularised, bad.regularised, flat.regularised) == (0, 1, 1)
    assert good.feedback.item() == pytest.approx(-0.5)
    assert bad.feedback.item() == pytest.approx(-0.5)  # -2 reflected to 2
    assert math.isfinite(flat.feedback.item())


def test_lqr_of_the_double_integrator_is_riccati():
    problem, h = DoubleIntegrator(), 0.1
    a, b = np.array([[1, h], [0, 1]]), np.array([[h * h / 2], [h]])
    after, gains = 10 * np.eye(2), []
    for _ in range(problem.steps):
        gains.insert(0, -np.linalg.solve(h + b.T @ after @ b, b.T @ after @ a))
        after = a.T @ after @ (a + b @ gains[0])
    lqr = LinearQuadraticRegulator(problem)
    np.testing.assert_allclose(lqr.feedback, gains, rtol=1e-9)
    z0 = states(problem)
    best, path = solve_reference(problem, z0), rollout(problem, lqr, z0)
    torch.testing.assert_close(path.cost, best.cost, rtol=1e-6, atol=0)
    torch.testing.assert_close(path.u, best.u, rtol=0, atol=1e-5)
    assert lqr.regularised == 0


@pytest.mark.parametrize("point", [None, ([1.0, 0.0], [0.3]), ([-2.0, 1.0], [4.0])])
def test_lqr_is_the_optimum_of_a_linear_quadratic_problem_about_any_point(point):
    """Where (z̄, ū) is no equilibrium the tangent has a drift, and the feedforward takes it up."""
    problem = Hill()
    lqr = LinearQuadraticRegulator(problem) if point is None else LinearQuadraticRegulator(problem, *point)
    z0 = states(problem)
    torch.testing.assert_close(rollout(problem, lqr, z0).cost, solve_reference(problem, z0).cost, rtol=1e-6, atol=0)


def test_lqr_is_the_optimum_near_its_target():
    """Pendulum(0, 0) is at rest; from a distance ε the cost is too high by O(ε⁴)."""
    problem, z0 = Pendulum(), states(Pendulum(), 2)
    lqr = LinearQuadraticRegulator(problem)
    assert lqr.target.abs().max() < 1e-10 and lqr.control.abs().max() < 1e-10
    excess = [
        rollout(problem, lqr, size * z0).cost - solve_reference(problem, size * z0).cost for size in (0.4, 0.2, 1e-2)
    ]
    assert (excess[0] > 0).all() and (excess[0] / excess[1] > 8).all()
    assert excess[2].abs().max() < 1e-7


def test_equilibrium():
    z, u = find_equilibrium(Quadrotor())
    torch.testing.assert_close(z, torch.tensor([2.0, 2.0, 1.0] + [0.0] * 9, dtype=z.dtype), rtol=0, atol=1e-8)
    torch.testing.assert_close(u, torch.tensor([0.5, 0.0, 0.0, 0.0], dtype=z.dtype), rtol=0, atol=1e-8)
    problem = MultiBicycle(2, targets=((1.0, 0.5), (0.5, 1.0)))
    z, u = find_equilibrium(problem)  # G leaves heading and speed open: at rest there
    torch.testing.assert_close(problem.agents(z)[:, :2], torch.from_numpy(problem.target_points), rtol=0, atol=1e-8)
    assert problem.agents(z)[:, 3].abs().max() < 1e-8 and u.abs().max() < 1e-8
    _, u = find_equilibrium(Hill(), [3.0, 0.0])
    torch.testing.assert_close(u, torch.tensor([-0.1], dtype=z.dtype))
    with pytest.raises(ValueError, match=r"Quadrotor has no equilibrium .* the least \|f\| .* is 4"):
        find_equilibrium(Quadrotor(gravity=10.0))  # full thrust lifts 6
    with pytest.raises(ValueError, match="no equilibrium at the target"):
        LinearQuadraticRegulator(DoubleIntegrator(), [0.0, 1.0])
    for wrong, sentence in (([1.0], "shape"), ([math.nan, 0.0], "finite")):
        with pytest.raises(ValueError, match=f"target .*{sentence}"):
            LinearQuadraticRegulator(DoubleIntegrator(), wrong)
    with pytest.raises(ValueError, match="without the target"):
        LinearQuadraticRegulator(DoubleIntegrator(), control=[0.0])


def test_lqr_tracking_is_the_neighbouring_optimum(pendulum):
    """On the nominal it plays ū; K_0 = du*_0/dz; away from it the cost is too high by O(distance⁴)."""
    path = nominal(pendulum, (0.2, -0.1))
    tracking = TimeVaryingLQR(pendulum, path)
    assert tracking.regularised == 0 and not tracking.held.any()
    torch.testing.assert_close(rollout(pendulum, tracking, path.z[0]).u, path.u, rtol=0, atol=1e-9)
    away = torch.tensor([[1.0, -0.5], [0.3, 1.0]], dtype=torch.float64)
    slope = (
        solve_reference(pendulum, path.z[0] + 1e-3 * away).u[0]
        - solve_reference(pendulum, path.z[0] - 1e-3 * away).u[0]
    )
    torch.testing.assert_close(tracking.feedback[0] @ away.mT, slope.mT / 2e-3, rtol=1e-4, atol=1e-5)
    far, near = (path.z[0] + size * away for size in (0.4, 0.2))
    excess = [rollout(pendulum, tracking, z).cost - solve_reference(pendulum, z).cost for z in (far, near)]
    assert (excess[0] > 0).all() and (excess[0] < 1e-2).all()
    assert (excess[0] / excess[1] > 8).all()


def test_lqr_tracking_leaves_active_bounds_alone(pendulum):
    path = nominal(pendulum, (1.5, 1.0))
    tracking = TimeVaryingLQR(pendulum, path)
    at = (path.u[:, 0] <= -1.5 + 1e-6) | (path.u[:, 0] >= 1 - 1e-6)
    assert at.any() and not at.all() and torch.equal(tracking.held, at)
    assert (tracking.feedback[tracking.held] == 0).all()
    assert tracking.feedback[~tracking.held].abs().amax(-1).gt(0).any()


def test_lqr_tracking_refuses_other_paths(pendulum):
    with pytest.raises(ValueError, match="from 2 states"):
        TimeVaryingLQR(pendulum, solve_reference(pendulum, torch.zeros(2, 2)))
    with pytest.raises(ValueError, match=r"expected \(9, 1, 2\) and \(8, 1, 2\)"):
        TimeVaryingLQR(pendulum, solve_reference(DoubleIntegrator(steps=8), torch.zeros(1, 2)))
    with pytest.raises(ValueError, match="did not converge .Maximum_Iterations"):
        TimeVaryingLQR(pendulum, solve_reference(pendulum, torch.ones(1, 2), max_iterations=1))


def test_problems_of_users_work_too():
    """Nothing but the four methods, and a time in them."""

    @dataclasses.dataclass(frozen=True)
    class Mine(Problem):
        state_dim: int = 1
        control_dim: int = 1
        horizon: float = 1.0
        steps: int = 5
        control_low: float = -2.0
        control_high: float = 2.0

        def dynamics(self, t, z, u):
            return u * torch.exp(-t).reshape(-1, 1) - z

        def running_cost(self, t, z, u):
            return (u * u).sum(-1)

        def terminal_cost(self, z):
            return 3 * (z * z).sum(-1)

        def sample_initial_state(self, batch, generator=None):
            return torch.randn(batch, 1, generator=generator)

    problem, z0 = Mine(), torch.tensor([[0.7]], dtype=torch.float64)
    best = solve_reference(problem, z0)
    for controller in (LinearQuadraticRegulator(problem), TimeVaryingLQR(problem, best), RecedingHorizon(problem)):
        torch.testing.assert_close(rollout(problem, controller, z0).cost, best.cost, rtol=1e-6, atol=0)
