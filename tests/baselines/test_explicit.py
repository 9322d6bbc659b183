"""The argmax in closed form, and any controller as a policy."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import Pendulum

from pontryagin import (
    ControllerPolicy,
    DirectPolicy,
    DoubleIntegrator,
    ExplicitPolicy,
    ImplicitPolicy,
    LinearQuadraticRegulator,
    OptimalControlEnv,
    ValueFunction,
    evaluate,
    solve_reference,
)

pytest.importorskip("casadi")


def changed(base, **methods):
    return type("Changed", (base,), methods)()


def states(problem, count=4, seed=0):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(seed)).double()


def test_explicit_equals_implicit():
    problem = DoubleIntegrator()
    value = ValueFunction(problem, seed=0)
    t, z = torch.rand(64), 3 * torch.randn(64, 2)
    explicit, implicit = ExplicitPolicy(problem, value), ImplicitPolicy(problem, value)
    torch.testing.assert_close(explicit(t, z), implicit(t, z), rtol=1e-6, atol=1e-6)
    slopes = [torch.autograd.grad(law(t, z).sum(), value.linear)[0] for law in (explicit, implicit)]
    torch.testing.assert_close(*slopes)


def test_explicit_with_a_state_in_its_weights_and_bounds():
    """R = diag(1 + z_0², 2) and slopes at u = 0; the bounds [-1.5, 1] are active for most of these states."""
    problem = changed(
        Pendulum,
        dynamics=lambda s, t, z, u: torch.stack(
            [z[..., 1] + z[..., 0] * u[..., 1], torch.sin(t + z[..., 0]) + u[..., 0]], -1
        ),
        running_cost=lambda s, t, z, u: (
            0.5 * (1 + z[..., 0] ** 2) * u[..., 0] ** 2 + u[..., 1] ** 2 + u[..., 0] * z[..., 1] + 0.4 * u[..., 1]
        ),
    )
    value = ValueFunction(problem, 8, seed=0).double()
    t, z = torch.rand(64, dtype=torch.float64), 2 * states(problem, 64)
    u = ExplicitPolicy(problem, value)(t, z)
    torch.testing.assert_close(u, ImplicitPolicy(problem, value, max_iterations=50)(t, z), rtol=1e-6, atol=1e-7)
    assert ((u == -1.5) | (u == 1.0)).any() and ((u > -1.5) & (u < 1.0)).any()


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        ({}, "not quadratic"),
        (
            {"dynamics": lambda s, t, z, u: z + u**3, "running_cost": lambda s, t, z, u: (u * u).sum(-1)},
            "not quadratic",
        ),
        (
            {
                "dynamics": lambda s, t, z, u: z * torch.tan(u),  # affine where it starts, at rest
                "running_cost": lambda s, t, z, u: (u * u).sum(-1),
                "sample_initial_state": lambda s, batch, generator=None: torch.zeros(batch, 2),
            },
            "not quadratic",
        ),
        ({"running_cost": lambda s, t, z, u: (u * u).sum(-1) + u[..., 0] * u[..., 1]}, "not diagonal"),
        ({"running_cost": lambda s, t, z, u: u[..., 0] ** 2 - u[..., 1] ** 2}, "not positive"),
        ({"running_cost": lambda s, t, z, u: u[..., 0] ** 2 + u[..., 1]}, "not positive"),
    ],
)
def test_explicit_refuses_what_has_no_closed_form(methods, sentence):
    problem = changed(Pendulum, **methods)
    with pytest.raises(ValueError, match=sentence):
        ExplicitPolicy(problem, ValueFunction(problem, 8, seed=0))


def test_controllers_play_in_the_environment():
    problem = DoubleIntegrator()
    policy = ControllerPolicy(problem, LinearQuadraticRegulator(problem))
    env = OptimalControlEnv(problem)
    observation, info = env.reset(seed=0)
    total, done, z0 = 0.0, False, torch.as_tensor(info["state"])[None]
    while not done:
        action, state = policy.predict(observation)
        assert action.dtype == np.float32 and state is None
        observation, reward, done, _, _ = env.step(action)
        total -= reward
    assert total == pytest.approx(float(solve_reference(problem, z0).cost), rel=1e-4)
    assert evaluate(problem, policy, states(problem)).latency > 0


def test_predict_like_every_policy():
    @dataclasses.dataclass(frozen=True)
    class Wide(DoubleIntegrator):
        control_low: float = -1.0
        control_high: float = 3.0

    policy = ControllerPolicy(Wide(), lambda t, z: z.narrow(-1, 0, 1) + t.reshape(-1, 1))
    action, _ = policy.predict(np.array([0.5, 0.0, 0.5]))
    np.testing.assert_allclose(action, [0.0], atol=1e-7)  # u = 1, the middle
    kept = np.zeros((3, 1), np.float32)
    batch, state = policy.predict(np.array([[-1.0, 0, 0], [3.0, 0, 0], [9.0, 0, 0]]), (kept,), np.ones(3, bool))
    np.testing.assert_allclose(batch, [[-1], [1], [1]], atol=1e-7)
    assert state is not None and state[0] is kept
    for wrong, sentence in ((np.zeros(2), "shape"), (np.array([[0, 0, 0], [0, np.nan, 0]]), "index 1")):
        with pytest.raises(ValueError, match=sentence):
            policy.predict(wrong)
    with pytest.raises(ValueError, match="callable"):
        ControllerPolicy(Wide(), 3)
    double = DirectPolicy(Wide(), 4, seed=0).double()
    assert ControllerPolicy(Wide(), double).dtype == torch.float64
    assert ControllerPolicy(Wide(), double).predict(np.zeros(3))[0].dtype == np.float32
