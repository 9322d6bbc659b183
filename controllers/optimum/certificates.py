"""How nearly a trajectory satisfies Pontryagin's conditions, of the discrete problem it was flown in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from ...envs.fields import check_is
from ...envs.integrate import Trajectory, advance
from ...envs.problem import Problem, check_finite, check_kind
from ..argmax import solve_argmax
from ..hamiltonian import hamiltonian
from ..operators import held
from .trajectory import ReferenceTrajectory

ValueGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(t, z) -> (∂_t phi, ∇_z phi), as ``ValueFunction.gradient``."""


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Residuals of the necessary conditions, each ``(B,)``, 0 at an optimum. The worst over time and components.

    With the stage Lagrangian ℓ_k(z, u) = c_k(z, u) + p_{k+1}·F_k(z, u) of the Runge-Kutta step (F_k, c_k):

    Attributes:
        stationarity: of u_k - P(u_k - ∇_u ℓ_k / dt), P the projection on [low, high]: ∇_u ℓ_k / dt where the bounds
            are far, and 0 at a bound that it pushes against. Near the optimum, minus the slope of H.
        transversality: of p_K - ∇G(z_K), relative to 1 + |∇G|.
        adjoint: of p_k - ∇_z ℓ_k, relative to 1 + max_k |p_k|.
        dynamics: of z_{k+1} - F_k(z_k, u_k), relative to 1 + |z_{k+1}|.
        active: share of the controls, over time, that a bound holds.
        hjb: mean over time of |∂_t phi - max_u H(t_k, z_k, ∇phi, u)|, where a value function was given.
        bellman: that of the held control in its place, where its Hamiltonian is what is maximised: of
            ``controllers.held_argmax.bellman_residual``, ``None`` from ``certify``.
    """

    stationarity: Tensor
    stationarity_mean: Tensor
    transversality: Tensor
    adjoint: Tensor
    dynamics: Tensor
    active: Tensor
    hjb: Tensor | None = None
    bellman: Tensor | None = None

    @property
    def worst(self) -> Tensor:
        """The largest residual but for ``hjb`` and ``bellman``, ``(B,)``."""
        return torch.stack([self.stationarity, self.transversality, self.adjoint, self.dynamics]).amax(0)

    def summary(self) -> dict[str, float]:
        """The residuals over the states as plain numbers: median and worst."""
        figures: dict[str, float] = {}
        for name in ("stationarity", "transversality", "adjoint", "dynamics", "active", "hjb", "bellman"):
            residual = getattr(self, name)
            if residual is not None:
                figures[f"{name}_median"], figures[f"{name}_worst"] = float(residual.median()), float(residual.max())
        return figures


def certify(problem: Problem, path: Trajectory, gradient: ValueGradient | None = None) -> Certificate:
    """Pontryagin's conditions along ``path``: necessary for an optimum, and sufficient only in a convex problem.

    The costate is that of a ``ReferenceTrajectory``, which the optimiser found; for any other flight it is the adjoint
    of the open loop (``open_loop_costate``), so that ``adjoint`` and ``transversality`` hold by construction and
    ``stationarity`` says by how much better controls would lower the cost. Work in float64: residuals in float32 end
    at its rounding.

    Args:
        problem: what was flown.
        path: any trajectory of it.
        gradient: the value function's, to measure the HJB equation along the path.

    Raises:
        ValueError: if the path does not fit the problem, or is not finite.
    """
    _check(problem, path)
    p = path.costate.to(path.z) if isinstance(path, ReferenceTrajectory) else open_loop_costate(problem, path)
    (slope_z, slope_u), after = _stage(problem, path, p)
    low, high = problem.control_bounds(path.u)
    slope_u = slope_u / (problem.horizon / len(path.u))
    moved = path.u - (path.u - slope_u).clamp(low, high)
    slope_end = torch.func.grad(lambda x: problem.terminal_cost(x).sum())(path.z[-1])
    size = p.norm(dim=-1).amax(0)
    return Certificate(
        stationarity=moved.abs().amax((0, -1)),
        stationarity_mean=moved.abs().mean((0, -1)),
        transversality=(p[-1] - slope_end).norm(dim=-1) / (1 + slope_end.norm(dim=-1)),
        adjoint=(p[:-1] - slope_z).norm(dim=-1).amax(0) / (1 + size),
        dynamics=((path.z[1:] - after).norm(dim=-1) / (1 + path.z[1:].norm(dim=-1))).amax(0),
        active=held(path.u, -slope_u, (low, high)).to(path.u.dtype).mean((0, -1)),
        hjb=None if gradient is None else hjb_residual(problem, path, gradient),
    )


def open_loop_costate(problem: Problem, path: Trajectory) -> Tensor:
    """p_k = ∂J/∂z_k with the controls as flown, ``(K + 1, B, n)``: p_K = ∇G(z_K), p_k = ∇_z ℓ_k(z_k, u_k; p_{k+1})."""
    p = torch.func.grad(lambda x: problem.terminal_cost(x).sum())(path.z[-1])
    costates = [p]
    for t, z, u in reversed(list(zip(path.t[:-1], path.z[:-1], path.u, strict=True))):
        costates.append(_slopes(problem, t, z, u, costates[-1], problem.horizon / len(path.u))[0])
    return torch.stack(costates[::-1])


@torch.no_grad()
def hjb_residual(problem: Problem, path: Trajectory, gradient: ValueGradient) -> Tensor:
    """Mean over time of |∂_t phi - max_u H(t, z, ∇phi, u)| at the states of ``path``, ``(B,)``."""
    total = torch.zeros_like(path.running_cost)
    for t, z in zip(path.t[:-1], path.z[:-1], strict=True):
        slope_t, p = gradient(t, z)
        u = solve_argmax(problem, t, z, p).control
        total = total + (slope_t - hamiltonian(problem, t, z, p, u)).abs()
    return total / len(path.u)


def _stage(problem: Problem, path: Trajectory, p: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """∇_z ℓ_k and ∇_u ℓ_k, ``(K, B, ..)``, and F_k(z_k, u_k), all steps in one batch."""
    count, dt = path.z.shape[1], problem.horizon / len(path.u)
    t = path.t[:-1].repeat_interleave(count)
    z, u, p_next = path.z[:-1].flatten(0, 1), path.u.flatten(0, 1), p[1:].flatten(0, 1)
    slope_z, slope_u = (x.unflatten(0, (-1, count)) for x in _slopes(problem, t, z, u, p_next, dt))
    return (slope_z, slope_u), advance(problem, t, z, u, dt)[0].unflatten(0, (-1, count))


def _slopes(problem: Problem, t: Tensor, z: Tensor, u: Tensor, p_next: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """∇_z ℓ and ∇_u ℓ of the stage Lagrangian ℓ = c + p_next·F, ``(B, n)`` and ``(B, m)``."""

    with torch.enable_grad():
        z, u = (x.detach().requires_grad_() for x in (z, u))
        after, cost = advance(problem, t, z, u, dt)
        lagrangian = (cost + (p_next.detach() * after).sum(-1)).sum()
        slope_z, slope_u = torch.autograd.grad(lagrangian, (z, u), materialize_grads=True)
    return slope_z, slope_u


def _check(problem: Problem, path: Trajectory) -> None:
    check_kind(problem)
    check_is(path, Trajectory, "path")
    steps, batch = path.u.shape[:2]
    expected = (steps + 1, batch, problem.state_dim), (steps, batch, problem.control_dim)
    if (path.z.shape, path.u.shape) != expected:
        raise ValueError(f"z and u are {tuple(path.z.shape)} and {tuple(path.u.shape)}; expected {expected}")
    for name, x in (("z", path.z), ("u", path.u)):
        check_finite(name, x.movedim(1, 0))
