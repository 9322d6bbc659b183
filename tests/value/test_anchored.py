"""The value function anchored on reference optima: the sweep, the module, and training on top of it."""

import dataclasses

import pytest
import torch
from conftest import Offset
from torch._subclasses.fake_tensor import FakeTensorMode

from pontryagin import (
    DoubleIntegrator,
    ImplicitPolicy,
    Quadrotor,
    TrainConfig,
    ValueFunction,
    rollout,
    solve_argmax,
    solve_reference,
)
from pontryagin.controllers.optimum.expansion import Expansion, expand
from pontryagin.controllers.value.anchored import AnchoredValue

pytest.importorskip("casadi")


@pytest.fixture(scope="module")
def flown():
    """A quadrotor in few steps and its optima, where the thrust rests on its bound."""
    problem = Quadrotor(steps=30)
    return problem, solve_reference(problem, problem.sample_initial_state(3, torch.Generator().manual_seed(0)))


def invented(problem, count, seed=0):
    """An expansion of random numbers, of the right shape."""
    generator = torch.Generator().manual_seed(seed)
    rows, n = (problem.steps + 1, count), problem.state_dim
    sizes = ((), (n,), (n,), (n, n))
    value, state, costate, bend = (torch.randn(*rows, *s, generator=generator).double() for s in sizes)
    return Expansion(value, state, costate, bend + bend.mT)


def small(problem, expansion, **options):
    return AnchoredValue(problem, expansion, ValueFunction(problem, 6, rank=3, seed=0), **options)


def test_linear_quadratic_gains_are_those_of_riccati():
    """The policy plays u = -K_k z with K of the discrete Riccati recursion, whatever the state."""
    problem = Offset()
    z0 = torch.tensor([[2.0, -1.0]])
    policy = ImplicitPolicy(problem, small(problem, expand(problem, solve_reference(problem, z0))).double())
    dt, p, gains = problem.time_step, 10 * torch.eye(2).double(), []
    a = torch.tensor([[1.0, dt], [0.0, 1.0]]).double()
    b = torch.tensor([[dt * dt / 2], [dt]]).double()
    for _ in range(problem.steps):
        gain = torch.linalg.solve(dt + b.T @ p @ b, b.T @ p @ a)
        p = a.T @ p @ (a - b @ gain)
        gains.append(gain)
    z = 3 * torch.randn(16, 2, generator=torch.Generator().manual_seed(0)).double()
    policy.value.network.quadratic.data.zero_()
    for k in (0, 7, 19):
        torch.testing.assert_close(policy(k * dt, z), -z @ gains[-1 - k].T, rtol=1e-6, atol=1e-6)
    best = solve_reference(problem, z[:4])
    with torch.no_grad():
        torch.testing.assert_close(rollout(problem, policy, z[:4]).cost, best.cost, rtol=1e-6, atol=1e-6)


def test_near_an_optimum_the_flight_is_optimal_with_a_bound_active(flown):
    problem, best = flown
    expansion = expand(problem, best)
    assert expansion.regularised == 0 and expansion.curvature.isfinite().all()
    torch.testing.assert_close(expansion.value[0], best.cost)
    torch.testing.assert_close(expansion.value[-1], best.terminal_cost)
    for sample in range(2):
        one = Expansion(*(getattr(expansion, f)[:, sample : sample + 1] for f in ("value", "state", "costate")),
                        expansion.curvature[:, sample : sample + 1])  # fmt: skip
        policy = ImplicitPolicy(problem, small(problem, one).double())
        with torch.no_grad():
            path = rollout(problem, policy, best.z[0, sample : sample + 1])
        torch.testing.assert_close(path.u[:, 0], best.u[:, sample], rtol=1e-3, atol=2e-3)
        near = best.z[0, sample] + 0.01 * torch.randn(8, 12, generator=torch.Generator().manual_seed(1)).double()
        with torch.no_grad():
            flown_near = rollout(problem, policy, near)
        assert (flown_near.cost / solve_reference(problem, near).cost - 1).max() < 2e-3


