"""H as it is derived from f and L, for a search that is compiled in parts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ..controllers.hamiltonian import DerivedHamiltonian
from ..controllers.operators import slope_scale
from ..controllers.value import Value
from ..envs.compiling import compiled
from ..envs.problem import Problem
from .split_step import Penalty


@dataclasses.dataclass(frozen=True)
class Derived:
    """H(t, z, ∇phi, u). The costate is found once; ``penalty(t, z, ∂_t phi, p, u)`` is the rate of the penalties."""

    problem: Problem
    value: Value
    penalty: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]

    @property
    def device(self) -> torch.device:
        return self.value.scale.device

    @property
    def block(self) -> int:
        return self.problem.control_block

    @functools.cached_property
    def _costate(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        def costate(t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            p = self.value.gradient(t, z)[1]
            h = DerivedHamiltonian(self.problem, t, z, p)
            return p, slope_scale(h, h.start())

        return compiled(costate, self.device)

    def known(self, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._costate(t, z)

    def fixed(self, t: Tensor, z: Tensor, dt: Tensor, known: tuple[Tensor, Tensor]) -> DerivedHamiltonian:
        return DerivedHamiltonian(self.problem, t, z, known[0])

    def scale(self, known: tuple[Tensor, Tensor]) -> Tensor:
        return known[1]

    def tracked(
        self, t: Tensor, z: Tensor, dt: Tensor, known: tuple[Tensor, Tensor]
    ) -> tuple[DerivedHamiltonian, Penalty]:
        slope_t, p = self.value.gradient(t, z)
        return DerivedHamiltonian(self.problem, t, z, p), lambda u: self.penalty(t, z, slope_t, p, u)
