"""The loss: its JFB gradient against finite differences, penalties, adjoints that explode, bounds that press."""

import dataclasses

import pytest
import torch

from pontryagin import (
    DoubleIntegrator,
    TrainConfig,
    ValueFunction,
    solve_argmax,
)
from pontryagin.training.loss import AdjointClip, bound_pressure, make_step, path_loss


def test_jfb_gradient_of_the_cost_against_finite_differences(pendulum):
    """d/dtheta of J through the whole rollout: with ProjectedNewton, JFB is exact (float64)."""
    problem = dataclasses.replace(pendulum, steps=4)
    value = ValueFunction(problem, 6, seed=2).double()
    config = TrainConfig(argmax_iterations=12, argmax_tolerance=1e-13, backtracks=8)
    step = make_step(problem, value, config)
    z0 = problem.sample_initial_state(3, torch.Generator().manual_seed(0)).double()
    path_loss(problem, value, step, z0, config).total.backward()
    generator = torch.Generator().manual_seed(1)
    for weight in (value.opening, value.hidden[0], value.output, value.quadratic, value.linear):
        direction = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * 1e-6 * direction
                ends.append(path_loss(problem, value, step, z0, config).total.item())
                weight -= sign * 1e-6 * direction
        assert (weight.grad * direction).sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_penalties_enter_with_their_weights(pendulum):
    value = ValueFunction(pendulum, 6, seed=0)
    z0 = pendulum.sample_initial_state(3, torch.Generator().manual_seed(0))
    totals = {}
    torch.manual_seed(0)
    value.linear.data = 3 * torch.randn(3)  # so that some controls are held
    for name in ("hjb_weight", "bound_penalty", "terminal_value_weight", "terminal_gradient_weight"):
        totals[name] = []
        for weight in (0.0, 1.0, 2.0):
            config = TrainConfig(**{name: weight})
            totals[name].append(path_loss(pendulum, value, make_step(pendulum, value, config), z0, config).total.item())
        low, middle, high = totals[name]
        assert middle > low and high - low == pytest.approx(2 * (middle - low), rel=1e-4)


class Runaway(DoubleIntegrator):
    """z' = 8 z + u: what is lost at T grows by e^16 on the way back to 0."""

    def dynamics(self, t, z, u):
        return 8 * z + torch.cat([u, u], -1)


def test_adjoints_are_clipped_by_agent_and_only_where_they_explode():
    generator = torch.Generator().manual_seed(0)
    late = torch.randn(3, 4, generator=generator)
    early = late.clone()
    early[0, :2] *= 1e6  # the first agent of the first sample explodes
    early[2, 3] = float("nan")
    clip = AdjointClip(5.0, block=2)
    assert torch.equal(clip._clip(late), late)
    clipped = clip._clip(early)
    torch.testing.assert_close(clipped[0, :2], 5 * late[0, :2])
    assert torch.equal(clipped[0, 2:], late[0, 2:]) and torch.equal(clipped[1], late[1])
    assert torch.equal(clipped[2, :2], late[2, :2]) and clipped[2, 2:].isnan().all()  # not hidden


def test_adjoints_survive_where_there_is_no_terminal_cost():
    class Running(DoubleIntegrator):
        def running_cost(self, t, z, u):
            return 0.5 * (u * u).sum(-1) + (z * z).sum(-1)

        def terminal_cost(self, z):
            return 0 * z.sum(-1)

    problem, z0 = Running(), torch.ones(2, 2)
    value = ValueFunction(problem, 6, seed=0)
    sizes = []
    for limit in (None, 1e3):
        config = TrainConfig(adjoint_clip=limit)
        value.zero_grad()
        path_loss(problem, value, make_step(problem, value, config), z0, config).total.backward()
        sizes.append(value.opening.grad.norm().item())
    assert sizes[0] > 0 and sizes[1] == pytest.approx(sizes[0])


def test_an_unstable_rollout_keeps_a_bounded_gradient():
    problem = Runaway()
    value = ValueFunction(problem, 6, seed=0)
    z0 = torch.full((2, 2), 0.1)
    sizes = []
    for limit in (None, 5.0):
        config = TrainConfig(adjoint_clip=limit)
        value.zero_grad()
        path_loss(problem, value, make_step(problem, value, config), z0, config).total.backward()
        sizes.append(torch.nn.utils.get_total_norm([w.grad for w in value.parameters() if w.grad is not None]).item())
    assert sizes[1] < 1e-3 * sizes[0] and sizes[1] > 0


def test_bound_pressure_shows_the_way_back_from_a_held_control():
    """Deep in saturation J has no gradient in the costate; the pressure grows with it, and is 0 for free controls."""
    problem = DoubleIntegrator(steps=5)
    z = torch.zeros(3, 2)
    p = torch.tensor([[0.0, 250.0], [0.0, -130.0], [0.0, 3.0]], requires_grad=True)
    t = torch.tensor(0.0)
    u = solve_argmax(problem, t, z, p).control
    assert u.detach().squeeze(-1).tolist() == [-100.0, 100.0, -3.0]
    pressure = bound_pressure(problem, t, z, p, u.detach())
    torch.testing.assert_close(pressure, torch.tensor([150.0, 30.0, 0.0]))
    slope = torch.autograd.grad(pressure.sum(), p)[0]
    torch.testing.assert_close(slope[:, 1], torch.tensor([1.0, -1.0, 0.0]))
    (blind,) = torch.autograd.grad(u[:2].sum(), p)
    assert (blind == 0).all()
