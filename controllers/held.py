"""The Hamiltonian of the HELD control: u -> H_dt, what one control step costs and leaves to be paid."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..envs.integrate import advance
from ..envs.problem import HeldStep, Problem
from .hamiltonian import control_hamiltonian
from .looking import host_may_look
from .value import FlownValue, Section, Value, section

Pair: TypeAlias = tuple[Tensor, Tensor]
FEW = 16
"""Controls, at most, along which flights are differenced."""


@dataclasses.dataclass(frozen=True)
class HeldHamiltonian:
    """u -> H_dt(t, z, phi, u) = -(c(t, z, u) + phi(t + dt, F(t, z, u))) / dt, a ``ControlHamiltonian``.

    (F, c) is the Runge-Kutta step of ``envs.integrate.advance`` with u held over it. The argmax is the optimal feedback
    of the system as it is flown; H_dt = const + H + O(dt), so that argmax H, the slides', is its limit as dt -> 0.

    Its gradient is one sweep back through the step: -(c_u + F_uᵀ ∇phi(t + dt, F)) / dt, tracked in z and in phi's
    weights. H_uu, by block, is a central difference of it: T(u) is quasi-Newton, has the same fixed points, and needs
    no second derivative of phi, f or L. Where phi is flown, the curvature is that of the expansion (``rough``). H_dt
    does not separate over agents that see each other or share phi: ``value`` is one number a sample.

    Attributes:
        problem: gives f, L and the bounds.
        phi: the value function.
        t: ``()`` or ``(B,)``, the beginning of the step.
        z: ``(B, n)``.
        dt: its length.
        whole: take all controls as one block of H_uu, coupling included: Newton's own, and what "implicit" needs.
        member: where phi is one of several expansions, which, for every u; that which speaks at (t, z) unless given.
        section: phi(t + dt, ·), if it is known already.
    """

    problem: Problem
    phi: Value
    t: Tensor
    z: Tensor
    dt: float | Tensor
    whole: bool = False
    member: Tensor | None = None
    section: Section | None = None

    @property
    def block(self) -> int:
        """Size of the blocks of ``hessian``."""
        return self.problem.control_dim if self.whole else self.problem.control_block

    def start(self) -> Tensor:
        """The feedback that phi knows, where it is an expansion; else where the search for argmax H begins."""
        known = self.phi.feedback(self.t, self.z, *(() if self.member is None else (self.member,)))
        if known is not None:
            return known
        return control_hamiltonian(self.problem, self.t, self.z, self.phi.gradient(self.t, self.z)[1]).start()

    def value(self, u: Tensor) -> Tensor:
        """H_dt, ``(..., B, 1)`` for controls ``(..., B, m)``."""
        after, cost, _ = self._step(u, slopes=False)
        return (-(cost + self.ahead.value(after)) / self.dt).unsqueeze(-1)

    def gradient(self, u: Tensor) -> Tensor:
        """∇_u H_dt, ``(..., B, m)``."""
        if self._few and not torch.is_grad_enabled():
            return self._differences(u)[0]
        after, _, pull = self._step(u)
        return pull(self.ahead.gradient(after)) / -self.dt

    def hessian(self, u: Tensor) -> Tensor:
        """Diagonal blocks of H_uu, ``(..., B, m / b, b, b)``: differences of ∇_u H_dt across ε of the box, inside it.

        With as many agents as blocks, column j of all blocks comes from one difference; what agents do to each
        other within one step is then in it, too, and small.
        """
        return self._bend(*self.rough.gradient(torch.stack(self._beside(u))).unbind(0))

    def look(self, u: Tensor, rest: bool = True) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """∇_u H_dt at u and, with ``rest``, at 0; H_uu at u and H_dt there; from one sweep: for ``(B, m)`` controls."""
        rough, zero = self.rough, [torch.zeros_like(u).unsqueeze(0)] if rest else []
        after, cost, pull = rough._step(torch.cat([u.unsqueeze(0), *self._beside(u), *zero]))
        phi, p = rough.ahead.both(after)
        slopes = pull(p) / -self.dt
        count = (len(slopes) - 1 - len(zero)) // 2
        own, ahead, behind, *at_zero = slopes.split([1, count, count, *(len(x) for x in zero)])
        bend, calm = self._bend(ahead, behind), at_zero[0].squeeze(0) if rest else None
        if rough is not self:
            slope, value = self._differences(u) if self._few else (self.gradient(u), self.value(u))
            return slope, calm, bend, value
        return own.squeeze(0), calm, bend, ((cost + phi).select(0, 0) / -self.dt).unsqueeze(-1)

    @property
    def rough(self) -> HeldHamiltonian:
        """The same under an expansion, where phi is flown: its slope is near enough for scales and curvatures."""
        phi = self.phi
        return dataclasses.replace(self, phi=phi.promise, section=None) if isinstance(phi, FlownValue) else self

    @property
    def _few(self) -> bool:
        """Whether phi is flown, for few controls."""
        return isinstance(self.phi, FlownValue) and self.problem.control_dim <= FEW

    def _differences(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """∇_u H_dt by central differences, two flights a control cost less than one and the way back; and H_dt."""
        ahead, behind = self._beside(u, torch.eye(u.shape[-1], dtype=u.dtype, device=u.device))
        own, high, low = self.value(torch.cat([u.unsqueeze(0), ahead, behind])).split([1, len(ahead), len(behind)])
        return (high - low).squeeze(-1).movedim(0, -1) / (2 * self._box[2]), own.squeeze(0)

    def _beside(self, u: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """u + ε and u - ε along each of the ``seeds (C, m)``, ``(C, ..., B, m)``; unless given those for H_uu."""
        low, high, away = self._box
        middle = u.maximum(low + away).minimum(high - away)
        if seeds is None:
            seeds = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
            seeds = seeds.unflatten(0, (-1, self.block)).sum(0) if self._together else seeds
        step = (seeds * away).reshape(-1, *[1] * (u.ndim - 1), u.shape[-1])
        return middle + step, middle - step

    @property
    def _box(self) -> tuple[Tensor, Tensor, Tensor]:
        """The bounds of each control, and its ε: a share of its range."""
        low, high = self.problem.control_bounds(self.z)
        return low, high, torch.finfo(low.dtype).eps ** (1 / 3) * (high - low)

    def _bend(self, ahead: Tensor, behind: Tensor) -> Tensor:
        """H_uu from the slopes at ``_beside``."""
        size = self.block
        columns = ((ahead - behind) / 2).unflatten(-1, (-1, size)).movedim(0, -1)
        if not self._together:  # of the columns of each block, the block's own
            columns = columns.unflatten(-1, (-1, size)).diagonal(dim1=-4, dim2=-2).movedim(-1, -3)
        bend = columns / self._box[2].unflatten(-1, (-1, 1, size))
        return 0.5 * (bend + bend.mT)

    @property
    def _together(self) -> bool:
        """Whether each block of controls has an agent of its own: then all blocks are varied at once."""
        problem = self.problem
        return problem.state_dim // problem.state_block == problem.control_dim // self.block

    @property
    def ahead(self) -> Section:
        """phi(t + dt, ·), of the expansion that speaks at (t, z); ``held_hamiltonian`` finds it once."""
        if self.section is not None:
            return self.section
        member = self.phi.speaker(self.t, self.z.detach()) if self.member is None else self.member
        return section(self.phi, self.t + self.dt, self.z, member)

    @property
    def tables(self) -> tuple[Tensor, ...]:
        """What ``ahead`` is made of."""
        return self.ahead.tables

    def _step(self, u: Tensor, slopes: bool = True) -> HeldStep:
        """The control step under ``u (.., B, m)``: in closed form if there is one, else by ``advance`` and the tape."""
        own = self.problem.held_step(self.t, self.z, u, self.dt)
        if own is not None:
            return own
        t, z, lead = self.t, self.z, u.shape[:-1]
        if u.ndim > 2:
            t = t if t.ndim == 0 else t.expand(lead).reshape(-1)
            z = z.expand(*lead, -1).flatten(0, -2)
        flat = u.flatten(0, -2)
        if not slopes:
            after, cost = advance(self.problem, t, z, flat, self.dt)
            return HeldStep(after.reshape(*lead, z.shape[-1]), cost.reshape(lead), lambda p: p)
        (after, cost), pull = _pulled(lambda v: advance(self.problem, t, z, v, self.dt), flat)

        def back(p: Tensor) -> Tensor:
            return pull((p.reshape(after.shape), torch.ones_like(cost)))[0].reshape(u.shape)

        return HeldStep(after.reshape(*lead, z.shape[-1]), cost.reshape(lead), back)


def held_hamiltonian(
    problem: Problem,
    phi: Value,
    t: Tensor,
    z: Tensor,
    dt: float | Tensor,
    whole: bool = False,
    member: Tensor | None = None,
) -> HeldHamiltonian:
    """H_dt at (t, z), of the expansion that speaks there, ``member`` if given: one for every u, lest H_dt jump."""
    member = phi.speaker(t, z.detach()) if member is None else member
    h = HeldHamiltonian(problem, phi, t, z, dt, whole, member)
    return dataclasses.replace(h, section=h.ahead)


def _pulled(step: Callable[[Tensor], Pair], u: Tensor) -> tuple[Pair, Callable[[Pair], tuple[Tensor, ...]]]:
    """step(u), and what pulls a covector back through it: ``torch.func``, or the tape, which is quicker, where no more
    derivatives are wanted."""
    if torch.is_grad_enabled() or not host_may_look(u):
        return torch.func.vjp(step, u)[:2]
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        after, cost = step(u)
        after, cost = after + 0.0 * u.sum(-1, keepdim=True), cost + 0.0 * u.sum(-1)  # a cost may be free of all
    return (after.detach(), cost.detach()), lambda p: torch.autograd.grad((after, cost), u, p)
