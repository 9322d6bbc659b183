"""phi as what it costs to fly on: the cheapest of the flights along many optima."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.fields import whole
from ...envs.problem import Problem
from ..optimum import AgentExpansion
from .expanded import ExpandedValue
from .flights import flown, remaining
from .plans import planned
from .section import Asked, Section


class FlownValue(ExpandedValue):
    """phi(t, z) = min_j J_j(t, z), J_j what the feedback along optimum j costs from z at t to the end: flown, exact.

    No promise of an expansion has to be believed: phi is the cost of a flight that can be had, so it is never below the
    value function, and equal to it at the optima. Its gradient is the adjoint of the cheapest flight. What argmax H_dt
    makes of it, at each step anew, is one step of policy improvement: never dearer than phi(0, z), and where the
    feedback is off the optimum by ε, the argmax is so by higher powers of ε (Bertsekas, Tsitsiklis and Wu 1997, rollout
    algorithms; Howard 1960). H_uu needs no flight: the expansion's will do (``promise``), since H_dt is searched.

    argmax H_dt leaves all later controls to the feedback. ``sweeps`` of differential dynamic programming about the
    cheapest flight improve on every one of them; the feedback is then the first control of what they lead to: Newton's
    step for the whole flight, most of the way where all is smooth, and none of it where controls jump.

    Args:
        problem: as for ``ExpandedValue``, with dynamics and costs that can be differentiated, twice with ``sweeps``.
        expansion: about which optima.
        sweeps: of the cheapest flight before the feedback answers; phi is what it costs without them.
    """

    def __init__(self, problem: Problem, expansion: AgentExpansion, sweeps: int = 0) -> None:
        super().__init__(problem, expansion)
        self.sweeps = whole(sweeps, "sweeps", 0)
        self.config |= {"flights": self.config["expanded"], "sweeps": self.sweeps}

    @property
    def promise(self) -> ExpandedValue:
        """min_j E_j, of the same tables: where no flight is worth its time."""
        plain = ExpandedValue.__new__(ExpandedValue)
        plain.__dict__ = self.__dict__
        return plain

    def forward(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> Tensor:
        """phi(t, z), ``(B,)``; ``member`` as in ``ExpandedValue``; inf where the flight is not finite."""
        cost = remaining(self.problem, self, t, z, self._who(t, z, member))
        return cost.nan_to_num(torch.inf, torch.inf)

    def section(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> Section:
        """phi(t, ·) along the member that speaks at ``z``, unless given: flown when it is asked for."""
        return Asked(self, torch.as_tensor(t, dtype=z.dtype, device=z.device), self._who(t, z, member))

    def gradient(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(∂_t phi, ∇_z phi)``: the second is the adjoint of the flight, the first -(L + fᵀ∇phi) at its control.

        The first is that of a control which is not held: exact as dt -> 0.
        """
        who, tracked = self._who(t, z, member), torch.is_grad_enabled() and z.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            x = z if tracked else z.detach().clone().requires_grad_()
            at = torch.as_tensor(t, dtype=z.dtype, device=z.device).clone()
            cost = remaining(self.problem, self, at, x, who.clone()) + 0.0 * x.sum(-1)  # where G is free of z
            (p,) = torch.autograd.grad(cost.sum(), x, create_graph=tracked)
        p = p.nan_to_num(0.0, 0.0, 0.0)
        t, u = torch.as_tensor(t, dtype=z.dtype, device=z.device), self.feedback(t, z, who)
        flow = (p * self.problem.dynamics(t, z, u)).sum(-1)
        return -(self.problem.running_cost(t, z, u) + flow), p

    def feedback(self, t: Tensor | float, z: Tensor, member: Tensor | None = None) -> Tensor:
        """That of the cheapest member, or, after ``sweeps``, the first control of its flight: then without gradient."""
        who = self._who(t, z, member)
        if not self.sweeps:
            return super().feedback(t, z, who)
        begins = self._step(*self._row(t, z)).expand(len(z))
        u = z.new_empty(len(z), self.control.shape[-1])
        for k in begins.unique().tolist():
            at = (begins == k).nonzero().ravel()
            plan = planned(self.problem, self, k, z.detach()[at], who[at].unsqueeze(1), self.sweeps)
            u[at] = plan.control[:, k]
        return u

    def _who(self, t: Tensor | float, z: Tensor, member: Tensor | None) -> Tensor:
        """Who flies: ``member``, or ``speaker``."""
        who = self.speaker(t, z) if member is None else member
        return torch.zeros(len(z), dtype=torch.long, device=z.device) if who is None else who

    def foremost(self, t: Tensor | float, z: Tensor, count: int) -> Tensor:
        """The members, so many, whose flights from (t, z) cost least, ``(B, count, ..)``, the cheapest first."""
        return self._foremost(*self._row(t, z), z.detach(), count)

    def _foremost(self, row: Tensor, share: Tensor, z: Tensor, count: int) -> Tensor:
        every = self._cast(row, share, z)
        if every.shape[1] == 1:
            return every
        t = ((row + share) / self._pace).squeeze()
        cost = flown(self.problem, self, t, z, every)
        best = cost.topk(min(count, cost.shape[1]), largest=False).indices
        return every[torch.arange(len(z), device=z.device).unsqueeze(1), best]

    def _speaker(self, row: Tensor, share: Tensor, z: Tensor) -> Tensor:
        """The member whose flight costs least."""
        return self._foremost(row, share, z, 1).squeeze(1)
