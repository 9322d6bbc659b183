"""What a solver of open-loop optima answers."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...envs.integrate import Trajectory


@dataclasses.dataclass(frozen=True)
class ReferenceTrajectory(Trajectory):
    """Open-loop optima, float64 on the CPU; ``z`` and the costs are those of ``u`` flown by ``rollout``.

    Attributes:
        converged: ``(B,)`` bool: the solver met its tolerance and ``rollout`` agrees on the cost. Where it is false
            the cost is still that of an admissible control, or NaN.
        status: B words: the solver's, or what else went wrong.
        costate: ``(K + 1, B, n)``, p = ∂J/∂z along the optimum: p(T) = ∇G(z(T)).
        seconds: ``(B,)`` time of each solve, without building the problem.
    """

    converged: Tensor
    status: tuple[str, ...]
    costate: Tensor
    seconds: Tensor

    @property
    def optimum(self) -> Tensor:
        """``(B,)`` the cost where the solve converged, else nan: an aborted one says nothing of the optimum."""
        return torch.where(self.converged, self.cost, torch.nan)

    def rows(self, index: Tensor) -> ReferenceTrajectory:
        """Those of the optima."""
        tables = {k: v.index_select(v.ndim // 2, index) for k, v in vars(self).items() if k not in ("t", "status")}
        return ReferenceTrajectory(t=self.t, status=tuple(self.status[i] for i in index.tolist()), **tables)

    def joined(self, other: ReferenceTrajectory) -> ReferenceTrajectory:
        """The optima of both."""
        tables = {
            k: torch.cat([v, getattr(other, k)], v.ndim // 2) for k, v in vars(self).items() if k not in ("t", "status")
        }
        return ReferenceTrajectory(t=self.t, status=self.status + other.status, **tables)

    def replaced(self, index: Tensor, part: ReferenceTrajectory) -> ReferenceTrajectory:
        """All of them, with ``part`` in the place of those."""
        tables = {
            k: v.index_copy(v.ndim // 2, index, getattr(part, k).to(v))
            for k, v in vars(self).items() if k not in ("t", "status")
        }  # fmt: skip
        status = list(self.status)
        for i, word in zip(index.tolist(), part.status, strict=True):
            status[i] = word
        return ReferenceTrajectory(t=self.t, status=tuple(status), **tables)


def cheaper(one: ReferenceTrajectory, other: ReferenceTrajectory) -> ReferenceTrajectory:
    """Of two optima from each state the cheaper; one that has not converged gives way to one that has."""
    rank_one, rank_other = (torch.where(x.converged, x.cost, torch.inf) for x in (one, other))
    first = rank_one <= rank_other
    tables = {}
    for name in vars(one).keys() - {"t", "status"}:
        x = getattr(one, name)  # the states are the only axis, or the middle one of three
        tables[name] = torch.where(first.unsqueeze(-1) if x.ndim == 3 else first, x, getattr(other, name))
    status = tuple(a if f else b for f, a, b in zip(first.tolist(), one.status, other.status, strict=True))
    return ReferenceTrajectory(t=one.t, status=status, **tables)
