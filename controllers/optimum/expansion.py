"""The value function near an open-loop optimum, to second order: a Riccati sweep through the held-control steps."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from ..hamiltonian import control_hamiltonian
from ..operators import held
from .ipopt import ReferenceTrajectory
from .step_model import StepModel, riccati, step_model

RELUCTANCE = 30.0
"""How many times its own cost curvature a control held by a bound resists leaving it, in the sweep.

With ∞ (the bound stays active whatever the state) the curvature of V along that control grows far beyond what the
control, once it leaves the bound, would let it be; with 0 (no bound) the feedback counts on moves that are not
allowed. Measured on the quadrotor about one optimum, 128 states: between 20 and 40 the flights cost least.
"""


@dataclasses.dataclass(frozen=True)
class Expansion:
    """V(t_k, z) ≈ value + costate·(z - state) + ½ (z - state)ᵀ curvature (z - state) about N optima, float64.

    Attributes:
        value: ``(K + 1, N)`` cost to go.
        state, costate: ``(K + 1, N, n)``.
        curvature: ``(K + 1, N, n, n)``, symmetric.
        regularised: how many of the N K steps had a Q_uu that was not positive definite and was made so.
        gain: ``(K, N, m, n)``, of the held control: u ≈ u_k + gain (z - state). Not kept by what only plays P.
    """

    value: Tensor
    state: Tensor
    costate: Tensor
    curvature: Tensor
    regularised: int = 0
    gain: Tensor | None = None


Bounds: TypeAlias = tuple[Tensor, Tensor]


def joined(first: Expansion, second: Expansion) -> Expansion:
    """The expansions about the optima of both."""
    value, state, costate, curvature = (
        torch.cat([getattr(first, name), getattr(second, name)], 1)
        for name in ("value", "state", "costate", "curvature")
    )
    gain = None if first.gain is None or second.gain is None else torch.cat([first.gain, second.gain], 1)
    return Expansion(value, state, costate, curvature, first.regularised + second.regularised, gain)


def expand(
    problem: Problem, reference: ReferenceTrajectory, reluctance: float = RELUCTANCE, *, within: Bounds | None = None
) -> Expansion:
    """The second-order expansion of the value function about each optimum of ``reference``.

    Backwards from P_K = ∇²G, with ℓ_k and F_k = the step of ``envs.integrate.advance`` under a held control:

        Q = ∇²ℓ_k + (∇F_k)ᵀ P_{k+1} ∇F_k,   K_k = -Q_uu⁻¹ Q_uz,   P_k = Q_zz + Q_zu K_k

    where Q_uu has ``reluctance`` times its own entry of ∇²ℓ_k added for a control at an active bound. Last, p_k and
    P_k are moved by as little as makes argmax_u H(t_k, z, p_k + P_k (z - z_k), u), what a policy plays, equal to the
    optimal held control u_k + K_k (z - z_k) to first order: the control is held over a step, and answers to the mean
    costate of the step and not to that of its beginning. A bound that is active in the mean over a step is so in H.

    Args:
        problem: what the policy will fly.
        reference: the optima.
        reluctance: see above.
        within: the bounds of the reference, if tighter than the problem's. A control at one of those resists leaving
            it, and is what argmax_u H gives, although no bound of the problem's holds it there.

    Raises:
        ValueError: if an optimum has not converged, or does not fit the problem.
    """
    _check(problem, reference, reluctance)
    steps, dt = len(reference.u), problem.time_step
    z, u, p = reference.z.double(), reference.u.double(), reference.costate.double()
    flat = z[:-1].flatten(0, 1), u.flatten(0, 1)
    t = reference.t[:-1].double().repeat_interleave(z.shape[1])
    bounds = problem.control_bounds(u)
    step = step_model(problem, t, *flat, p[1:].flatten(0, 1), dt)
    slope, own = (x[:, problem.state_dim :] for x in (step.gradient, step.hessian.diagonal(dim1=-2, dim2=-1)))
    fixed, pressed = (_held(flat[1], slope, box) for box in (within or bounds, bounds))
    resistance = torch.where(fixed, reluctance * own.abs(), 0.0)
    ends = columns(torch.func.grad(lambda x: problem.terminal_cost(x).sum()), z[-1])
    along = (x.unflatten(0, (steps, -1)) for x in step._replace(gradient=torch.zeros_like(step.gradient)))
    nothing, free = torch.zeros_like(z), torch.ones_like(u, dtype=torch.bool)
    gains = riccati(StepModel(*along), nothing[1:], nothing[0], ends, free, resistance.view_as(u))
    point = (t, *flat, p[:-1].flatten(0, 1), gains.curvature[:-1].flatten(0, 1))
    played = _played(problem, point, gains.feedback.flatten(0, 1), torch.where(pressed, slope / dt, 0.0), ~pressed)
    p_table, p_slope = (
        torch.cat([x.unflatten(0, (steps, -1)), y[-1:]]) for x, y in zip(played, (p, gains.curvature), strict=True)
    )
    costs = advance(problem, t, *flat, dt)[1].unflatten(0, (steps, -1))
    costs = torch.cat([costs, problem.terminal_cost(z[-1]).unsqueeze(0)])
    if gains.regularised:
        logging.getLogger(__name__).info("Q_uu was made positive definite at %d steps", gains.regularised)
    return Expansion(costs.flip(0).cumsum(0).flip(0), z, p_table, p_slope, gains.regularised, gains.feedback)


def _check(problem: Problem, reference: ReferenceTrajectory, reluctance: float) -> None:
    if reference.z.shape[-1] != problem.state_dim or reference.u.shape[-1] != problem.control_dim:
        raise ValueError(
            f"the reference has {reference.z.shape[-1]} states and {reference.u.shape[-1]} controls; "
            f"{type(problem).__name__} has {problem.state_dim} and {problem.control_dim}"
        )
    if len(reference.u) != problem.steps:
        raise ValueError(f"the reference has {len(reference.u)} steps; the problem has {problem.steps}")
    if not reference.converged.all():
        bad = int((~reference.converged).nonzero()[0])
        raise ValueError(f"the reference with index {bad} has not converged: {reference.status[bad]}")
    if not reluctance >= 0:
        raise ValueError(f"reluctance is {reluctance!r}; expected a number >= 0")


def _held(u: Tensor, slope: Tensor, box: Bounds) -> Tensor:
    low, high = box
    near = 1e-6 * (high - low)  # an interior-point method leaves a control beside its bound
    beside = torch.where(u <= low + near, low, torch.where(u >= high - near, high, u))
    return held(beside, -slope, box)


def columns(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The Jacobian of a batched function, row by row independent: ``(K, d) -> (K, e)`` gives ``(K, e, d)``."""
    seeds = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return torch.stack([torch.func.jvp(function, (x,), (seed.expand_as(x),))[1] for seed in seeds], -1)


