"""Flights in descent: what is kept of them, and how they are flown."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from .agent_model import count_agents

STUBBORN = 1e8
"""Damping at which a state is given up."""


@dataclasses.dataclass
class Path:
    """B flights in descent, float64.

    Attributes:
        z, u, cost: ``(K + 1, B, n)``, ``(K, B, m)``, ``(B,)``.
        damping: ``(B,)`` added to Q_uu, relative to its diagonal.
        left: ``(B,)`` what the whole model still promises, relative to |J|; inf where it has no minimum.
        iterations: ``(B,)`` sweeps.
        costate: ``(K + 1, B, n)``.
        converged: ``(B,)``.
        feedback: ``(K, B, m n / G)`` the gains of the last sweep, entry by entry.
    """

    z: Tensor
    u: Tensor
    cost: Tensor
    damping: Tensor
    left: Tensor
    iterations: Tensor
    costate: Tensor
    converged: Tensor
    feedback: Tensor

    @property
    def stuck(self) -> Tensor:
        """``(B,)`` whether no step helps any more."""
        return self.damping > STUBBORN

    def rows(self, index: Tensor) -> Path:
        """Those flights."""
        return Path(**{k: v.index_select(v.ndim // 2, index) for k, v in vars(self).items()})

    @classmethod
    def joined(cls, parts: list[Path]) -> Path:
        """The flights of all of them, in that order."""
        return cls(**{k: torch.cat([getattr(p, k) for p in parts], v.ndim // 2) for k, v in vars(parts[0]).items()})

    def gains(self, count: int) -> Tensor:
        """The feedback as a sweep gives it, ``(K, B, G, m / G, n / G)``; G agents, or 1."""
        n, m = self.z.shape[-1], self.u.shape[-1]
        return self.feedback.unflatten(-1, (count, m // count, n // count))

    def put(self, index: Tensor, part: Path) -> None:
        """Take ``part`` over as those flights."""
        for name, whole in vars(self).items():
            whole.index_copy_(whole.ndim // 2, index, getattr(part, name))


def agents(problem: Problem, z: Tensor, u: Tensor) -> int:
    """As how many agents its steps are expanded."""
    return count_agents(problem, clock(problem, 0, z).expand(len(z[0, :1])), z[0, :1], u[0, :1])


def fly(problem: Problem, z0: Tensor, u: Tensor) -> Path:
    """The flights of the controls ``u (K, B, m)`` from ``z0``."""
    z, cost = [z0], z0.new_zeros(len(z0))
    for k, held in enumerate(u):
        after, spent = advance(problem, clock(problem, k, z0), z[-1], held, problem.time_step)
        z.append(after)
        cost = cost + spent
    states = torch.stack(z)
    cost = torch.nan_to_num(cost + problem.terminal_cost(z[-1]), nan=torch.inf)
    zero = torch.zeros_like(cost)
    gains = u.new_zeros(len(u), len(z0), problem.control_dim * problem.state_dim // agents(problem, states, u))
    later = zero.long(), torch.zeros_like(states), zero.bool(), gains
    return Path(states, u.clone(), cost, zero, zero + torch.inf, *later)


def follow(problem: Problem, z0: Tensor, path: Path, feedback: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """z, u and the cost from ``z0`` of u_k + w_k + K_k (z - z_k) along ``path``, within the bounds."""
    low, high = problem.control_bounds(path.u)
    z, controls, cost = [z0], [], torch.zeros_like(path.cost)
    for k, (u, more, gain) in enumerate(zip(path.u, w, feedback, strict=True)):
        away = z[-1] - path.z[k]
        answer = gain @ away.unflatten(-1, (gain.shape[1], -1)).unsqueeze(-1)
        u = (u + more + answer.flatten(1)).clamp(low, high)
        after, spent = advance(problem, clock(problem, k, u), z[-1], u, problem.time_step)
        z.append(after)
        controls.append(u)
        cost = cost + spent
    cost = torch.nan_to_num(cost + problem.terminal_cost(z[-1]), nan=torch.inf)
    return torch.stack(z), torch.stack(controls), cost


def clock(problem: Problem, k: int, like: Tensor) -> Tensor:
    """t_k, ``()``."""
    return torch.tensor(k * problem.time_step, dtype=like.dtype, device=like.device)
