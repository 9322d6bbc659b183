"""The value function near an open-loop optimum, to second order: a Riccati sweep through the held-control steps."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ...envs.integrate import advance
from ...envs.problem import Problem
from ..hamiltonian import control_hamiltonian
from ..operators import held
from .ipopt import ReferenceTrajectory
from .step_model import step_model

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


class _Model(NamedTuple):
    """Each step to second order about the optimum, with the stage Lagrangian ℓ_k(z, u) = c_k + p_{k+1}·F_k.

    Attributes:
        slope: ∇_u ℓ_k.
        hessian: of ℓ_k in (z, u).
        jacobian: of F_k in (z, u).
        fixed: the controls that a bound of the reference holds.
        pressed: those that a bound of the problem holds.
    """

    slope: Tensor
    hessian: Tensor
    jacobian: Tensor
    fixed: Tensor
    pressed: Tensor


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
    model = _model(problem, t, *flat, p[1:].flatten(0, 1), within or problem.control_bounds(flat[1]))
    ends = columns(torch.func.grad(lambda x: problem.terminal_cost(x).sum()), z[-1])
    curvature, gains, forces, regularised = _sweep(
        ends, _Model(*(x.unflatten(0, (steps, -1)) for x in model)), reluctance
    )
    point = (t, *flat, p[:-1].flatten(0, 1), curvature[:-1].flatten(0, 1))
    played = _played(problem, point, model, gains.flatten(0, 1), forces.flatten(0, 1) / dt)
    p_table, p_slope = (
        torch.cat([x.unflatten(0, (steps, -1)), y[-1:]]) for x, y in zip(played, (p, curvature), strict=True)
    )
    costs = advance(problem, t, *flat, dt)[1].unflatten(0, (steps, -1))
    costs = torch.cat([costs, problem.terminal_cost(z[-1]).unsqueeze(0)])
    if regularised:
        logging.getLogger(__name__).info("Q_uu was made positive definite at %d steps", regularised)
    return Expansion(costs.flip(0).cumsum(0).flip(0), z, p_table, p_slope, regularised, gains)


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


def _model(problem: Problem, t: Tensor, z: Tensor, u: Tensor, p_next: Tensor, bounds: Bounds) -> _Model:
    step = step_model(problem, t, z, u, p_next, problem.time_step)
    slope = step.gradient.narrow(-1, z.shape[-1], u.shape[-1])
    fixed, pressed = (_held(u, slope, box) for box in (bounds, problem.control_bounds(u)))
    return _Model(slope, step.hessian, step.jacobian, fixed, pressed)


def _held(u: Tensor, slope: Tensor, box: Bounds) -> Tensor:
    low, high = box
    near = 1e-6 * (high - low)  # an interior-point method leaves a control beside its bound
    beside = torch.where(u <= low + near, low, torch.where(u >= high - near, high, u))
    return held(beside, -slope, box)


def columns(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The Jacobian of a batched function, row by row independent: ``(K, d) -> (K, e)`` gives ``(K, e, d)``."""
    seeds = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return torch.stack([torch.func.jvp(function, (x,), (seed.expand_as(x),))[1] for seed in seeds], -1)


def _sweep(last: Tensor, model: _Model, reluctance: float) -> tuple[Tensor, Tensor, Tensor, int]:
    """P ``(K + 1, N, n, n)``, K ``(K, N, m, n)``, ∂/∂z of ∇_u Q along the feedback ``(K, N, m, n)``, repaired steps."""
    n = last.shape[-1]
    p_next, table, gains, forces, repaired = last, [last], [], [], 0
    own = model.hessian.diagonal(dim1=-2, dim2=-1)[..., n:].abs()
    resisting = torch.diag_embed(torch.where(model.fixed, reluctance * own, 0.0))
    for hessian, jacobian, extra in zip(*(x.flip(0) for x in (model.hessian, model.jacobian, resisting)), strict=True):
        q = hessian + jacobian.mT @ p_next @ jacobian
        q_zz, q_zu, q_uz, q_uu = q[:, :n, :n], q[:, :n, n:], q[:, n:, :n], q[:, n:, n:]
        values, vectors = torch.linalg.eigh(q_uu + extra)
        floor = 1e-6 * values.abs().amax(-1, keepdim=True).clamp_min(1e-12)
        repaired += int((values < floor).any(-1).sum())
        values = torch.where(values < floor, torch.maximum(values.abs(), floor), values)
        gain = -(vectors / values.unsqueeze(-2)) @ vectors.mT @ q_uz
        p_next = q_zz + q_zu @ gain
        p_next = 0.5 * (p_next + p_next.mT)
        table.append(p_next)
        gains.append(gain)
        forces.append(q_uz + q_uu @ gain)
    return torch.stack(table[::-1]), torch.stack(gains[::-1]), torch.stack(forces[::-1]), repaired


def _played(
    problem: Problem, point: tuple[Tensor, ...], model: _Model, gains: Tensor, forces: Tensor
) -> tuple[Tensor, Tensor]:
    """p and P with which ∇_u H(t, z, p + P δ, u + K δ) = -∇_u Q / dt to first order in δ, P symmetric, least norm.

    With S = -∇_u H = L_u + f_uᵀ p, affine in p:  S_p Δp = ∇_u ℓ / dt - S,  S_p ΔP = forces - S_z - S_u K - S_p P,
    the second for the free controls alone: what pushes against a bound is left a margin.
    """
    t, z, u, p, curvature = point
    n, m = z.shape[-1], u.shape[-1]

    def stationarity(x: Tensor) -> Tensor:
        states, controls, costates = x.split([n, m, n], -1)
        return -control_hamiltonian(problem, t, states, costates).gradient(controls)

    by_p = columns(stationarity, torch.cat([z, u, p], -1))[..., n + m :]
    wanted = torch.where(model.pressed, model.slope / problem.time_step, 0.0) - stationarity(torch.cat([z, u, p], -1))
    p = p + (torch.linalg.pinv(by_p) @ wanted.unsqueeze(-1)).squeeze(-1)
    by_z, by_u, _ = columns(stationarity, torch.cat([z, u, p], -1)).split([n, m, n], -1)
    free = (~model.pressed).unsqueeze(-1)
    left = torch.where(free, by_p, 0.0)
    forces = torch.where(model.fixed.unsqueeze(-1), 0.0, forces)
    right = torch.where(free, forces - by_z - by_u @ gains - by_p @ curvature, 0.0)
    inverse = torch.linalg.pinv(left)  # left ΔP = right has the solution inverse right + (1 - inverse left) (..)ᵀ
    half = inverse @ right
    inner = half @ (inverse @ left)  # the part of both sides, symmetrised: left ΔP leftᵀ can be nothing else
    return p, curvature + half + half.mT - 0.5 * (inner + inner.mT)
