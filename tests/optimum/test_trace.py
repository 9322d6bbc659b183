"""CasADi functions traced from torch code, against that code; what has no translation is named."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("casadi")

from conftest import Pendulum
from oscillators import Oscillator, oscillator

from pontryagin import DoubleIntegrator, Quadrotor
from pontryagin.controllers.optimum.ipopt import solve_reference
from pontryagin.controllers.optimum.trace import trace


class ManyOperations(Oscillator):
    """Writes into slices, reductions, comparisons, constants, products, time."""

    state_dim = 4
    control_dim = 2

    def dynamics(self, t, z, u):
        i, j = torch.triu_indices(4, 4, 1)
        rate = torch.zeros_like(z)
        rate[:, 0] = z[:, 1] * torch.cos(2 * t)
        rate[:, 1:3] = torch.where(z[:, 2:] > 0, z[:, 2:], 0.1 * u.roll(1, -1))
        rate[:, 3] += (z[:, i] - z[:, j]).square().sum(-1)
        mix = torch.eye(4, dtype=z.dtype) + torch.arange(4, dtype=z.dtype)
        wave = torch.stack([torch.tanh(z[:, 0]), torch.atan2(z[:, 1], z[:, 2])], -1).clamp(-0.5, 0.5)
        return (
            rate @ mix
            + torch.cat([torch.sigmoid(u), wave], -1).flip(-1)
            + z.index_select(-1, torch.tensor([3, 1, 0, 0]))
        )

    def running_cost(self, t, z, u):
        x, y = z.reshape(-1, 2, 2).permute(0, 2, 1).unbind(1)
        smooth = torch.nn.functional.softplus(u).sum(-1) + torch.logsumexp(z, -1) + torch.log1p(z.abs()).mean(-1)
        angle = torch.remainder(z[:, 0] + math.pi, 2 * math.pi) - math.pi
        sizes = torch.linalg.vector_norm(x - y, dim=-1) + z.norm(dim=-1) + torch.maximum(u, z[:, :2]).amax(-1)
        form = torch.einsum("bi,ij,bj->b", u, torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=u.dtype), u)
        return smooth + angle + sizes + form + z.softmax(-1)[:, 0] + torch.exp(-x.pow(3).sum(-1)).sqrt() + z.std(-1)

    def terminal_cost(self, z):
        return z.new_ones(len(z))

    def sample_initial_state(self, batch, generator=None):
        return torch.randn(batch, 4, generator=generator)


@pytest.mark.parametrize(
    "problem", [Quadrotor(), Quadrotor(cost_exponent=1.0), DoubleIntegrator(), Pendulum(), ManyOperations()]
)
def test_trace_equals_torch(problem):
    f, cost, terminal = trace(problem)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        t = 2 * torch.rand((), generator=generator, dtype=torch.float64)
        z = torch.randn(1, problem.state_dim, generator=generator, dtype=torch.float64)
        u = torch.randn(1, problem.control_dim, generator=generator, dtype=torch.float64)
        arguments = t.numpy(), z.numpy().ravel(), u.numpy().ravel()
        np.testing.assert_allclose(f(*arguments).full().ravel(), problem.dynamics(t, z, u)[0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            cost(*arguments).full().ravel(), problem.running_cost(t, z, u), rtol=1e-12, atol=1e-12
        )
        np.testing.assert_allclose(
            terminal(arguments[1]).full().ravel(), problem.terminal_cost(z), rtol=1e-12, atol=1e-12
        )


def mass(z):
    return 2 * torch.eye(2).to(z) + z[:, :, None] * z[:, None]


KNOTS = torch.linspace(-3, 3, 7)
VALUES = torch.sin(KNOTS.double())


def between_knots(z):
    """A table, linearly between its entries."""
    x = KNOTS.to(z)
    i = torch.searchsorted(x, z.contiguous()).clamp(1, 6)
    return VALUES[i - 1] + (z - x[i - 1]) / (x[i] - x[i - 1]) * (VALUES[i] - VALUES[i - 1])


NET = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()


@pytest.mark.parametrize(
    "law",
    [
        lambda z: torch.linalg.solve(mass(z), z),
        lambda z: torch.linalg.solve(mass(z), z.unsqueeze(-1) * z.unsqueeze(-2)).sum(-1),
        lambda z: (torch.linalg.inv(mass(z)) @ z.unsqueeze(-1)).squeeze(-1),
        lambda z: z * torch.linalg.det(mass(z)).unsqueeze(-1),
        lambda z: torch.cholesky_solve(z.unsqueeze(-1), torch.linalg.cholesky(mass(z))).squeeze(-1),
        lambda z: torch.linalg.solve_triangular(mass(z).tril(), z.unsqueeze(-1), upper=False).squeeze(-1),
        between_knots,
        lambda z: VALUES[torch.bucketize(z, KNOTS.to(z), right=True).clamp(max=6)],
        lambda z: z.index_select(1, torch.searchsorted(KNOTS.to(z), z[0]) % 2),
        lambda z: torch.cumprod(z, -1),
        torch.erfc,
        lambda z: torch.round(3 * z) + torch.round(z, decimals=1),
        lambda z: torch.trunc(3 * z) + torch.frac(z) + torch.div(z, 0.3, rounding_mode="trunc"),
        lambda z: torch.where((z > 0).any(-1, keepdim=True), z, -2 * z),
        lambda z: torch.where((z > 0).all(-1, keepdim=True), z, -2 * z) + (z > 0).any(),
        lambda z: z * torch.tensor([0.1, 0.2]) @ torch.tensor([[0.1, 0.2], [0.3, 0.4]]).to(z),
        lambda z: NET(z),
        lambda z: torch.where(z.isnan(), 0.0, z).nan_to_num(),
    ],
)
def test_operations_of_others_equal_torch(law):
    """As dynamics, at twenty points."""
    problem = oscillator(dynamics=lambda self, t, z, u: law(z))
    f = trace(problem).dynamics
    for z in 1.5 * torch.randn(20, 1, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64):
        found = f(0.0, z.numpy().ravel(), np.zeros(problem.control_dim)).full().ravel()
        np.testing.assert_allclose(found, law(z)[0].detach(), rtol=1e-9, atol=1e-9)


def test_halves_go_to_the_even_neighbour():
    problem = oscillator(dynamics=lambda self, t, z, u: torch.round(z))
    f = trace(problem).dynamics
    for x in (0.5, 1.5, -0.5, -1.5, 2.5):
        z = torch.tensor([x, x + 1]).double()
        np.testing.assert_array_equal(f(0.0, z.numpy(), np.zeros(problem.control_dim)).full().ravel(), torch.round(z))


def test_the_value_of_t_is_asked_for_in_a_line_that_is_named():
    with pytest.raises(
        ValueError, match=r"Changed.dynamics cannot be traced: line \d+ of test_trace.py.*torch.exp\(t\)"
    ):
        trace(oscillator(dynamics=lambda self, t, z, u: z * math.exp(t)))


def test_weights_in_float32_are_named():
    single = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"fails in float64: line \d+ of test_trace.py.*follow z.dtype"):
        trace(oscillator(dynamics=lambda self, t, z, u: single(z)))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda self, t, z, u: torch.matrix_exp(mass(z))[:, 0], "Changed.dynamics uses aten.linalg_matrix_exp"),
        (lambda self, t, z, u: z if z[0, 0] > 0 else -z, r"line \d+ of test_trace.py, `.*`, asks for the value"),
        (lambda self, t, z, u: z[:, z[0].long()], "Changed.dynamics uses aten"),
        (lambda self, t, z, u: z * float(z.numpy()[0, 0]), "Changed.dynamics is .* in torch and"),
        (lambda self, t, z, u: z + torch.rand(1, 2), "Changed.dynamics returned two things"),
        (lambda self, t, z, u: z[:, 0], "Changed.dynamics returned shape"),
    ],
)
def test_what_cannot_be_traced_is_named(method, message):
    with pytest.raises(ValueError, match=message):
        solve_reference(oscillator(dynamics=method), torch.zeros(1, 2))
