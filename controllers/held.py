"""The Hamiltonian of the HELD control: u -> H_dt, what one control step costs and leaves to be paid."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..envs.integrate import advance
from ..envs.problem import Problem
from .hamiltonian import control_hamiltonian
from .operators import in_blocks
from .value import Value


@dataclasses.dataclass(frozen=True)
class HeldHamiltonian:
    """u -> H_dt(t, z, phi, u) = -(c(t, z, u) + phi(t + dt, F(t, z, u))) / dt, a ``ControlHamiltonian``.

    (F, c) is the Runge-Kutta step of ``envs.integrate.advance`` with u held over it. The argmax is the optimal feedback
    of the system as it is flown; H_dt = const + H + O(dt), so that argmax H, the slides', is its limit as dt -> 0.

    Its gradient is one sweep back through the step: -(c_u + F_uᵀ ∇phi(t + dt, F)) / dt, tracked in z and in phi's
    weights. H_uu, by block, is a central difference of it: T(u) is quasi-Newton, has the same fixed points, and needs
    no second derivative of phi, f or L. H_dt does not separate over agents that see each other or share phi:
    ``value`` is one number a sample.

    Attributes:
        problem: gives f, L and the bounds.
        phi: the value function.
        t: ``()`` or ``(B,)``, the beginning of the step.
        z: ``(B, n)``.
        dt: its length.
    """

    problem: Problem
    phi: Value
    t: Tensor
    z: Tensor
    dt: float | Tensor

    def start(self) -> Tensor:
        """The feedback that phi knows, where it is an expansion; else where the search for argmax H begins."""
        known = self.phi.feedback(self.t, self.z)
        if known is not None:
            return known
        return control_hamiltonian(self.problem, self.t, self.z, self.phi.gradient(self.t, self.z)[1]).start()

    def value(self, u: Tensor) -> Tensor:
        """H_dt, ``(..., B, 1)`` for controls ``(..., B, m)``."""
        t, z, flat = self._flat(u)
        after, cost = advance(self.problem, t, z, flat, self.dt)
        return (-(cost + self.phi(t + self.dt, after)) / self.dt).reshape(*u.shape[:-1], 1)

    def gradient(self, u: Tensor) -> Tensor:
        """∇_u H_dt, ``(..., B, m)``."""
        t, z, flat = self._flat(u)
        (after, cost), pull = torch.func.vjp(lambda v: advance(self.problem, t, z, v, self.dt), flat)[:2]
        _, p = self.phi.gradient(t + self.dt, after)
        (slope,) = pull((p, torch.ones_like(cost)))
        return (-slope / self.dt).reshape(u.shape)

    def hessian(self, u: Tensor) -> Tensor:
        """Diagonal blocks of H_uu, ``(..., B, m / b, b, b)``: differences of ∇_u H_dt across ε of the box, inside it.

        With as many agents as blocks, column j of all blocks comes from one difference; what agents do to each
        other within one step is then in it, too, and small.
        """
        low, high = self.problem.control_bounds(u)
        away = torch.finfo(u.dtype).eps ** (1 / 3) * (high - low)
        middle = u.maximum(low + away).minimum(high - away)
        size = self.problem.control_block
        count = u.shape[-1] // size
        seeds = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        together = self.problem.state_dim // self.problem.state_block == count
        if together:
            seeds = seeds.unflatten(0, (count, size)).sum(0)
        step = (seeds * away).reshape(-1, *[1] * (u.ndim - 1), u.shape[-1])
        ahead, behind = self.gradient(torch.stack([middle + step, middle - step])).unbind(0)
        columns = ((ahead - behind) / 2).unflatten(-1, (count, size)).movedim(0, -1)
        if not together:  # of the columns of each block, the block's own
            columns = columns.unflatten(-1, (count, size)).diagonal(dim1=-4, dim2=-2).movedim(-1, -3)
        bend = columns / in_blocks(away, count).unsqueeze(-2)
        return 0.5 * (bend + bend.mT)

    def _flat(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """t, z and u with the leading axes of u as one: ``(A B,)`` or ``()``, ``(A B, n)``, ``(A B, m)``."""
        t, z = self.t, self.z
        if u.ndim > 2:
            lead = u.shape[:-1]
            t = t if t.ndim == 0 else t.expand(lead).reshape(-1)
            z = z.expand(*lead, -1).reshape(-1, z.shape[-1])
        return t, z, u.reshape(-1, u.shape[-1])
