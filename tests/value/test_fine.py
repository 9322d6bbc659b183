"""Fine terms: the gradient written out, the size of what they say, and how a network without them hands on to one."""

import pytest
import torch

from pontryagin import MultiBicycle, Quadrotor, ValueFunction
from pontryagin.controllers.value.fine import FineTerms

PROBLEM = MultiBicycle(num_agents=3, targets=((1.0, 1.0), (2.0, 1.0), (1.0, 2.0)))


def woken(value):
    with torch.no_grad():
        for weight in value.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    return value.double()


@pytest.mark.parametrize("time", ["one", "each"])
def test_gradient_is_that_of_autograd(time):
    value = woken(ValueFunction(PROBLEM, 5, 1, 2, 0, agent_width=4, fine_width=6))
    z = torch.randn(4, 12, dtype=torch.float64, requires_grad=True)
    t = (torch.rand(4 if time == "each" else (), dtype=torch.float64) * 3).requires_grad_()
    by_t, by_z = torch.autograd.grad(value(t, z).sum(), (t, z))
    slope, p = value.gradient(t, z)
    torch.testing.assert_close(by_z, p)
    torch.testing.assert_close(by_t, slope if time == "each" else slope.sum())


def test_a_costate_as_small_as_the_other_networks_say_it():
    """ε / fine_scale of the heading is 1 / start_scale at first and goes to 1 / state_scale."""
    fine = FineTerms(PROBLEM, 4, 2, torch.Generator().manual_seed(0))
    size = {tau: float(fine._size(torch.tensor([[tau]]))) for tau in (0.0, 4.0)}
    assert size[0.0] / 0.5 == pytest.approx(1 / PROBLEM.start_scale[2], rel=1e-5)
    assert size[4.0] / 0.5 == pytest.approx(1 / PROBLEM.state_scale[2], rel=0.01)


def test_they_tell_headings_apart_where_the_others_cannot():
    z = torch.zeros(2, 12)
    z[1, 2] = 0.3

    def change(value):
        _, p = value.gradient(1.0, z)
        return float(((p[1] - p[0]).norm() / p.abs().amax().clamp_min(1e-9)).detach())

    alone = ValueFunction(PROBLEM, 8, 1, 1, 0)
    alone.quadratic.data.zero_()
    fine = ValueFunction(PROBLEM, 0, 0, 0, 0, fine_width=8, agent_width=1)
    fine.agents.output.data.zero_()
    fine.agents.quadratic.data.zero_()
    assert change(fine) > 0.05 > 0.01 > change(alone)


def test_handed_on_from_a_network_without_them():
    old = woken(ValueFunction(PROBLEM, 5, 1, 2, 0, agent_width=4))
    new = ValueFunction(PROBLEM, 5, 1, 2, 1, agent_width=4, fine_width=6).double()
    new.adopt(old)
    z = torch.randn(4, 12, dtype=torch.float64)
    for mine, theirs in zip(new.gradient(0.5, z), old.gradient(0.5, z), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_a_problem_without_a_fine_scale_is_refused():
    with pytest.raises(ValueError, match="Quadrotor has no fine_scale"):
        ValueFunction(Quadrotor(), 4, fine_width=4)
    with pytest.raises(ValueError, match="fine_width=-1"):
        ValueFunction(PROBLEM, 4, fine_width=-1)


def test_a_teacher_of_other_terms_is_refused_with_their_names_and_nothing_is_lost():
    plain = ValueFunction(PROBLEM, 5, 1, 2, 0, agent_width=4)
    pupil = ValueFunction(PROBLEM, 5, 1, 2, 1, agent_width=4, nominal=True)
    before = pupil.opening.clone()
    with pytest.raises(ValueError, match="nominal"):
        pupil.adopt(plain)
    coarse = MultiBicycle(num_agents=3, targets=PROBLEM.targets, steps=40)
    with pytest.raises(ValueError, match="nominal has shape"):
        pupil.adopt(ValueFunction(coarse, 5, 1, 2, 0, agent_width=4, nominal=True))
    assert torch.equal(before, pupil.opening)


def test_handed_on_to_more_agents():
    few = woken(ValueFunction(PROBLEM, 0, 0, 0, 0, agent_width=4, fine_width=6))
    double = MultiBicycle(num_agents=6)
    many = ValueFunction(double, 0, 0, 0, 0, agent_width=4, fine_width=6).double()
    many.adopt(few)
    z = torch.randn(4, 12, dtype=torch.float64)
    _, p = few.gradient(0.5, z)
    _, twice = many.gradient(0.5, torch.cat([z, z], -1))
    torch.testing.assert_close(
        twice.unflatten(-1, (2, -1)).mean(1), p, rtol=0.3, atol=0.3 * float(p.detach().abs().mean())
    )
