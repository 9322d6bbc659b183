"""The Hamiltonian of the held control: closed forms, derivatives, what is flown."""

import pytest
import torch
from conftest import Offset

from pontryagin import (
    DoubleIntegrator,
    GradientAscent,
    ImplicitPolicy,
    MultiBicycle,
    Quadrotor,
    ValueFunction,
    rollout,
    solve_argmax,
)
from pontryagin.controllers import held
from pontryagin.controllers.export import export_policy
from pontryagin.controllers.held import HeldHamiltonian
from pontryagin.controllers.held_argmax import bellman_residual, solve_held_argmax
from pontryagin.controllers.optimum import certify, expand_agents, solve_reference
from pontryagin.controllers.value import ExpandedValue
from pontryagin.envs.integrate import advance

PROBLEMS = {"quadrotor": Quadrotor(steps=20), "bicycles": MultiBicycle(2, steps=20, wheelbase=0.5)}


def drawn(problem, count=3, width=8):
    """Weights, states and controls inside the bounds, float64."""
    generator = torch.Generator().manual_seed(1)
    value = ValueFunction(problem, width, seed=0).double()
    z = problem.sample_initial_state(count, generator).double()
    low, high = problem.control_bounds(z)
    u = low + (high - low) * (0.3 + 0.4 * torch.rand(count, problem.control_dim, generator=generator).double())
    return value, torch.tensor(0.3).double(), z, u


@pytest.mark.parametrize("name", [*PROBLEMS, "pendulum"])
def test_value_gradient_and_curvature_are_those_of_the_step(name, pendulum):
    problem = PROBLEMS.get(name, pendulum)
    value, t, z, u = drawn(problem)
    h = HeldHamiltonian(problem, value, t, z, problem.time_step)

    def whole(v):
        after, cost = advance(problem, t, z, v, problem.time_step)
        return -(cost + value(t + problem.time_step, after)) / problem.time_step

    torch.testing.assert_close(h.value(u).squeeze(-1), whole(u))
    torch.testing.assert_close(h.value(torch.stack([u, 0.5 * u]))[1].squeeze(-1), whole(0.5 * u))
    torch.testing.assert_close(h.gradient(u), torch.func.grad(lambda v: whole(v).sum())(u))
    bend = torch.stack(
        [torch.func.hessian(lambda v, k=k: _one(problem, value, t, z, v, k))(u[k]) for k in range(len(u))]
    )
    size = problem.control_block
    blocks = bend.unflatten(-1, (-1, size)).unflatten(1, (-1, size)).diagonal(dim1=1, dim2=3).movedim(-1, 1)
    # what agents do to each other within a step is in a shared difference, too: see HeldHamiltonian.hessian
    loose = 0.02 if name == "bicycles" else 1e-6
    torch.testing.assert_close(h.hessian(u), blocks, rtol=loose, atol=loose * float(blocks.abs().max()))
    first, zero, seen, value = h.look(u)
    torch.testing.assert_close(value, h.value(u))
    torch.testing.assert_close(first, h.gradient(u))
    torch.testing.assert_close(zero, h.gradient(torch.zeros_like(u)))
    torch.testing.assert_close(seen, h.hessian(u))


def _one(problem, value, t, z, v, k):
    after, cost = advance(problem, t, z[k : k + 1], v[None], problem.time_step)
    return -(cost + value(t + problem.time_step, after)).sum() / problem.time_step


def test_it_is_the_continuous_one_where_the_step_is_short(pendulum):
    """argmax H_dt - argmax H = O(dt): ten times shorter, ten times nearer."""
    value, t, z, _ = drawn(pendulum)
    _, p = value.gradient(t, z)
    limit = solve_argmax(pendulum, t, z, p, max_iterations=50, tolerance=1e-12).control
    apart = [
        (solve_held_argmax(pendulum, value, t, z, dt=dt, max_iterations=50, tolerance=1e-12).control - limit)
        .abs()
        .max()
        for dt in (1e-2, 1e-3)
    ]
    assert 5 < float(apart[0] / apart[1]) < 20


