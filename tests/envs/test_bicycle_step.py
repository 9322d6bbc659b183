"""The control step of the bicycles in closed form is the Runge-Kutta step that everybody else takes."""

import dataclasses

import pytest
import torch

from pontryagin import MultiBicycle
from pontryagin.envs.integrate import advance
from pontryagin.envs.scattered import ScatteredBicycles

PROBLEMS = {
    "one": MultiBicycle(1),
    "five": MultiBicycle(5),
    "others": MultiBicycle(3, targets=(1.0, 2.0), wheelbase=0.3, interaction=2.0, radius=0.4, steps=7),
    "apart": ScatteredBicycles(4),
    "many": MultiBicycle(20, targets=(1.0, 1.0), radius=0.3),
}


def drawn(problem, lead, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, problem.state_dim, generator=generator, dtype=dtype)
    low, high = problem.control_bounds(z)
    u = low + (high - low) * torch.rand(*lead, 3, problem.control_dim, generator=generator, dtype=dtype)
    return z, u, torch.randn(*lead, 3, problem.state_dim, generator=generator, dtype=dtype)


@pytest.mark.parametrize("lead", [(), (4,), (2, 5)], ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_it_is_advance_and_its_derivative(name, lead):
    problem = PROBLEMS[name]
    z, u, p = drawn(problem, lead)
    step = problem.held_step(torch.tensor(0.0), z, u, problem.time_step)
    flat = u.reshape(-1, u.shape[-1]).requires_grad_()
    rows = z.expand(*lead, *z.shape).reshape(-1, z.shape[-1])
    after, cost = advance(problem, torch.tensor(0.0), rows, flat, problem.time_step)
    torch.testing.assert_close(step.after, after.reshape(p.shape), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(step.cost, cost.reshape(p.shape[:-1]), rtol=1e-12, atol=1e-12)
    (slope,) = torch.autograd.grad((after * p.reshape(after.shape)).sum() + cost.sum(), flat)
    torch.testing.assert_close(step.pull(p), slope.reshape(u.shape), rtol=1e-11, atol=1e-11)


def test_its_derivative_can_be_differentiated():
    problem = PROBLEMS["others"]
    z, u, p = drawn(problem, ())

    def slope(z, u, p):
        return problem.held_step(torch.tensor(0.0), z, u, problem.time_step).pull(p)

    given = tuple(x.requires_grad_() for x in (z, 0.5 * u.detach(), p))
    assert torch.autograd.gradcheck(slope, given, eps=1e-6, atol=1e-5)


def test_zero_states_and_a_length_of_the_step_that_is_a_tensor():
    problem = PROBLEMS["five"]
    z, u, p = drawn(problem, (2,))
    fixed = problem.held_step(torch.tensor(0.0), z, u, 0.1)
    told = problem.held_step(torch.tensor(0.0), z, u, torch.tensor(0.1, dtype=torch.float64))
    torch.testing.assert_close(told.after, fixed.after)
    torch.testing.assert_close(told.pull(p), fixed.pull(p))
    assert problem.held_step(torch.tensor(0.0), z[:0], u[:, :0], 0.1).pull(p[:, :0]).shape == (2, 0, 10)


def test_who_changes_what_is_integrated_is_integrated():
    @dataclasses.dataclass(frozen=True)
    class Windy(MultiBicycle):
        def dynamics(self, t, z, u):
            return super().dynamics(t, z, u) + 1.0

    @dataclasses.dataclass(frozen=True)
    class Shy(MultiBicycle):
        def nearness(self, z):
            return 2 * super().nearness(z)

    @dataclasses.dataclass(frozen=True)
    class Twice(MultiBicycle):
        substeps: int = 2

    for problem in (Windy(2, steps=5), Shy(2, steps=5), Twice(2, steps=5)):
        z, u, _ = drawn(problem, ())
        assert problem.held_step(torch.tensor(0.0), z, u, problem.time_step) is None
