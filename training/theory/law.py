"""What a policy maximises, in float64: the Hamiltonian of the slides, or that of the control as it is held."""

from __future__ import annotations

import copy
import dataclasses

from torch import Tensor

from ...controllers.argmax import Solution, solve_argmax
from ...controllers.hamiltonian import control_hamiltonian, hamiltonian
from ...controllers.held import held_hamiltonian
from ...controllers.held_argmax import solve_held_argmax
from ...controllers.operators import Operator
from ...controllers.policy import Hamiltonian, ImplicitPolicy
from ...controllers.search import Gradient, Starts
from ...controllers.value import Value
from ...envs.problem import ControlHamiltonian, Problem


@dataclasses.dataclass(frozen=True, eq=False)
class Law:
    """u*(t, z) = argmax_u H(t, z, ∇phi, u), or argmax_u H_dt(t, z, phi, u).

    Attributes:
        problem: what is controlled.
        value: phi_theta, a float64 copy.
        kind: which Hamiltonian.
        starts: of the continuous search.
    """

    problem: Problem
    value: Value
    kind: Hamiltonian = "continuous"
    starts: Starts = "single"

    @classmethod
    def of(cls, policy: ImplicitPolicy) -> Law:
        """That of a policy, which is left as it is."""
        return cls(policy.problem, copy.deepcopy(policy.value).double(), policy.hamiltonian, policy.starts)

    @property
    def block(self) -> int:
        """Size of the blocks of controls over which H separates; H_dt, with phi inside, does not: all are one block."""
        return self.problem.control_dim if self.kind == "held" else self.problem.control_block

    def at(self, t: Tensor, z: Tensor, whole: bool = False) -> ControlHamiltonian:
        """u -> H at (t, z). H_dt has the blocks of H_uu that T uses, or, ``whole``, its true one."""
        if self.kind == "held":
            return held_hamiltonian(self.problem, self.value, t, z, self.problem.time_step, whole)
        return control_hamiltonian(self.problem, t, z, self.value.gradient(t, z)[1])

    def solve(
        self, t: Tensor, z: Tensor, operator: Operator, max_iterations: int, tolerance: float,
        gradient: Gradient = "jfb", u0: Tensor | None = None,
    ) -> Solution:  # fmt: skip
        """u*, ``(B, m)``, by ``operator``."""
        if self.kind == "held":
            return solve_held_argmax(
                self.problem, self.value, t, z, operator=operator, gradient=gradient, u0=u0,
                max_iterations=max_iterations, tolerance=tolerance,
            )  # fmt: skip
        return solve_argmax(
            self.problem, t, z, self.value.gradient(t, z)[1], operator=operator, gradient=gradient, u0=u0,
            max_iterations=max_iterations, tolerance=tolerance, starts=self.starts if u0 is None else "single",
        )  # fmt: skip

    def balance(self, t: Tensor, z: Tensor, u: Tensor, after: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
        """One side of phi's equation at u*, and its residual, each ``(B,)``, in the unit of L.

        max_u H and ∂_t phi - max_u H (Hamilton-Jacobi-Bellman); of the step that was flown, from z to ``after`` at
        ``cost``, -cost / dt and (phi(t + dt, after) - phi(t, z) + cost) / dt (Bellman), whose limits they are.
        """
        if self.kind == "held":
            dt = self.problem.time_step
            return -cost / dt, (self.value(t + dt, after) - self.value(t, z) + cost) / dt
        slope_t, p = self.value.gradient(t, z)
        top = hamiltonian(self.problem, t, z, p, u)
        return top, slope_t - top