def test_the_linear_quadratic_feedback_of_the_held_control_is_exact():
    """phi = the discrete Riccati value: argmax H_dt is its gain, at any distance."""
    problem = Offset()
    path = solve_reference(problem, torch.tensor([[2.0, -1.0]]))
    value = ExpandedValue(problem, expand_agents(problem, path)).double()
    policy = ImplicitPolicy(problem, value, hamiltonian="held")
    z = 3 * torch.randn(16, 2, generator=torch.Generator().manual_seed(0)).double()
    for k in (0, 7, 19):
        torch.testing.assert_close(policy(k * problem.time_step, z), value.feedback(k * problem.time_step, z))
    with torch.no_grad():
        torch.testing.assert_close(
            rollout(problem, policy, z[:4]).cost, solve_reference(problem, z[:4]).cost, rtol=1e-6, atol=1e-6
        )


def test_the_bellman_residual_is_none_for_the_exact_value_and_what_was_added_to_it():
    """phi + c t solves it up to c: for the Riccati value of the discrete problem the residual is |c|."""
    problem = Offset()
    best = solve_reference(problem, torch.tensor([[2.0, -1.0]]))
    value = ExpandedValue(problem, expand_agents(problem, best)).double()
    path = rollout(
        problem,
        lambda t, z: z.new_zeros(len(z), 1),
        torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).double(),
    )
    assert bellman_residual(problem, path, value).max() < 1e-4
    value.value.add_(0.5 * problem.time_step * torch.arange(problem.steps + 1).unsqueeze(-1))
    torch.testing.assert_close(
        bellman_residual(problem, path, value), torch.full((3,), 0.5).double(), atol=1e-4, rtol=0
    )


def test_the_bellman_residual_tends_to_that_of_hjb(pendulum):
    value, _, z, _ = drawn(pendulum)
    apart = []
    for steps in (40, 400):
        path = rollout(pendulum, lambda t, z: z.new_zeros(len(z), 2), z, steps)
        hjb = certify(pendulum, path, value.gradient).hjb
        apart.append(float((bellman_residual(pendulum, path, value) - hjb).abs().max()))
    assert 5 < apart[0] / apart[1] < 20


