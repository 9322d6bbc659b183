"""Who plays which part where agents are alike: an optimum is one for every order of the agents."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...envs.problem import Problem
from ...envs.states import draw_states

ALIKE = 1e-9
"""Relative difference that rounding makes."""


@torch.no_grad()
def interchangeable(problem: Problem) -> bool:
    """Whether f, L, G and the bounds stay what they are when agents change places, states and controls together.

    Tried on a few random points, with the first two agents exchanged and with all moved on by one: these two make every
    order.
    """
    b = problem.state_block
    count = problem.state_dim // b
    if count < 2 or problem.control_dim % count:
        return False
    a, generator = problem.control_dim // count, torch.Generator().manual_seed(0)
    z = draw_states(problem, 3, 0).double()
    z = z + 0.1 * (1 + z.abs()) * torch.randn(z.shape, generator=generator, dtype=z.dtype)
    low, high = (x.clamp(-1e3, 1e3) for x in problem.control_bounds(z))
    u = low + (high - low) * torch.rand(len(z), problem.control_dim, generator=generator, dtype=z.dtype)
    t = torch.full((), 0.3 * problem.horizon, dtype=z.dtype)
    swap = torch.arange(count)
    swap[:2] = torch.tensor([1, 0])
    for order in (swap, torch.arange(count).roll(1)):
        rows = order.expand(len(z), -1)
        w, v = reordered(z, rows, b), reordered(u, rows, a)
        pairs = (
            (reordered(problem.dynamics(t, z, u), rows, b), problem.dynamics(t, w, v)),
            (problem.running_cost(t, z, u), problem.running_cost(t, w, v)),
            (problem.terminal_cost(z), problem.terminal_cost(w)),
            *((reordered(x.expand_as(u), rows, a), x.expand_as(u)) for x in problem.control_bounds(z)),
        )
        if not all(torch.allclose(x, y, rtol=ALIKE, atol=ALIKE * float(1 + x.abs().max())) for x, y in pairs):
            return False
    return True


def reordered(x: Tensor, order: Tensor, size: int) -> Tensor:
    """``x (B, N size)`` in the order of the roles: agent ``order[i, j]`` plays role j; ``order`` is ``(B, N)``."""
    index = order.unsqueeze(-1).expand(-1, -1, size)
    return x.unflatten(-1, (-1, size)).gather(1, index).flatten(-2)


def restored(x: Tensor, order: Tensor, size: int) -> Tensor:
    """The inverse of ``reordered``."""
    return reordered(x, order.argsort(-1), size)


def assigned(cost: Tensor) -> Tensor:
    """The order with the least sum of ``cost (B, N, N)``, of agent i in role j: ``(B, N)``, the agent of each role."""
    table = cost.detach().double().nan_to_num(1e300, 1e300, -1e300).cpu().numpy()
    rows = [torch.from_numpy(linear_sum_assignment(one.T)[1]) for one in table]
    return torch.stack(rows).to(cost.device)
