"""Plain descent from neighbours' flights: where it is the way, to the same optima; elsewhere it stops."""

import pytest
import torch

from pontryagin import DoubleIntegrator, Quadrotor, solve_optimum
from pontryagin.controllers.optimum import searches, straight
from pontryagin.controllers.optimum.ddp import descend
from pontryagin.envs.gallery import CartPole, Pendulum


def states(problem, count, seed=5):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(seed)).double()


def counted(monkeypatch, module, name):
    """How many flights each call of that function is given."""
    calls, function = [], getattr(module, name)

    def counting(problem, z0, u, *more):
        calls.append(u.shape[1])
        return function(problem, z0, u, *more)

    monkeypatch.setattr(module, name, counting)
    return calls


@pytest.mark.parametrize("problem", [Quadrotor(steps=20), CartPole()])
def test_it_finds_what_the_longer_way_finds(problem, monkeypatch):
    z0, found, longer = states(problem, 32), [], counted(monkeypatch, searches, "_by_newton")
    for _ in range(2):
        found.append(solve_optimum(problem, z0))
        longer.append(0)
        monkeypatch.setattr(searches, "straight", lambda *x: descend(*x[:3], 0))
    cut = longer.index(0)
    assert sum(longer[:cut]) < sum(longer[cut:]) - 12  # it spares most of them the longer way
    assert all(x.converged.all() for x in found)
    torch.testing.assert_close(found[0].cost, found[1].cost, rtol=1e-8, atol=0)


def test_a_few_show_that_it_is_not_the_way(monkeypatch):
    """Of the pendulum, whose flights are far from their optima, no more than those few are descended."""
    problem = Pendulum()
    known, z0 = solve_optimum(problem, states(problem, 8)), states(problem, 40, 6)
    calls = counted(monkeypatch, straight, "descend")
    assert solve_optimum(problem, z0, known=known).converged.all()
    assert calls == [straight.SHOWN] * 2  # their flights, and the trial


def test_who_else_is_there_makes_no_difference():
    """A flight that was stopped is not taken up again because others go on."""
    problem = CartPole()
    z0 = states(problem, 12, 1)
    u = solve_optimum(problem, z0[:1]).u.expand(-1, 12, -1)
    soon = straight.SOON, straight.REPLANNED, None
    together = descend(problem, z0, u, *soon, straight._falling())
    alone = [descend(problem, z0[k : k + 1], u[:, k : k + 1], *soon, straight._falling()) for k in range(12)]
    assert together.iterations.tolist() == [int(x.iterations) for x in alone]
    torch.testing.assert_close(together.cost, torch.cat([x.cost for x in alone]), rtol=1e-8, atol=0)


class Shaped(DoubleIntegrator):
    """Functions that no batch of nothing suits."""

    def running_cost(self, t, z, u):
        return super().running_cost(t, z, u.reshape(len(u), -1)) + 0.0 * u.abs().max()

    def dynamics(self, t, z, u):
        return super().dynamics(t, z.reshape(len(z), -1), u)


def test_no_function_is_asked_about_nothing():
    problem = Shaped()
    known = solve_optimum(problem, states(problem, 2))
    assert solve_optimum(problem, states(problem, 3, 6), known=known).converged.all()
