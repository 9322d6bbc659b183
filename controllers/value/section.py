"""phi at one time: z -> phi(t, z) and its gradient, for what asks at many states and one time, as argmax H_dt does."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from .agents import AgentTerms

if TYPE_CHECKING:
    from .kept import Value


class Section(Protocol):
    """phi(t, ·) for states ``(.., B, n)``; the member that speaks, if there are several, is that of the B rows."""

    def value(self, z: Tensor) -> Tensor:
        """phi, ``(.., B)``."""

    def gradient(self, z: Tensor) -> Tensor:
        """∇_z phi, ``(.., B, n)``."""

    def both(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The two."""

    @property
    def tables(self) -> tuple[Tensor, ...]:
        """The tensors that it is made of, weights left out."""

    def over(self, tables: tuple[Tensor, ...]) -> Section:
        """The same made of others."""


def section(phi: Value, t: Tensor, z: Tensor, member: Tensor | None) -> Section:
    """phi(t, ·), of the member that speaks at ``z (B, n)`` unless given: phi's own, or phi asked each time."""
    own = getattr(phi, "section", None)
    made: Section = Asked(phi, t, member) if own is None else own(t, z, member)
    return made


@dataclasses.dataclass(frozen=True)
class Asked:
    """The section of any value function, which is asked anew each time; t is ``()`` or ``(B,)``."""

    phi: Value
    t: Tensor
    member: Tensor | None

    def value(self, z: Tensor) -> Tensor:
        found: Tensor = self.phi(*self._rows(z))
        return found.reshape(z.shape[:-1])

    def gradient(self, z: Tensor) -> Tensor:
        return self.phi.gradient(*self._rows(z))[1].reshape(z.shape)

    def both(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.value(z), self.gradient(z)

    @property
    def tables(self) -> tuple[Tensor, ...]:
        return (self.t,) if self.member is None else (self.t, self.member)

    def over(self, tables: tuple[Tensor, ...]) -> Section:
        return Asked(self.phi, tables[0], None if self.member is None else tables[1])

    def _rows(self, z: Tensor) -> tuple[Tensor, ...]:
        """t, z and the member with the leading axes as one."""
        flat = z.flatten(0, -2)
        t = self.t if self.t.ndim == 0 else self.t.expand(z.shape[:-1]).reshape(-1)
        copies = len(flat) // max(z.shape[-2], 1)
        return (
            (t, flat) if self.member is None else (t, flat, self.member.repeat(copies, *[1] * (self.member.ndim - 1)))
        )


@dataclasses.dataclass(frozen=True)
class ExpandedSection:
    """V + p·d + ½ Σ_i |s_i|² + Σ_i N_i(s_i, τ), d = z - z̄, s_i = L_iᵀ d_i: the tables of one time and member at hand.

    Attributes:
        level, state, costate, root: V ``(B,)``, z̄ ``(B, n)``, p ``(B, n)``, L ``(B, N, b, b)``; or one row for all.
        tau: ``(1, 1, 1)`` or ``(B, 1, 1)``, the time as the network sees it.
        order: ``(B, N, 1)``, which agent plays each role; ``None``: each its own.
        network: N_i, if there are any.
    """

    level: Tensor
    state: Tensor
    costate: Tensor
    root: Tensor
    tau: Tensor
    order: Tensor | None
    network: nn.Module | None

    def value(self, z: Tensor) -> Tensor:
        d, s = self.natural(z)
        energy = self._energy(d, s)
        return energy if self.network is None else energy + self.network(self.inputs(s)).reshape(energy.shape)

    def gradient(self, z: Tensor) -> Tensor:
        _, s = self.natural(z)
        return self._slope(s, None if self.network is None else self._terms.gradient(self.inputs(s))[0])

    def both(self, z: Tensor) -> tuple[Tensor, Tensor]:
        d, s = self.natural(z)
        energy = self._energy(d, s)
        if self.network is None:
            return energy, self._slope(s, None)
        own, slope = self._terms.both(self.inputs(s))
        return energy + own.reshape(energy.shape), self._slope(s, slope)

    @property
    def tables(self) -> tuple[Tensor, ...]:
        found = self.level, self.state, self.costate, self.root, self.tau
        return found if self.order is None else (*found, self.order)

    def over(self, tables: tuple[Tensor, ...]) -> Section:
        level, state, costate, root, tau, *order = tables
        return ExpandedSection(level, state, costate, root, tau, order[0] if order else None, self.network)

    @property
    def _terms(self) -> AgentTerms:
        assert isinstance(self.network, AgentTerms)
        return self.network

    def natural(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """d ``(.., B, n)`` and s ``(.., B, N, b)``, in the order of the roles."""
        d = (z if self.order is None else self._moved(z, self.order)) - self.state
        return d, (d.unflatten(-1, (-1, self.root.shape[-1], 1)) * self.root).sum(-2)

    def _energy(self, d: Tensor, s: Tensor) -> Tensor:
        return self.level + (self.costate * d).sum(-1) + 0.5 * (s * s).sum((-2, -1))

    def _slope(self, s: Tensor, own: Tensor | None) -> Tensor:
        """∇phi from s and the slopes ``own (N, .. B, b + 1)`` of the network."""
        slope = s if own is None else s + own.narrow(-1, 0, s.shape[-1]).movedim(0, 1).reshape(s.shape)
        p = self.costate + (self.root * slope.unsqueeze(-2)).sum(-1).flatten(-2)
        return p if self.order is None else self._moved(p, self.order.argsort(-2))

    def inputs(self, s: Tensor) -> Tensor:
        """Of each N_i, ``(N, .. B, b + 1)``: s_i and τ."""
        return torch.cat([s, self.tau.expand(*s.shape[:-1], 1)], -1).flatten(0, -3).movedim(1, 0)

    def _moved(self, x: Tensor, order: Tensor) -> Tensor:
        """The agents of ``x (.., B, n)`` in another order."""
        agents = x.unflatten(-1, (-1, self.root.shape[-1]))
        return agents.gather(-2, order.expand(agents.shape)).flatten(-2)
