"""The ways to differentiate the argmax, crossed with the ways to compute it: what compare-gradients compares."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ...controllers.argmax import Solution, solve_argmax
from ...controllers.held_argmax import solve_held_argmax
from ...controllers.policy import Hamiltonian
from ...controllers.search import Gradient
from ...controllers.value import Value
from ...envs.problem import Problem
from ..config import TrainConfig

Kind = Literal["newton", "ascent", "anderson"]
KINDS: tuple[Kind, ...] = ("newton", "ascent", "anderson")
GRADIENTS: tuple[Gradient, ...] = ("jfb", "implicit", "unroll")
MEMORY = 5
"""Past iterates of the accelerated ascent."""


class Variant(NamedTuple):
    """One cell of the comparison: how u* is searched, for how long, and how it is differentiated."""

    kind: Kind
    gradient: Gradient
    iterations: int
    jfb_steps: int = 1

    @property
    def label(self) -> str:
        """``jfb-4 + ascent``: the gradient, with the tracked applications where they are not 1, and the search."""
        return f"{self.gradient}{f'-{self.jfb_steps}' if self.jfb_steps > 1 else ''} + {self.kind}"

    def config(self, base: TrainConfig, step_size: float, tolerance: float = 0.0, compile: bool = False) -> TrainConfig:
        """``base`` with this way of search and differentiation; tolerance 0 runs every iteration."""
        return dataclasses.replace(
            base, operator="newton" if self.kind == "newton" else "ascent", step_size=step_size, gradient=self.gradient,
            memory=MEMORY if self.kind == "anderson" else 0, argmax_iterations=self.iterations,
            jfb_steps=self.jfb_steps, argmax_tolerance=tolerance, compile=compile,
        )  # fmt: skip

    def solve(self, problem: Problem, at: Samples, step_size: float, tolerance: float = 0.0) -> Solution:
        """The argmax this way, every iteration run unless a tolerance is given."""
        operator = self.config(TrainConfig(), step_size).make_operator()
        if at.phi is not None:
            return solve_held_argmax(
                problem, at.phi, at.t, at.z, operator=operator, gradient=self.gradient,
                max_iterations=self.iterations, tolerance=tolerance, jfb_steps=self.jfb_steps,
            )  # fmt: skip
        return solve_argmax(
            problem, at.t, at.z, at.p, operator=operator, gradient=self.gradient,
            max_iterations=self.iterations, tolerance=tolerance, jfb_steps=self.jfb_steps,
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {"label": self.label, **self._asdict()}


def exact_config(base: TrainConfig) -> TrainConfig:
    """The exact derivative: implicit differentiation of an argmax that has converged."""
    return dataclasses.replace(
        base, operator="newton", backtracks=8, gradient="implicit", argmax_iterations=40, argmax_tolerance=1e-11,
        compile=False,
    )  # fmt: skip


class Samples(NamedTuple):
    """Where the argmax is looked at: times ``(B,)``, states and costates ``(B, n)``, converged controls ``(B, m)``.

    ``phi`` is the value function where the Hamiltonian is that of the held control.
    """

    t: Tensor
    z: Tensor
    p: Tensor
    u: Tensor
    phi: Value | None = None

    @torch.no_grad()
    def curvature(self, problem: Problem) -> Tensor:
        """Eigenvalues of -H_uu on the free controls, block by block, flat: what the rate of an ascent depends on."""
        from ...controllers.hamiltonian import control_hamiltonian
        from ...controllers.held import held_hamiltonian
        from ...controllers.operators import held
        from .contraction import free_curvature

        h = control_hamiltonian(problem, self.t, self.z, self.p)
        if self.phi is not None:
            h = held_hamiltonian(problem, self.phi, self.t, self.z, problem.time_step, whole=True)
        free = ~held(self.u, h.gradient(self.u), problem.control_bounds(self.z))
        values = free_curvature(-h.hessian(self.u), free)
        return values[values.isfinite()]


@torch.no_grad()
def samples_along_flights(
    problem: Problem, value: Value, z0: Tensor, every: int = 8, hamiltonian: Hamiltonian = "continuous"
) -> Samples:
    """Every ``every``-th (t, z, p, u*) of flights under the argmax by Newton, from ``z0``, flattened over the batch."""
    from ...controllers.policy import ImplicitPolicy
    from ...envs.integrate import rollout

    z0 = z0.to(value.scale)
    path = rollout(problem, ImplicitPolicy(problem, value, max_iterations=20, hamiltonian=hamiltonian), z0)
    rows = range(0, problem.steps, every)
    t = torch.cat([path.t[k].expand(len(z0)) for k in rows])
    z, u = torch.cat([path.z[k] for k in rows]), torch.cat([path.u[k] for k in rows])
    return Samples(t, z, value.gradient(t, z)[1], u, value if hamiltonian == "held" else None)


def steady_step(problem: Problem, samples: Samples) -> float:
    """α = 1/λ for λ the 99.9th percentile of the curvature of -H: the largest with which ascent is monotone there."""
    curvature = samples.curvature(problem)
    steep = curvature[curvature > 0]
    if not len(steep):
        raise ValueError("H has no curvature in u along these flights: no step size of the ascent converges there")
    return float(1 / torch.quantile(steep.double(), 0.999))
