"""Where the next search for an argmax begins: where it would by itself, and as far beside that as the last answers."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .argmax import Solution

NEAR = 1e-3
"""Largest residual of an answer from which the next search goes on."""


@dataclasses.dataclass(frozen=True)
class Carried:
    """How far the last two answers lay from where their searches would have begun by themselves.

    A search begins at a guess that knows the state: a closed form, or the feedback along an optimum. What the guess
    misses changes slowly along a flight, far more slowly than the control, so that the next search begins at

        u_0 = start(t, z) + 2 miss_{k-1} - miss_{k-2},   miss_k = u*_k - start(t_k, z_k)

    Where a guess is right to rounding there is nothing to be gained, and a little may be lost.

    Attributes:
        misses: ``(B, 2, m)``, the last first; nan where there is none.
    """

    misses: Tensor

    @classmethod
    def none(cls, u: Tensor) -> Carried:
        """Of rows that begin, for controls like ``u (B, m)``."""
        return cls(torch.full_like(u, torch.nan).unsqueeze(1).repeat(1, 2, 1))

    @classmethod
    def of(cls, table: Tensor, u: Tensor, begins: Tensor | None) -> Carried:
        """From ``misses`` as they were remembered, for controls like ``u``; those that ``begins (B,)`` names have none.

        Raises:
            ValueError: if that is no memory of such controls.
        """
        if begins is not None and bool(begins.all()):
            return cls.none(u)
        if table.shape != (len(u), 2, u.shape[-1]):
            raise ValueError(
                f"the state remembers an array {tuple(table.shape)} of controls; expected {(len(u), 2, u.shape[-1])}, "
                "what the last call of this policy returned"
            )
        return cls(table.to(u)).over(torch.zeros_like(u[:, 0], dtype=torch.bool) if begins is None else begins)

    def over(self, begins: Tensor) -> Carried:
        """With none of the rows that begin, ``(B,)``."""
        return Carried(torch.where(begins[:, None, None], torch.nan, self.misses))

    @property
    def ahead(self) -> Tensor:
        """What is expected of the next miss, ``(B, m)``: as the last two have it, or the last alone, or 0."""
        last, before = self.misses.unbind(1)
        return torch.where(before.isfinite(), 2 * last - before, last).nan_to_num(0.0, 0.0, 0.0)

    def then(self, start: Tensor, found: Solution) -> Carried:
        """With the miss of ``start`` that ``found`` shows; of what was not found there is none.

        Where the search had nothing to do, what was expected was not put to the test, and is not carried any further.
        """
        miss = torch.where((found.residual <= NEAR).unsqueeze(-1), found.control - start, torch.nan)
        untested = (found.iterations == 0).unsqueeze(-1)
        return Carried(torch.stack([miss, torch.where(untested, miss, self.misses[:, 0])], 1))
