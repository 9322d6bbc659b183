"""Linear-quadratic feedback: about a point of rest, and about a nominal path."""

from __future__ import annotations

import torch
from torch import Tensor

from ..envs.integrate import advance
from ..envs.problem import Problem
from .equilibrium import Point, find_equilibrium, given
from .expansion import along, expand, expand_end, riccati
from .reference import ReferenceTrajectory

ACTIVE = 1e-6
"""Distance from a bound, relative to the range of the control, at which the optimum counts as being on it."""


class Tangent(Problem):
    """``problem`` about a point (z̄, ū): f to first order, L and G to second. Bounds and initial states are the same.

    Raises:
        ValueError: if ``z`` or ``u`` has a wrong shape or is not finite.
    """

    def __init__(self, problem: Problem, z: Point, u: Point) -> None:
        self.inner = problem
        self.z, self.u = given("z", z, problem.state_dim), given("u", u, problem.control_dim)
        self.state_dim, self.control_dim = problem.state_dim, problem.control_dim
        self.horizon, self.steps = problem.horizon, problem.steps
        self.control_low, self.control_high = problem.control_low, problem.control_high
        super().__post_init__()

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """f̄ + f_z (z - z̄) + f_u (u - ū)."""
        at, away = self._from(z, u)
        value, slope = along(lambda x, v: self.inner.dynamics(t, x, v), at, away)
        return value + slope

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """L̄ + L_y dy + ½ dyᵀ L_yy dy, y = (z, u)."""
        at, away = self._from(z, u)

        def first(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            return along(lambda a, b: self.inner.running_cost(t, a, b), (x, v), away)

        (value, slope), (_, curvature) = along(first, at, away)
        return value + slope + 0.5 * curvature

    def terminal_cost(self, z: Tensor) -> Tensor:
        """Ḡ + G_z dz + ½ dzᵀ G_zz dz."""
        at, away = self.z.to(z).expand_as(z).clone(), z - self.z.to(z)

        def first(x: Tensor) -> tuple[Tensor, Tensor]:
            return along(self.inner.terminal_cost, (x,), (away,))

        (value, slope), (_, curvature) = along(first, (at,), (away,))
        return value + slope + 0.5 * curvature

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample_initial_state(batch, generator)

    def _from(self, z: Tensor, u: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        # clones: forward-mode derivatives do not take expanded tensors
        at = self.z.to(z).expand_as(z).clone(), self.u.to(u).expand_as(u).clone()
        return at, (z - at[0], u - at[1])


class _Affine:
    """u = clip(ū_k + K_k (z - z̄_k)), tables in float64: ``z (K, n)``, ``u (K, m)``, ``feedback (K, m, n)``."""

    def __init__(self, problem: Problem, z: Tensor, u: Tensor, feedback: Tensor) -> None:
        self.problem = problem
        self.z, self.u, self.feedback = z, u, feedback

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; t is ``()`` or ``(B,)``; a time between two control steps counts as the earlier."""
        n = self.problem.state_dim
        if z.ndim != 2 or z.shape[1] != n:
            raise ValueError(f"z has shape {tuple(z.shape)}; {type(self.problem).__name__} expects (B, {n})")
        time = torch.as_tensor(t, dtype=torch.float64, device=z.device).expand(len(z))
        pace = len(self.u) / self.problem.horizon
        k = (time * pace + 1e-3).long().clamp(0, len(self.u) - 1)  # times are rounded
        z0, u0, gain = (table.to(z.device).index_select(0, k) for table in (self.z, self.u, self.feedback))
        u = u0 + (gain @ (z.double() - z0).unsqueeze(-1)).squeeze(-1)
        return u.to(z.dtype).clamp(*self.problem.control_bounds(z))


class LinearQuadraticRegulator(_Affine):
    """The optimal feedback of the problem's ``Tangent`` at a target, clipped to the bounds:

        u(t_k, z) = clip(ū + k_k + K_k (z - z̄)),   (k, K) by the discrete Riccati recursion from G_zz at T,

    with the same Runge-Kutta step and held control as ``rollout``: exact for a linear-quadratic problem whose bounds
    are not active. The target is one point, however far it is from the states that are met.

    Args:
        problem: what is controlled.
        target: z̄ ``(n,)``; found with ``find_equilibrium`` (the minimiser of G) unless given.
        control: ū ``(m,)``; the one that holds z̄ unless given. If given, z̄ need not be an equilibrium.

    Attributes:
        target, control: z̄ and ū. feedback: K, ``(K, m, n)``.
        regularised: steps at which Q_uu was not positive definite.

    Raises:
        ValueError: on a bad point; where there is no equilibrium, with the rate |f| that is left.
    """

    def __init__(self, problem: Problem, target: Point | None = None, control: Point | None = None) -> None:
        if target is None or control is None:
            if control is not None:
                raise ValueError("control was given without the target that it belongs to; expected both or neither")
            z, u = find_equilibrium(problem, target)
        else:
            z, u = given("target", target, problem.state_dim), given("control", control, problem.control_dim)
        count = problem.steps
        tangent = Tangent(problem, z, u)
        at, held, times = z.expand(count, -1), u.expand(count, -1), torch.arange(count).double() * problem.time_step
        steps = expand(tangent, times, at, held, torch.zeros_like(at), problem.time_step)
        drift = advance(tangent, times, at, held, problem.time_step)[0] - at
        gains = riccati(steps, drift, *expand_end(tangent, z), torch.ones_like(held, dtype=torch.bool))
        self.target, self.control, self.regularised = z, u, gains.regularised
        super().__init__(problem, at, held + gains.feedforward, gains.feedback)


class TimeVaryingLQR(_Affine):
    """u(t_k, z) = clip(ū_k + K_k (z - z̄_k)) along an open-loop optimum (z̄, ū, p̄): the neighbouring extremals.

    K by the discrete Riccati recursion with the exact second derivatives of ℓ_k = c_k + p̄_{k+1}·F_k, so that u is the
    optimum of every state near z̄_k to first order (Bryson and Ho, Applied Optimal Control, ch. 6). Controls at a
    bound that is active on the nominal stay there.

    Args:
        problem: what is controlled.
        reference: the optimum from ONE state, over the whole horizon; its number of steps is that of the tables.

    Attributes:
        feedback: K, ``(K, m, n)``. held: ``(K, m)`` bool, the controls at an active bound.
        regularised: steps at which Q_uu was not positive definite, which a strict local optimum does not have.

    Raises:
        ValueError: if the reference is of several states, of another shape than the problem's or did not converge.
    """

    def __init__(self, problem: Problem, reference: ReferenceTrajectory) -> None:
        count, batch = len(reference.u), reference.u.shape[1]
        expected = (count + 1, 1, problem.state_dim), (count, 1, problem.control_dim)
        if (reference.z.shape, reference.u.shape) != expected:
            raise ValueError(
                f"the reference has z {tuple(reference.z.shape)}, u {tuple(reference.u.shape)}, from {batch} states; "
                f"expected {expected[0]} and {expected[1]}, from one"
            )
        if not reference.converged.all():
            raise ValueError(f"the reference did not converge ({reference.status[0]}); expected an optimum")
        z, u, p = (x[:, 0].double().cpu() for x in (reference.z, reference.u, reference.costate))
        dt = problem.horizon / count
        steps = expand(problem, torch.arange(count).double() * dt, z[:-1], u, p[1:], dt)
        pull = steps.gradient[:, problem.state_dim :]
        low, high = problem.control_bounds(u)
        near = ACTIVE * (high - low)
        self.held = ((u - low <= near) & (pull > 0)) | ((high - u <= near) & (pull < 0))
        steps = steps._replace(gradient=torch.zeros_like(steps.gradient))
        _, curvature = expand_end(problem, z[-1])
        nothing = torch.zeros_like(z)
        gains = riccati(steps, nothing[1:], nothing[0], curvature, ~self.held)
        self.regularised = gains.regularised
        super().__init__(problem, z[:-1], u, gains.feedback)
