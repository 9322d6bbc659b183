"""Truncated Newton: its Hessian against automatic differentiation, its preconditioner, and what it makes converge."""

from __future__ import annotations

import torch
from torch import Tensor

from pontryagin.controllers.optimum import certify, solve_optimum
from pontryagin.controllers.optimum.backward import Model, reflected, sweep_alone
from pontryagin.controllers.optimum.ddp import bending, descend, expand_path
from pontryagin.controllers.optimum.flights import follow
from pontryagin.controllers.optimum.newton import Hessian, newton
from pontryagin.envs.bicycle import MultiBicycle
from pontryagin.envs.states import draw_states


def flown(problem: MultiBicycle, batch: int = 2) -> tuple[Hessian, Model, Tensor, Tensor]:
    """The Hessian about some flights that are no optima, the model, z0 and the controls; some are at a bound."""
    z0 = draw_states(problem, batch, 0).double()
    u = (
        0.3
        * torch.randn(problem.steps, batch, problem.control_dim, generator=torch.Generator().manual_seed(0)).double()
    )
    u[0, :, 0] = problem.control_bounds(u)[1][0]
    path = descend(problem, z0, u, max_iterations=0)
    model, path.costate = expand_path(problem, path.z, path.u)
    back = sweep_alone(model, path.u, problem.control_bounds(u), torch.zeros_like(path.damping))
    hessian = Hessian(model, back, bending(problem, path, model))

    def cost(w: Tensor) -> Tensor:
        return follow(problem, z0, path, back.feedback, w * back.free)[2].sum()

    return hessian, model, *torch.autograd.functional.hvp(cost, torch.zeros_like(u), direction(u))


def direction(u: Tensor) -> Tensor:
    return torch.randn(u.shape, generator=torch.Generator().manual_seed(1)).to(u)


def test_product_is_that_of_automatic_differentiation() -> None:
    hessian, *_, exact = flown(MultiBicycle(num_agents=3, steps=12, wheelbase=0.5))
    found = hessian.times(direction(exact) * hessian.back.free)
    assert not hessian.back.free.all()
    torch.testing.assert_close(found, exact * hessian.back.free, rtol=1e-9, atol=1e-9 * float(exact.abs().max()))


def test_product_is_symmetric() -> None:
    hessian, *_, like = flown(MultiBicycle(num_agents=3, steps=12))
    v, w = direction(like) * hessian.back.free, like * hessian.back.free
    one, other = ((x * hessian.times(y)).sum((0, 2)) for x, y in ((v, w), (w, v)))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)


def test_preconditioner_is_the_inverse_where_agents_are_alone_and_convex() -> None:
    problem = MultiBicycle(num_agents=3, steps=12)
    hessian, model, _, like = flown(problem)
    convex = Hessian(model._replace(meeting=None), hessian.back, lambda _: reflected(model.hessian))
    w = direction(like) * hessian.back.free
    torch.testing.assert_close(convex.solved(convex.times(w)), w, rtol=1e-4, atol=1e-4)
    step = newton(convex, torch.ones(2).double(), (1.0,))[0]
    assert step.minimum.all()
    torch.testing.assert_close(step.w, -convex.solved(convex.slope), rtol=1e-4, atol=1e-4)


def test_riders_that_must_part_converge() -> None:
    problem = MultiBicycle(num_agents=4, steps=20, wheelbase=0.1, initial_scale=0.02)
    found = solve_optimum(problem, draw_states(problem, 3, 0).double()[:1], max_iterations=120)
    certificate = certify(problem, found)
    assert found.converged.all()
    assert certificate.stationarity.max() < 1e-6
