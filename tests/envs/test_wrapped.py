"""Problems made from others: constraints with a price, a price on the control's rate, a free final time."""

import dataclasses

import numpy as np
import pytest
import torch

from pontryagin import DoubleIntegrator, ImplicitPolicy, ValueFunction, make_problem, rollout, solve_optimum
from pontryagin.envs.catalog import recorded_problem
from pontryagin.envs.checking import check_functions
from pontryagin.envs.free_time import FreeTime
from pontryagin.envs.integrate import advance
from pontryagin.envs.penalty import penalty, violation
from pontryagin.envs.priced_rate import PricedRate
from pontryagin.envs.record import problem_record


@dataclasses.dataclass(frozen=True)
class Bang(DoubleIntegrator):
    """In minimum time, |u| <= 1, nearly: a small price on u makes the optimum smooth."""

    control_low = -1.0
    control_high = 1.0
    effort: float = 1e-2

    def running_cost(self, t, z, u):
        return 1 + self.effort * (u**2).sum(-1)

    def terminal_cost(self, z):
        return 100.0 * (z**2).sum(-1)


class Clocked(DoubleIntegrator):
    def dynamics(self, t, z, u):
        return super().dynamics(t, z, u) + t.reshape(-1, 1)


@dataclasses.dataclass(frozen=True)
class Slow(DoubleIntegrator):
    """The speed is kept below ``most`` by a price."""

    most: float = 0.3
    weight: float = 1e5

    def excess(self, t, z, u):
        return z[..., 1:] - self.most

    def running_cost(self, t, z, u):
        return super().running_cost(t, z, u) + self.weight * penalty(self.excess(t, z, u), 0.01).sum(-1)

    def terminal_cost(self, z):
        return 500.0 * ((z[..., 0] - 0.5) ** 2 + z[..., 1] ** 2)


def test_the_penalty_is_a_smooth_half_square():
    x = torch.tensor([-5.0, -1.0, 0.0, 1.0, 5.0], dtype=torch.float64, requires_grad=True)
    price = penalty(x, 0.1)
    torch.testing.assert_close(price[3:], 0.5 * x[3:] ** 2, rtol=1e-3, atol=0)
    assert price[0] < 1e-40 and price[2].item() == pytest.approx(0.5 * (0.1 * torch.tensor(2.0).log().item()) ** 2)
    slope = torch.autograd.grad(price.sum(), x, create_graph=True)[0]
    assert (torch.autograd.grad(slope.sum(), x)[0] >= 0).all()


def test_a_constraint_with_a_price_is_kept_and_what_is_beyond_is_said():
    z0 = torch.zeros(2, 2, dtype=torch.float64)
    free, kept = (solve_optimum(Slow(weight=weight), z0) for weight in (1e-9, 1e5))
    assert free.converged.all() and kept.converged.all()
    assert violation(Slow().excess, free).worst[0, 0] == pytest.approx(0.374 - 0.3, abs=0.01)  # 3/4 · distance / time
    beyond = violation(Slow().excess, kept)
    assert beyond.worst.max() < 1e-2 and beyond.worst.shape == beyond.share.shape == (2, 1)
    assert kept.running_cost[0] > free.running_cost[0]


def test_minimum_time_in_a_fixed_horizon():
    """Rest to rest over the distance d takes 2 √d with |u| <= 1."""
    problem = FreeTime(Bang(), shortest=0.2, longest=5.0, steps=60)
    check_functions(problem)
    optimum = solve_optimum(problem, torch.tensor([[1.0, 0.0], [-0.25, 0.0]], dtype=torch.float64), starts=3)
    torch.testing.assert_close(problem.duration(optimum), torch.tensor([2.0, 1.0]).double(), rtol=0.03, atol=0)


def test_a_free_time_is_refused_where_the_model_has_a_clock():
    with pytest.raises(
        ValueError, match=r"FreeTime.inner is a Clocked whose dynamics depends on t; expected .* z' = 1"
    ):
        FreeTime(Clocked())
    with pytest.raises(ValueError, match="FreeTime.inner is a float; expected a pontryagin.Problem"):
        FreeTime(1.0)
    with pytest.raises(ValueError, match=r"FreeTime.shortest is 3.0; expected a time in \(0, longest 2.0\)"):
        FreeTime(DoubleIntegrator(), shortest=3.0, longest=2.0)