@pytest.mark.parametrize("gradient", ["jfb", "implicit", "unroll"])
@pytest.mark.parametrize("name", ["quadrotor", "pendulum"])
def test_derivatives_of_the_argmax_are_those_of_finite_differences(name, gradient, pendulum):
    problem = PROBLEMS.get(name, pendulum)
    value, t, z, _ = drawn(problem, 2)
    v = torch.randn(2, problem.control_dim, generator=torch.Generator().manual_seed(3)).double()

    def answer(x, how="jfb"):
        found = solve_held_argmax(problem, value, t, x, gradient=how, max_iterations=40, tolerance=1e-12, jfb_steps=8)
        return (found.control * v).sum()

    x = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(answer(x, gradient), x)
    way = torch.randn(z.shape, generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        difference = (answer(z + 1e-6 * way) - answer(z - 1e-6 * way)) / 2e-6
    torch.testing.assert_close((slope * way).sum(), difference, rtol=1e-4, atol=1e-7)


def test_it_is_differentiable_in_the_weights(pendulum):
    value, t, z, _ = drawn(pendulum)
    solve_held_argmax(pendulum, value, t, z).control.sum().backward()
    assert value.opening.grad.abs().max() > 0 and value.opening.grad.isfinite().all()


def test_an_iteration_takes_one_look_where_its_step_is_taken_whole(monkeypatch):
    """Slopes at u and at 0, H_uu and H_dt come from one sweep through the step; the same answer as from four."""
    problem = PROBLEMS["quadrotor"]
    value, t, z, _ = drawn(problem, 1)
    sweeps = []
    monkeypatch.setattr(held, "advance", lambda *given: (sweeps.append(1), advance(*given))[1])
    joint = solve_held_argmax(problem, value.requires_grad_(False), t, z, max_iterations=20)
    assert joint.converged.all() and len(sweeps) == 1 + int(joint.iterations)
    sweeps.clear()
    monkeypatch.delattr(HeldHamiltonian, "look")
    apart = solve_held_argmax(problem, value, t, z, max_iterations=20)
    assert len(sweeps) > 1 + 3 * int(apart.iterations)
    torch.testing.assert_close(joint.control, apart.control, rtol=0, atol=1e-12)
    assert joint.start.shape == (1, problem.control_dim // problem.control_block)


@pytest.mark.parametrize("watched", [True, False])
def test_the_tape_and_torch_func_give_one_slope(watched):
    problem = PROBLEMS["quadrotor"]
    value, t, z, u = drawn(problem)
    with torch.set_grad_enabled(watched):
        slope = HeldHamiltonian(problem, value, t, z, problem.time_step).gradient(u)
    assert slope.requires_grad == watched
    torch.testing.assert_close(slope, _slope(problem, value, t, z, u), rtol=1e-12, atol=1e-12)


def _slope(problem, value, t, z, u):
    return torch.func.grad(lambda v: HeldHamiltonian(problem, value, t, z, problem.time_step).value(v).sum())(u)


def test_ascent_finds_the_same(pendulum):
    value, t, z, _ = drawn(pendulum)
    newton = solve_held_argmax(pendulum, value, t, z, max_iterations=40, tolerance=1e-10)
    ascent = solve_held_argmax(pendulum, value, t, z, operator=GradientAscent(0.3), max_iterations=500, tolerance=1e-10)
    assert newton.converged.all() and ascent.converged.all()
    torch.testing.assert_close(newton.control, ascent.control, rtol=0, atol=1e-8)


def test_refusals():
    problem = DoubleIntegrator()
    value = ValueFunction(problem, 4, seed=0)
    with pytest.raises(ValueError, match="'contin'"):
        ImplicitPolicy(problem, value, hamiltonian="contin")
    with pytest.raises(ValueError, match="single start"):
        ImplicitPolicy(problem, value, hamiltonian="held", starts="global")
    with pytest.raises(ValueError, match="state_dim 2"):
        solve_held_argmax(problem, value, 0.0, torch.zeros(1, 3))


def test_what_is_of_the_continuous_hamiltonian_alone_refuses_a_held_policy(short_quadrotor, tmp_path):
    policy = ImplicitPolicy(short_quadrotor, ValueFunction(short_quadrotor, 4, seed=0), hamiltonian="held")
    with pytest.raises(ValueError, match="export this policy to onnx or aoti"):
        export_policy(policy, tmp_path, "numpy")


def test_predict_answers_without_a_graph(pendulum):
    policy = ImplicitPolicy(pendulum, ValueFunction(pendulum, 4, seed=0), hamiltonian="held").double()
    observation = torch.cat([pendulum.sample_initial_state(3), torch.zeros(3, 1)], -1)
    seen, (misses,) = policy.respond(observation, None, None)
    assert not seen.requires_grad and misses.shape == (3, 2, 2)
    action, state = policy.predict(observation.numpy())
    again, _ = policy.predict(observation.numpy(), state)
    torch.testing.assert_close(torch.from_numpy(action), torch.from_numpy(again), rtol=0, atol=1e-6)


def test_a_saved_policy_comes_back(tmp_path):
    problem = Offset()
    value = ExpandedValue(
        problem, expand_agents(problem, solve_reference(problem, torch.tensor([[2.0, -1.0]]))), width=4
    )
    policy = ImplicitPolicy(problem, value, hamiltonian="held")
    policy.save(tmp_path)
    again = ImplicitPolicy.load(tmp_path, problem=problem)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert again.hamiltonian == "held" and torch.equal(again(0.7, z), policy.double()(0.7, z))


def test_no_state_at_all_and_inference_mode(short_quadrotor):
    policy = ImplicitPolicy(short_quadrotor, ValueFunction(short_quadrotor, 8, seed=0).double(), hamiltonian="held")
    z = short_quadrotor.sample_initial_state(3, torch.Generator().manual_seed(0)).double()
    assert policy(0.0, z[:0]).shape == (0, 4)
    with torch.inference_mode():
        seen, t = z.clone(), torch.tensor(0.1, dtype=torch.float64)
        inside = policy(t, seen)
        again = policy.solve(t, seen, inside).control
    torch.testing.assert_close(inside, policy(0.1, z).detach())
    torch.testing.assert_close(again, inside, rtol=1e-4, atol=1e-4)
