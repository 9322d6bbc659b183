"""What ``converged`` says is true, of each control."""

import math

import pytest
import torch
from conftest import Pendulum

from pontryagin import GradientAscent, solve_argmax


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("how", ["newton", "ascent", "anderson", "global"])
def test_a_large_costate_beside_it_does_not_make_a_control_converged(how, block):
    """f = u, L = Σ (cosh u - 1), box ±1, p = (-1e6, -0.7): u_2 = asinh 0.7 = 0.6527, and 0 is not converged."""

    class Cosh(Pendulum):
        control_low, control_high, control_block = -1.0, 1.0, block

        def dynamics(self, t, z, u):
            return u

        def running_cost(self, t, z, u):
            return (torch.cosh(u) - 1).sum(-1)

    operators = {"ascent": GradientAscent(0.3), "anderson": GradientAscent(0.3, memory=2)}
    p, u0 = torch.tensor([[-1e6, -0.7]]).double(), torch.tensor([[1.0, 0.0]]).double()
    for iterations in (1, 60):
        found = solve_argmax(
            Cosh(), 0.0, torch.zeros_like(p), p, operator=operators.get(how), max_iterations=iterations, u0=u0,
            starts="global" if how == "global" else "single",
        )  # fmt: skip
        right = (found.control - torch.tensor([[1.0, math.asinh(0.7)]])).abs().max() < 1e-5
        assert right or not found.converged
    assert right and found.converged
