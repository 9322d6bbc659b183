"""Paths under the converged feedback law in float64, dJ/du_k along them, and what the weights do to ∇_u H."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ...controllers.operators import Operator, ProjectedNewton, held
from ...controllers.policy import ImplicitPolicy
from ...controllers.search import Gradient
from ...controllers.value import Value
from ...envs.integrate import advance
from ...envs.problem import Problem, check_finite
from .law import Law

ITERATIONS, TOLERANCE = 100, 1e-12
"""Of projected Newton, for u* in float64."""
ROWS = 64
"""Rows of a Jacobian with respect to the weights that are differentiated at once, for the memory's sake."""


@dataclasses.dataclass(frozen=True, eq=False)
class Flight:
    """Paths from B states in K steps; everything float64. H is H_dt where the law is that of the held control.

    Attributes:
        law: what is maximised, with phi_theta.
        weights: those on which ∇_u H depends: θ.
        t: ``(K,)`` times at which a control is chosen.
        z: ``(K, B, n)`` states then.
        u: ``(K, B, m)`` u*.
        slope: ``(K, B, m)`` ∇_u H at u*: 0 but for rounding on the free controls.
        free: ``(K, B, m)`` controls that no active bound holds.
        residual: ``(K, B)`` relative argmax residual.
        hamiltonian, hjb: ``(K, B)`` max_u H and ∂_t phi - max_u H, or what Bellman's equation has: ``Law.balance``.
        end: ``(B, n)`` z(T).
        cost: ``(B,)`` J.
    """

    law: Law
    weights: list[Tensor]
    t: Tensor
    z: Tensor
    u: Tensor
    slope: Tensor
    free: Tensor
    residual: Tensor
    hamiltonian: Tensor
    hjb: Tensor
    end: Tensor
    cost: Tensor

    @property
    def problem(self) -> Problem:
        return self.law.problem

    @property
    def value(self) -> Value:
        return self.law.value


def fly(policy: ImplicitPolicy, z0: Tensor) -> Flight:
    """Fly u*(t, z) of the policy's value function from ``z0 (B, n)``; the policy itself is left as it is.

    Raises:
        ValueError: on bad states, a cost that is not finite, or a value function without weights.
    """
    problem = policy.problem
    law = Law.of(policy)
    z = z0.to(law.value.scale.device, torch.float64)
    times = torch.arange(problem.steps, dtype=z.dtype, device=z.device) * problem.time_step
    box, cost = problem.control_bounds(z), z.new_zeros(len(z))
    rows = []
    with torch.no_grad():
        for t in times.unbind():
            found = law.solve(t, z, ProjectedNewton(), ITERATIONS, TOLERANCE)
            u, slope = found.control, law.at(t, z).gradient(found.control)
            after, spent = advance(problem, t, z, u, problem.time_step)
            rows.append((z, u, slope, ~held(u, slope, box), found.residual, *law.balance(t, z, u, after, spent)))
            z, cost = after, cost + spent
        cost = cost + problem.terminal_cost(z)
    check_finite("the cost", cost)
    states, u, slope, free, residual, top, hjb = (torch.stack(column) for column in zip(*rows, strict=True))
    weights = _weights(law, times, states, u)
    return Flight(law, weights, times, states, u, slope, free, residual, top, hjb, z, cost)


def _weights(law: Law, t: Tensor, z: Tensor, u: Tensor) -> list[Tensor]:
    """The parameters that ∇_u H depends on; a constant in phi, say, is none of them."""
    given = [weight.requires_grad_() for weight in law.value.parameters() if weight.numel()]
    slope = law.at(t[:1], z[0, :1]).gradient(u[0, :1])
    touched = torch.autograd.grad(slope.sum(), given, allow_unused=True) if given else ()
    used = [weight for weight, slope_of in zip(given, touched, strict=True) if slope_of is not None]
    if not used:
        raise ValueError("no weight of the value function has an influence on ∇_u H; expected a trainable one")
    return used


def adjoint(flight: Flight, operator: Operator, gradient: Gradient) -> Tensor:
    """g_k = dJ/du_k with the feedback downstream differentiated as ``gradient`` says, ``(K, B, m)``.

    It is dt (∇_u L + f_uᵀ p_x) of eq. 8 in the discretisation of the rollout; dt is in it. With ``"implicit"`` p_x is
    the adjoint of the closed loop, and eq. 7 is exact.
    """
    problem, z = flight.problem, flight.z[0].clone().requires_grad_()
    cost, controls = z.new_zeros(len(z)), []
    for t, found in zip(flight.t, flight.u, strict=True):
        # the value is ``found``: at this tolerance nothing is iterated
        u = flight.law.solve(t, z, operator, 1, math.inf, gradient, found).control
        controls.append(u)
        z, spent = advance(problem, t, z, u, problem.time_step)
        cost = cost + spent
    total = (cost + problem.terminal_cost(z)).sum()
    return torch.stack(torch.autograd.grad(total, controls))


def pull_back(flight: Flight, c: Tensor) -> Tensor:
    """Σ_k (∂∇_u H_k / ∂θ)ᵀ c_k for ``c (K, B, m)``, by sample: ``(B, P)``."""
    rows = []
    for b in range(c.shape[1]):
        slope = flight.law.at(flight.t, flight.z[:, b]).gradient(flight.u[:, b])
        rows.append(_flat(torch.autograd.grad((slope * c[:, b]).sum(), flight.weights), 0))
    return torch.stack(rows)


def slope_jacobian(flight: Flight, k: int, b: int) -> Tensor:
    """∂∇_u H/∂θ at step k of sample b, rows of the free controls only: ``(free, P)``."""
    slope = flight.law.at(flight.t[k : k + 1], flight.z[k, b : b + 1]).gradient(flight.u[k, b : b + 1])[0]
    rows = torch.diag(torch.ones_like(slope))[flight.free[k, b]]
    parts = [
        _flat(torch.autograd.grad(slope, flight.weights, some, retain_graph=True, is_grads_batched=True), 1)
        for some in rows.split(ROWS)
        if len(some)
    ]
    return torch.cat(parts) if parts else rows.new_zeros(0, sum(w.numel() for w in flight.weights))


def _flat(parts: tuple[Tensor, ...], lead: int) -> Tensor:
    return torch.cat([part.flatten(lead) for part in parts], lead)