def _played(
    problem: Problem, point: tuple[Tensor, ...], gains: Tensor, push: Tensor, free: Tensor
) -> tuple[Tensor, Tensor]:
    """p and P with which ∇_u H(t, z, p + P δ, u + K δ) = -push to first order in δ, P symmetric, least norm.

    With S = -∇_u H = L_u + f_uᵀ p, affine in p:  S_p Δp = push - S,  S_p ΔP = -S_z - S_u K - S_p P,
    the second for the free controls alone: what pushes against a bound is left a margin.
    """
    t, z, u, p, curvature = point
    n, m = z.shape[-1], u.shape[-1]

    def stationarity(x: Tensor) -> Tensor:
        states, controls, costates = x.split([n, m, n], -1)
        return -control_hamiltonian(problem, t, states, costates).gradient(controls)

    by_p = columns(stationarity, torch.cat([z, u, p], -1))[..., n + m :]
    wanted = push - stationarity(torch.cat([z, u, p], -1))
    p = p + (torch.linalg.pinv(by_p) @ wanted.unsqueeze(-1)).squeeze(-1)
    by_z, by_u, _ = columns(stationarity, torch.cat([z, u, p], -1)).split([n, m, n], -1)
    left = torch.where(free.unsqueeze(-1), by_p, 0.0)
    right = torch.where(free.unsqueeze(-1), -by_z - by_u @ gains - by_p @ curvature, 0.0)
    inverse = torch.linalg.pinv(left)  # left ΔP = right has the solution inverse right + (1 - inverse left) (..)ᵀ
    half = inverse @ right
    inner = half @ (inverse @ left)  # the part of both sides, symmetrised: left ΔP leftᵀ can be nothing else
    return p, curvature + half + half.mT - 0.5 * (inner + inner.mT)