def test_a_price_on_the_rate_makes_the_control_smooth():
    inner = Bang()
    problem = PricedRate(inner, price=1.0)
    check_functions(problem)
    assert problem.state_names == ("z0", "z1", "u0") and problem.control_names == ("u0_rate (1/time)",)
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    assert (z0[:, 2] == 0).all()
    rough, smooth = solve_optimum(inner, z0[:, :2]), solve_optimum(problem, z0)
    assert smooth.converged.all() and violation(problem.excess, smooth).worst.max() < 0.05
    jumps = (rough.u.diff(dim=0).abs().amax(), smooth.z[..., 2].diff(dim=0).abs().amax())
    assert jumps[1] < 0.7 * jumps[0] and (smooth.cost > rough.cost).all()
    played = rollout(problem, lambda t, z: torch.zeros_like(z[:, :1]), z0)
    torch.testing.assert_close(
        played.cost, rollout(inner, lambda t, z: 0 * z[:, :1], z0[:, :2]).cost, rtol=1e-3, atol=0
    )


WRAPPED = [FreeTime(DoubleIntegrator(steps=5), 0.5, 2.0), PricedRate(DoubleIntegrator())]
SHIPPED = ["goddard", "dubins", "reactor", "burgers", "reaction_diffusion", "cartpole"]


@pytest.mark.parametrize("problem", [*WRAPPED, *map(make_problem, SHIPPED)], ids=lambda p: type(p).__name__)
def test_a_step_compiles_in_one_piece(problem):
    @torch.compile(fullgraph=True, backend="eager")
    def step(t, z, u):
        low, high = problem.control_bounds(u)
        return advance(problem, t, z, u.clamp(low, high), problem.time_step)

    z = problem.sample_initial_state(3, torch.Generator().manual_seed(0))
    u, t = torch.ones(3, problem.control_dim), torch.zeros(())
    low, high = problem.control_bounds(u)
    expected = advance(problem, t, z, u.clamp(low, high), problem.time_step)
    torch.testing.assert_close(step(t, z, u), expected)


@pytest.mark.parametrize("problem", WRAPPED)
def test_a_problem_in_a_problem_is_recorded_and_made_again(problem, tmp_path):
    record = problem_record(problem)
    assert record["parameters"]["inner"]["class"] == "pontryagin.envs.double_integrator:DoubleIntegrator"
    assert recorded_problem(record, None, "a file") == problem
    policy = ImplicitPolicy(problem, ValueFunction(problem, 8, seed=0))
    policy.save(tmp_path / "policy")
    assert ImplicitPolicy.load(tmp_path / "policy", device="cpu").problem == problem


def test_bounds_of_what_is_wrapped_may_be_numpys_and_tensors():
    for bound in (np.float32(2.0), np.array(2.0), torch.tensor(2.0), 2):
        inner = type("Bounded", (DoubleIntegrator,), {"control_low": -bound, "control_high": bound})()
        low, high = FreeTime(inner).control_bounds(torch.zeros(1))
        assert low.tolist() == pytest.approx([-2.0, 0.1]) and high.tolist() == [2.0, 10.0]


def test_a_clock_at_any_time_is_seen():
    class Late(DoubleIntegrator):
        def running_cost(self, t, z, u):
            return super().running_cost(t, z, u) + torch.where(torch.as_tensor(t) > 0.95 * self.horizon, 1.0, 0.0).to(z)

    with pytest.raises(ValueError, match="running_cost depends on t"):
        FreeTime(Late())


def test_what_is_no_constraint_is_refused():
    path = rollout(DoubleIntegrator(), lambda t, z: z[:, :1], torch.ones(3, 2))
    for wrong in (lambda t, z, u: z[:, 0], lambda t, z, u: 1.0):
        with pytest.raises(ValueError, match=r"the constraint returned .*expected \(3, c\)"):
            violation(wrong, path)
    for width in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="width is"):
            penalty(torch.ones(1), width)
