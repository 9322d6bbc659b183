"""Linear-quadratic feedback: about a point of rest, and about a nominal path."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.fields import check_is
from ...envs.integrate import advance
from ...envs.problem import Problem, check_kind
from ..adapter import answered, asked
from ..optimum import Point, ReferenceTrajectory, expand_end, find_equilibrium, given, riccati, second_order, step_model

ACTIVE = 1e-6
"""Distance from a bound, relative to the range of the control, at which the optimum counts as being on it."""


class _Tangent(Problem):
    """``problem`` about a point (z̄, ū), f to first order and L to second, at the times that a Runge-Kutta step visits.

    f̄ + f_y dy and L̄ + L_y dy + ½ dyᵀ L_yy dy with y = (z, u), from tables at every half step (L̄ left out).
    """

    def __init__(self, problem: Problem, z: Tensor, u: Tensor) -> None:
        self.inner, self.point = problem, torch.cat([z, u])
        self.state_dim, self.control_dim = problem.state_dim, problem.control_dim
        self.horizon, self.steps, self.substeps = problem.horizon, problem.steps, problem.substeps
        moments = 2 * self.substeps * self.steps
        times = torch.arange(moments + 1).double() * (self.horizon / moments)
        n, y = self.state_dim, self.point.repeat(len(times), 1)
        self.rate, self.table = second_order(
            lambda y: (
                problem.running_cost(times, y[:, :n], y[:, n:]),
                problem.dynamics(times, y[:, :n], y[:, n:]),
            ),
            y,
        )
        super().__post_init__()

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        k, dy = self._at(t, z, u)
        return self.rate[k] + (self.table.jacobian[k] @ dy).squeeze(-1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        k, dy = self._at(t, z, u)
        slope = self.table.gradient[k].unsqueeze(-1) + 0.5 * self.table.hessian[k] @ dy
        return (dy * slope).sum((-2, -1))

    def terminal_cost(self, z: Tensor) -> Tensor:
        return self.inner.terminal_cost(z)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample_initial_state(batch, generator)

    def _at(self, t: Tensor, z: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the tables, ``(B,)``, and dy, ``(B, n + m, 1)``."""
        k = (t * (2 * self.substeps / self.time_step)).round().long()
        return k, (torch.cat([z, u], -1) - self.point).unsqueeze(-1)


class _Affine:
    """u = clip(ū_k + K_k (z - z̄_k)), tables in float64: ``z (K, n)``, ``u (K, m)``, ``feedback (K, m, n)``."""

    def __init__(self, problem: Problem, z: Tensor, u: Tensor, feedback: Tensor) -> None:
        self.problem = problem
        self.z, self.u, self.feedback = z, u, feedback

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``, of one state ``(m,)``; a time between two control steps counts as the earlier."""
        t, batch = asked(self.problem, t, z)
        time = torch.as_tensor(t, dtype=torch.float64, device=batch.device).expand(len(batch))
        pace = len(self.u) / self.problem.horizon
        k = (time * pace + 1e-3).long().clamp(0, len(self.u) - 1)  # times are rounded
        z0, u0, gain = (table.to(batch.device).index_select(0, k) for table in (self.z, self.u, self.feedback))
        u = u0 + (gain @ (batch.double() - z0).unsqueeze(-1)).squeeze(-1)
        return answered(u.to(batch.dtype).clamp(*self.problem.control_bounds(batch)), z)


class LinearQuadraticRegulator(_Affine):
    """The optimal feedback of f to first, L and G to second order about a target, clipped to the bounds:

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
        check_kind(problem)
        if target is None or control is None:
            if control is not None:
                raise ValueError("control was given without the target that it belongs to; expected both or neither")
            z, u = find_equilibrium(problem, target)
        else:
            z, u = given("target", target, problem.state_dim), given("control", control, problem.control_dim)
        count = problem.steps
        tangent = _Tangent(problem, z, u)
        at, held, times = z.expand(count, -1), u.expand(count, -1), torch.arange(count).double() * problem.time_step
        steps = step_model(tangent, times, at, held, torch.zeros_like(at), problem.time_step)
        drift = advance(tangent, times, at, held, problem.time_step)[0] - at
        gains = riccati(steps, drift, *expand_end(problem, z), torch.ones_like(held, dtype=torch.bool))
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
        check_kind(problem)
        check_is(reference, ReferenceTrajectory, "reference")
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
        steps = step_model(problem, torch.arange(count).double() * dt, z[:-1], u, p[1:], dt)
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
