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