def test_a_hessian_that_is_not_positive_is_made_so():
    @dataclasses.dataclass(frozen=True)
    class Saddle(DoubleIntegrator):
        control_low = -1.0
        control_high = 1.0

        def running_cost(self, t, z, u):
            return (u**4 - 0.5 * u**2).sum(-1) + (z**2).sum(-1)

    problem = Saddle()
    best = solve_reference(problem, torch.tensor([[0.0, 0.0]]))
    middle = dataclasses.replace(best, u=0 * best.u, z=0 * best.z, costate=0 * best.costate)  # stationary, no minimum
    expansion = expand(problem, middle)
    assert expansion.regularised > 0 and expansion.curvature.isfinite().all()


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("scalar", [True, False])
def test_gradient_is_autograds(count, scalar):
    problem = DoubleIntegrator()
    value = small(problem, invented(problem, count), blend="value").double()
    generator = torch.Generator().manual_seed(0)
    for weight in value.parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    z = torch.randn(6, 2, generator=generator, dtype=torch.float64).requires_grad_(True)
    t = 2 * torch.rand(() if scalar else (6,), generator=generator, dtype=torch.float64)
    phi = value(t.requires_grad_(True), z)
    (slope_t, slope) = torch.autograd.grad(phi.sum(), (t, z))
    found_t, found = value.gradient(t, z)
    torch.testing.assert_close(found, slope)
    torch.testing.assert_close(found_t.sum() if scalar else found_t, slope_t)
    step = 1e-6
    with torch.no_grad():
        differences = (value(t + step, z) - value(t - step, z)) / (2 * step)
    torch.testing.assert_close(found_t, differences, rtol=1e-5, atol=1e-5)
    other = small(problem, invented(problem, count), blend="costate").double()
    other.load_state_dict(value.state_dict())
    assert torch.allclose(other.gradient(t, z)[1], found) == (count == 1)


def test_the_network_begins_at_zero_and_learns(flown):
    problem, best = flown
    value = small(problem, expand(problem, best), blend="costate")
    z = problem.sample_initial_state(4, torch.Generator().manual_seed(0))
    alone = value.network.gradient(0.3, z)[1]
    assert alone.abs().max() < 1e-5
    policy = ImplicitPolicy(problem, value)
    rollout(problem, policy, z).cost.mean().backward()
    assert value.network.output.grad.abs().max() > 0 and not value.terms.requires_grad


@pytest.mark.parametrize("blend", ["value", "costate"])
def test_save_and_load(flown, tmp_path, blend):
    problem, best = flown
    policy = ImplicitPolicy(problem, small(problem, expand(problem, best), reach=0.7, blend=blend))
    policy.value.network.output.data += 0.1
    policy.save(tmp_path)
    loaded = ImplicitPolicy.load(tmp_path, device="cpu")
    z = problem.sample_initial_state(5, torch.Generator().manual_seed(0))
    assert torch.equal(loaded(0.3, z), policy(0.3, z)) and loaded.value.config == policy.value.config
    observation = torch.cat([z, torch.full((5, 1), 0.3)], -1).numpy()
    assert loaded.predict(observation)[0].shape == (5, 4)


def test_the_step_compiles_whole():
    problem = Quadrotor(steps=3)
    value = small(problem, invented(problem, 3), blend="value")

    def step(t, z):
        slope_t, p = value.gradient(t, z)
        return solve_argmax(problem, t, z, p, max_iterations=2).control + slope_t.unsqueeze(-1)

    z = problem.sample_initial_state(4, torch.Generator().manual_seed(0))
    t = torch.tensor(0.2)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")(t, z)
    torch.testing.assert_close(compiled, step(t, z), rtol=1e-3, atol=1e-3)
    compiled.sum().backward()
    assert value.network.output.grad.isfinite().all()


def small_config():
    return {"anchors": 3, "reach": 0.5, "blend": "value", "network": {"width": 6, "depth": 1, "rank": 3}}


def test_every_tensor_follows_its_inputs_to_cuda():
    problem = Quadrotor(steps=3)
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad():
        value = AnchoredValue.blank(problem, small_config())
        for module in value.modules():
            for name, weight in list(module._parameters.items()):
                module._parameters[name] = torch.nn.Parameter(torch.empty(weight.shape, device="cuda"))
            for name, buffer in list(module._buffers.items()):
                module._buffers[name] = torch.empty(buffer.shape, device="cuda")
        path = rollout(problem, ImplicitPolicy(problem, value), torch.zeros(4, 12, device="cuda"))
        assert path.cost.device.type == "cuda"


def test_what_makes_no_sense_is_refused(flown):
    problem, best = flown
    with pytest.raises(ValueError, match="30 steps; the problem has 160"):
        expand(Quadrotor(), best)
    with pytest.raises(ValueError, match="12 states"):
        expand(DoubleIntegrator(), best)
    with pytest.raises(ValueError, match="index 1 has not converged"):
        expand(problem, dataclasses.replace(best, converged=torch.tensor([True, False, True])))
    with pytest.raises(ValueError, match="reluctance"):
        expand(problem, best, -1.0)
    with pytest.raises(ValueError, match="expected 160 of 12"):
        small(Quadrotor(), invented(problem, 2))
    with pytest.raises(ValueError, match="reach"):
        small(problem, invented(problem, 2), reach=0.0)
    with pytest.raises(ValueError, match="blend"):
        small(problem, invented(problem, 2), blend="both")
    with pytest.raises(ValueError, match="anchor"):
        TrainConfig(anchor="some")
    with pytest.raises(ValueError, match="steps is 5 with anchor"):
        TrainConfig(anchor="multi", steps=5)
    with pytest.raises(ValueError, match="two ways to begin"):
        TrainConfig(anchor="nominal", nominal=True)
