"""phi at one time is phi: the value, its gradient and both, of each member, in each order of the agents."""

import pytest
import torch

from pontryagin import MultiBicycle, Quadrotor, ValueFunction
from pontryagin.controllers.optimum import AgentExpansion
from pontryagin.controllers.value import ExpandedValue, FlownValue, section

MEETING = MultiBicycle(3, steps=6, targets=(1.0, 1.0))
"""Who of them goes where is found anew: they are alike."""


def expansion(problem, members):
    generator = torch.Generator().manual_seed(0)
    blank = AgentExpansion.blank(problem, members)
    drawn = {k: torch.randn(v.shape, generator=generator).double() for k, v in vars(blank).items()}
    bend = drawn.pop("curvature")
    return AgentExpansion(**drawn, curvature=bend @ bend.mT + torch.eye(bend.shape[-1]).double())


def values():
    quadrotor, apart = Quadrotor(steps=5), MultiBicycle(3, steps=6, targets=((4.0, 4.0), (4.5, 4.0), (4.0, 4.5)))
    made = {
        "network": ValueFunction(quadrotor, 8, seed=0),
        "one": ExpandedValue(quadrotor, expansion(quadrotor, 1)),
        "several": ExpandedValue(apart, expansion(apart, 3), width=4),
        "alike": ExpandedValue(MEETING, expansion(MEETING, 2), width=4),
        "flown": FlownValue(apart, expansion(apart, 2)),
    }
    for value in made.values():
        for weight in value.parameters():
            weight.data = 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    return {name: value.double() for name, value in made.items()}


VALUES = values()


@pytest.mark.parametrize("each", [False, True], ids=["one time", "times"])
@pytest.mark.parametrize("name", VALUES)
def test_it_is_phi_of_the_member_that_speaks(name, each):
    value = VALUES[name]
    n, generator = value.problem.state_dim if name != "network" else 12, torch.Generator().manual_seed(2)
    z, near = (torch.randn(4, n, generator=generator).double() for _ in range(2))
    t = torch.tensor([0.1, 0.7, 1.3, 2.2] if each else 0.7).double()
    member = value.speaker(t, z)
    here = section(value, t, z, member)
    states = torch.stack([z, near, 0.5 * z])
    known = () if member is None else (member,)
    phi = torch.stack([value(t, x, *known) for x in states])
    p = torch.stack([value.gradient(t, x, *known)[1] for x in states])
    torch.testing.assert_close(here.value(states), phi)
    torch.testing.assert_close(here.gradient(states), p)
    again = here.over(here.tables).both(states)
    torch.testing.assert_close(again[0], phi)
    torch.testing.assert_close(again[1], p)
    torch.testing.assert_close(here.value(near), phi[1])
    if name not in ("flown", "network"):
        torch.testing.assert_close(section(value, t, z, None).value(states), phi)


def test_it_is_the_expansion_written_out():
    """V + p·d + ½ dᵀ P d at a control step, where the tables, kept in float32, are not interpolated."""
    problem = Quadrotor(steps=5)
    known = expansion(problem, 3)
    value = ExpandedValue(problem, known).double()
    z, k, member = torch.randn(4, 12).double(), 2, torch.tensor([0, 2, 1, 2])
    here = section(value, torch.tensor(k * problem.time_step).double(), z, member)
    d = z - known.state[k, member]
    bent = (known.curvature[k, member, 0] @ d.unsqueeze(-1)).squeeze(-1)
    expected = known.value[k, member] + (known.costate[k, member] * d).sum(-1) + 0.5 * (d * bent).sum(-1)
    torch.testing.assert_close(here.value(z), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(here.gradient(z), known.costate[k, member] + bent, rtol=1e-5, atol=1e-5)


def test_who_says_what_phi_is_is_asked_for_it():
    class Steeper(ExpandedValue):
        def forward(self, t, z, member=None):
            return super().forward(t, z, member) + 7 * z[:, 0]

        def gradient(self, t, z, member=None):
            rate, p = super().gradient(t, z, member)
            return rate, p + 7 * torch.eye(z.shape[1], dtype=z.dtype)[0]

    problem, t, z = Quadrotor(steps=5), torch.tensor(0.7).double(), torch.randn(4, 12).double()
    plain, steeper = (kind(problem, expansion(problem, 1)).double() for kind in (ExpandedValue, Steeper))
    phi, p = section(steeper, t, z, None).both(z)
    torch.testing.assert_close(phi, section(plain, t, z, None).value(z) + 7 * z[:, 0])
    torch.testing.assert_close(p[:, 0], section(plain, t, z, None).gradient(z)[:, 0] + 7)
