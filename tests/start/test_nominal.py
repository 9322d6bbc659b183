"""A value function that begins with the costate of an open-loop optimum."""

import dataclasses

import pytest
import torch

from pontryagin import (
    DoubleIntegrator,
    ImplicitPolicy,
    MultiBicycle,
    TrainConfig,
    ValueFunction,
    rollout,
    solve_reference,
)
from pontryagin.envs.steering import SMALL
from pontryagin.training.start.nominal import Within, nominal_costate
from pontryagin.training.train import make_value

pytest.importorskip("casadi")


class Offset(DoubleIntegrator):
    """Starts away from the origin, so that the nominal path is not rest."""

    def sample_initial_state(self, batch, generator=None):
        return torch.tensor([2.0, -1.0]) + 0.01 * torch.randn(batch, 2, generator=generator)


def test_the_first_flight_is_the_open_loop_optimum():
    """Held controls and all: the policy plays the optimiser's own controls before any training."""
    problem = Offset()
    policy = ImplicitPolicy(problem, make_value(problem, TrainConfig(nominal=True, width=8)))
    z0 = torch.tensor([[2.0, -1.0]])
    best = solve_reference(problem, z0)
    with torch.no_grad():
        path = rollout(problem, policy, z0)
    torch.testing.assert_close(path.u[:, 0, 0], best.u[:, 0, 0].float(), atol=0.08, rtol=0.02)
    assert best.cost.item() - 1e-4 <= path.cost.item() <= 1.02 * best.cost.item()


@pytest.mark.slow
def test_the_first_flight_of_bicycles_follows_routes_that_the_argmax_can_follow():
    problem = MultiBicycle(2, targets=((1.0, 0.5), (0.5, 1.0)))
    policy = ImplicitPolicy(problem, make_value(problem, TrainConfig(nominal=True, width=8, agent_width=4)))
    z0 = problem.sample_initial_state(64, torch.Generator().manual_seed(1)).mean(0, keepdim=True)
    with torch.no_grad():
        path = rollout(problem, policy, z0)
    random = ImplicitPolicy(problem, ValueFunction(problem, 8, seed=0))
    with torch.no_grad():
        assert path.cost.item() < 0.2 * rollout(problem, random, z0).cost.item()
    assert path.u[:, 0, 0::2].abs().max() < SMALL + 0.01  # no jump to the bound


def test_costates_are_stationary_at_the_controls_and_transversal():
    problem = Offset()
    p = nominal_costate(problem)
    assert p.shape == (21, 2)
    mean = problem.sample_initial_state(1024, torch.Generator().manual_seed(6_007)).double().mean(0, keepdim=True)
    best = solve_reference(problem, mean)
    torch.testing.assert_close(-p[:-1, 1:], best.u[:, 0])  # L = ½u², f_u = (0, 1): u = -p_v
    torch.testing.assert_close(p[-1], 10.0 * best.z[-1, 0])
    torch.testing.assert_close(p[:-1, 0], best.costate[:-1, 0, 0])  # not moved where it need not be


def test_tighter_bounds_are_kept_and_the_rest_is_the_same():
    problem = DoubleIntegrator()
    z0 = torch.tensor([[3.0, 0.0]])
    tight = solve_reference(Within(problem, -1.0, 1.0), z0)
    assert tight.u.abs().max() <= 1 and tight.cost.item() > solve_reference(problem, z0).cost.item() + 1
    u = torch.ones(2, 1)
    z = torch.randn(2, 2)
    assert torch.equal(Within(problem, -1, 1).dynamics(0.0, z, u), problem.dynamics(0.0, z, u))


@pytest.mark.parametrize("problem", [MultiBicycle(2, steps=7), DoubleIntegrator()])
def test_gradient_is_autograds(problem):
    value = ValueFunction(problem, 6, rank=3, seed=0, agent_width=5, nominal=True).double()
    generator = torch.Generator().manual_seed(0)
    for weight in value.parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    z = torch.randn(6, problem.state_dim, generator=generator, dtype=torch.float64).requires_grad_(True)
    t = (problem.horizon * torch.rand(6, generator=generator, dtype=torch.float64)).requires_grad_(True)
    exact = torch.autograd.grad(value(t, z).sum(), (t, z))
    for found, expected in zip(value.gradient(t, z), exact, strict=True):
        torch.testing.assert_close(found, expected)


def test_slope_in_time_at_the_control_steps_is_that_of_the_step_begun():
    """The table has a kink there; at T there is only the step before."""
    problem = MultiBicycle(2, steps=7)
    value = ValueFunction(problem, 6, rank=3, seed=0, nominal=True).double()
    torch.nn.init.normal_(value.nominal)
    z = problem.sample_initial_state(1, torch.Generator().manual_seed(0)).double()
    for k in range(8):
        t, side = k * problem.time_step, (-1 if k == 7 else 1) * 1e-6
        expected = (value(t + side, z) - value(t, z)) / side
        torch.testing.assert_close(value.gradient(t, z)[0], expected, rtol=1e-4, atol=1e-4)


def test_it_survives_a_checkpoint_and_goes_from_few_agents_to_many(tmp_path):
    few, many = MultiBicycle(2, steps=4), MultiBicycle(4, steps=4)
    config = TrainConfig(nominal=True, width=0, rank=0, agent_width=4)
    teacher = ImplicitPolicy(few, make_value(few, config))
    teacher.save(tmp_path)
    loaded = ImplicitPolicy.load(tmp_path, device="cpu")
    z = few.sample_initial_state(3, torch.Generator().manual_seed(0))
    assert torch.equal(loaded(0.5, z), teacher(0.5, z))
    grown = make_value(many, dataclasses.replace(config, begin_from=str(tmp_path)))
    found = grown.gradient(0.5, z.repeat(1, 2))[1]
    torch.testing.assert_close(found, teacher.value.gradient(0.5, z)[1].repeat(1, 2), rtol=0.1, atol=0.01)
    with pytest.raises(ValueError, match="no place for"):
        make_value(many, TrainConfig(begin_from=str(tmp_path), width=0, rank=0, agent_width=4))


def test_a_share_of_bounds_that_leave_out_0_stays_within_them():
    import dataclasses

    from pontryagin.training.start.nominal import gentle

    @dataclasses.dataclass(frozen=True)
    class Pushed(DoubleIntegrator):
        control_low: float = 2.0
        control_high: float = 10.0

    half = gentle(Pushed(), 0.5)
    assert float(half.control_low) == 2.0 and float(half.control_high) == 6.0
    both = gentle(DoubleIntegrator(), 0.5)
    assert float(both.control_low) == 0.5 * DoubleIntegrator().control_low
