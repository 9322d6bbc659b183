"""Optima in torch: against Riccati, against IPOPT, and against derivatives taken all at once."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import pontryagin
from pontryagin.controllers.optimum import certify, heard, improve_optimum, solve_optimum, solve_reference
from pontryagin.controllers.optimum.agent_model import bends, by_agent, count_agents, jacobians
from pontryagin.controllers.optimum.backward import sweep, sweep_alone
from pontryagin.controllers.optimum.ddp import expand_path
from pontryagin.controllers.optimum.meeting import meeting
from pontryagin.controllers.optimum.searches import PILOTS
from pontryagin.controllers.optimum.step_model import step_model
from pontryagin.envs.bicycle import MultiBicycle
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.envs.quadrotor import Quadrotor

BICYCLES = MultiBicycle(num_agents=3, steps=20)


def states(problem: pontryagin.Problem, count: int, seed: int = 0) -> torch.Tensor:
    return problem.sample_initial_state(count, torch.Generator().manual_seed(seed)).double()


def random_steps(count: int = 5) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    z = states(BICYCLES, count) + 0.3 * torch.randn(count, 12, generator=generator)
    u, p = (torch.randn(count, k, generator=generator).double() for k in (6, 12))
    return torch.zeros(count).double(), z, 0.5 * u, p


def test_coupling_is_the_hessian_of_what_agents_do_to_each_other() -> None:
    t, z, u, _ = random_steps()

    def cost(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return BICYCLES.running_cost(t[:1], x[None], w[None])[0]

    exact = torch.func.vmap(torch.func.hessian(cost))(z, u)
    felt = exact.unflatten(2, (3, 4)).unflatten(1, (3, 4))
    torch.testing.assert_close(BICYCLES.coupling(t, z), felt[:, :, :2, :, :2], atol=1e-12, rtol=1e-12)
    assert not felt[:, :, 2:].any()


class Riders(MultiBicycle):
    """Two Runge-Kutta steps in a control step."""

    substeps = 2


@pytest.mark.parametrize("problem", [BICYCLES, Riders(num_agents=3)])
def test_by_agent_as_all_at_once(problem: MultiBicycle) -> None:
    t, z, u, p = random_steps()
    assert count_agents(problem, t[:1], z[:1], u[:1]) == 3
    whole = step_model(problem, t, z, u, p, problem.time_step)
    y = by_agent(z, u, 3)
    order = by_agent(torch.arange(12).unsqueeze(0), 12 + torch.arange(6).unsqueeze(0), 3)[0]
    jacobian = torch.stack([whole.jacobian[:, 4 * i : 4 * i + 4][:, :, order[i]] for i in range(3)], 1)
    torch.testing.assert_close(jacobians(problem, t, y, 4), jacobian)
    met = meeting(problem, t[None], y[None], 4)
    assert met.turn.shape == (4 * problem.substeps, 1, 5, 3, 2, 6)  # of an agent's states the others feel x and y alone
    hessian = bends(problem, t, y, 4, p) - met.together()[0]
    exact = whole.hessian[:, order.flatten()][:, :, order.flatten()]
    dy = torch.eye(18).double().reshape(18, 1, 1, 3, 6, 1)
    found = torch.stack([(hessian @ x[0] + met.times(x.expand(1, 5, 3, 6, 1))[0]).flatten(1) for x in dy], -1)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9 * float(exact.abs().max()))
    alone = torch.stack([exact.unflatten(1, (3, 6)).unflatten(3, (3, 6))[:, i, :, i] for i in range(3)], 1)
    torch.testing.assert_close(hessian + met.own()[0], alone, rtol=1e-9, atol=1e-9 * float(exact.abs().max()))


@pytest.mark.parametrize("problem", [BICYCLES, Quadrotor(steps=10), DoubleIntegrator(), Riders(num_agents=2)])
def test_few_steps_are_expanded_in_one_sweep_to_the_same_numbers(problem, monkeypatch) -> None:
    count = problem.state_dim // problem.state_block
    generator = torch.Generator().manual_seed(2)
    y = torch.randn(7, count, (problem.state_dim + problem.control_dim) // count, generator=generator).double()
    p, found = torch.randn(7, problem.state_dim, generator=generator).double(), []
    for few in (0, 10**9):
        monkeypatch.setattr("pontryagin.controllers.optimum.agent_model.FEW", few)
        for t in (torch.zeros(()).double(), torch.linspace(0, 1, 7).double()):
            b = problem.state_block
            found.append((jacobians(problem, t, y, b), bends(problem, t, y, b, p)))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-12, atol=1e-12)


class Rarely(Quadrotor):
    """Position and velocity enter linearly, but far away, where a spring pushes back."""

    def dynamics(self, t: torch.Tensor, z: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        spring = -((z[..., :3] - 5).clamp_min(0.0) ** 3)
        return super().dynamics(t, z, u) + torch.nn.functional.pad(spring, (6, 3))


@pytest.mark.parametrize("problem", [Quadrotor(steps=10), Rarely(steps=10)])
def test_columns_that_are_zero_are_left_out_and_looked_at(problem, monkeypatch) -> None:
    """That they are 0 at a few steps says nothing of the others."""
    generator = torch.Generator().manual_seed(3)
    y, p = torch.randn(200, 1, 16, generator=generator).double(), torch.randn(200, 12, generator=generator).double()
    y[101, 0, 0] = 8.0  # none of those that are asked first
    found, swept = [], []
    grad_of = pontryagin.controllers.optimum.agent_model.grad_of
    for few in (10**9, 0):
        monkeypatch.setattr("pontryagin.controllers.optimum.agent_model.FEW", few)
        found.append(bends(problem, torch.zeros(200).double(), y, 12, p))
        monkeypatch.setattr(
            "pontryagin.controllers.optimum.agent_model.grad_of", lambda x, v: swept.append(len(v)) or grad_of(x, v)
        )
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)
    assert swept.count(200) == (17 if isinstance(problem, Rarely) else 11)  # 10 columns, or all 16, and the look


@dataclasses.dataclass(frozen=True)
class Entangled(MultiBicycle):
    """A coupling is declared, but each rider's acceleration moves the next one, too."""

    def dynamics(self, t: torch.Tensor, z: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return super().dynamics(t, z, u + u.roll(2, -1))


def test_agents_that_move_each_other_are_expanded_together() -> None:
    t, z, u, _ = random_steps()
    assert count_agents(Entangled(num_agents=3), t[:1], z[:1], u[:1]) == 1


def test_sweep_of_agents_alone_is_that_of_each() -> None:
    problem = MultiBicycle(num_agents=2, steps=10, interaction=0.0)
    generator = torch.Generator().manual_seed(0)
    u = 0.05 * torch.randn(10, 3, 4, generator=generator).double()
    z = [states(problem, 3)]
    for k in range(10):
        z.append(pontryagin.envs.integrate.advance(problem, torch.tensor(0.4 * k).double(), z[-1], u[k], 0.4)[0])
    model, _ = expand_path(problem, torch.stack(z), u)
    none = torch.zeros(3).double()
    alone = sweep_alone(model, u, problem.control_bounds(u), none)
    slope = torch.zeros_like(none)
    for i in range(2):
        one, own = MultiBicycle(num_agents=1, steps=10), u[..., 2 * i : 2 * i + 2]
        model, _ = expand_path(one, torch.stack(z)[..., 4 * i : 4 * i + 4], own)
        rider = sweep(model.convex(), own, one.control_bounds(own), none)
        assert not rider.doubtful.any()
        slope += rider.slope
        torch.testing.assert_close(alone.feedforward[..., 2 * i : 2 * i + 2], rider.feedforward)
        torch.testing.assert_close(alone.feedback[:, :, i], rider.feedback.squeeze(2))
    torch.testing.assert_close(alone.slope, slope)


def test_linear_quadratic_in_one_step() -> None:
    problem = DoubleIntegrator()
    found = solve_optimum(problem, states(problem, 4))
    exact = solve_reference(problem, states(problem, 4))
    assert found.converged.all()
    torch.testing.assert_close(found.cost, exact.cost, rtol=1e-9, atol=1e-12)


@dataclasses.dataclass(frozen=True)
class Bounded(DoubleIntegrator):
    control_low: float = -0.5
    control_high: float = 0.8


@pytest.mark.parametrize(
    "problem",
    [Bounded(), Quadrotor(steps=40), MultiBicycle(num_agents=2, steps=30, wheelbase=0.2)],
    ids=["bounded", "quadrotor", "bicycles"],
)
def test_as_ipopt(problem: pontryagin.Problem) -> None:
    z0 = states(problem, 3)
    ipopt = solve_optimum(problem, z0, method="ipopt")
    # bicycles have many optima: there the same family is asked for
    beside = iter(ipopt.u + 0.01 * torch.randn(ipopt.u.shape, generator=torch.Generator().manual_seed(0)))
    guess = (lambda t, z: next(beside)) if isinstance(problem, MultiBicycle) else None
    found = solve_optimum(problem, z0, guess)
    assert found.converged.all() and ipopt.converged.all()
    torch.testing.assert_close(found.cost, ipopt.cost, rtol=1e-6, atol=1e-9)
    certificate = certify(problem, found)
    assert certificate.stationarity.max() < 1e-3 and certificate.worst.max() < 1e-3


def test_neighbours_begin_at_the_feedback_of_the_first() -> None:
    problem = Quadrotor(steps=20)
    z0 = states(problem, PILOTS + 4)
    found = solve_optimum(problem, z0)
    alone = solve_optimum(problem, z0[-4:])
    assert found.converged.all() and len(found.status) == PILOTS + 4
    torch.testing.assert_close(found.cost[-4:], alone.cost, rtol=1e-8, atol=0)


def test_improve_goes_on_from_what_is_known() -> None:
    problem = MultiBicycle(num_agents=2, steps=30, wheelbase=0.2)
    rough = solve_optimum(problem, states(problem, 3), max_iterations=6)
    assert not rough.converged.any() and set(rough.status) == {"Out_Of_Iterations"}
    better = improve_optimum(problem, rough)
    assert better.converged.all() and (better.cost < rough.cost).all()


def test_time_is_kept() -> None:
    problem = MultiBicycle(num_agents=5)
    found = solve_optimum(problem, states(problem, 2), seconds=1e-3)
    assert set(found.status) == {"Out_Of_Time"} and not found.converged.any() and found.cost.isfinite().all()


@dataclasses.dataclass(frozen=True)
class Explosive(DoubleIntegrator):
    """z'' = 40 z³ + u flies apart from rest."""

    def dynamics(self, t: torch.Tensor, z: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return super().dynamics(t, z, u) + torch.cat([torch.zeros_like(u), 1e3 * z[..., :1] ** 3], -1)


def test_what_flies_apart_is_said() -> None:
    found = solve_optimum(Explosive(), torch.tensor([[50.0, 50.0], [0.0, 0.0]]))
    assert found.status[0] == "Diverged" and not found.converged[0] and found.converged[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"starts": 0}, "starts"), ({"method": "sqp"}, "method"), ({"seconds": 0}, "seconds"),
     ({"max_iterations": True}, "max_iterations")],
)  # fmt: skip
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve_optimum(DoubleIntegrator(), torch.zeros(1, 2), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("problem", [Quadrotor(steps=8), MultiBicycle(num_agents=2, steps=8)], ids=["one", "many"])
def test_a_search_says_how_far_it_is_to_whoever_listens(problem: pontryagin.Problem) -> None:
    said: list[str] = []
    with heard(said.append):
        solve_optimum(problem, states(problem, 3))
    assert said[0].startswith("iteration 1, ") and any(x.endswith("3 of 3 at their end") for x in said)
    count = len(said)
    solve_optimum(problem, states(problem, 3))
    assert len(said) == count
