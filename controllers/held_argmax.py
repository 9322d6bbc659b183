"""argmax H_dt, the feedback of the held control, and how far it is from Bellman's equation."""

from __future__ import annotations

import torch
from torch import Tensor

from ..envs.fields import check_is
from ..envs.integrate import Trajectory
from ..envs.problem import Problem, check_kind
from .argmax import Solution, maximise
from .hamiltonian import check_point, check_tensors
from .held import held_hamiltonian
from .implicit import ImplicitGradient
from .operators import Operator, ProjectedNewton
from .search import Gradient, Search
from .value import Value


def solve_held_argmax(
    problem: Problem,
    phi: Value,
    t: Tensor | float,
    z: Tensor,
    *,
    dt: float | Tensor | None = None,
    operator: Operator | None = None,
    gradient: Gradient | ImplicitGradient = "jfb",
    u0: Tensor | None = None,
    max_iterations: int = 10,
    tolerance: float = 1e-6,
    jfb_steps: int = 1,
    member: Tensor | None = None,
) -> Solution:
    """u* = argmax_u H_dt(t, z, phi, u) by iterating u <- T(u); differentiable in z and in the weights of phi.

    Args:
        problem: gives f, L and the bounds.
        phi: the value function.
        t: time, ``()`` or ``(B,)``.
        z: states, ``(B, n)``.
        dt: how long the control is held; ``problem.time_step`` unless given.
        operator, gradient, u0, max_iterations, tolerance, jfb_steps: as in ``solve_argmax``. Without iterations, where
            phi is flown, the residual is that of H_dt under the expansion that speaks. What agents do to each
            other within one step is not in the blocks of H_uu, so ∂T/∂u at u* is small, not 0, and with it what "jfb"
            leaves out.
        member: of several expansions the one that speaks, ``phi.speaker`` unless given.

    Raises:
        ValueError: on a shape, dtype or option that does not fit. Non-convergence is reported, not raised.
    """
    check_tensors(problem, t, z, z, u0)
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    check_point(problem, t, z, u0)
    if z.dtype != phi.scale.dtype:
        raise ValueError(f"z has dtype {z.dtype}, the weights of phi {phi.scale.dtype}; expected the same")
    dt = problem.time_step if dt is None else dt
    search = Search(operator or ProjectedNewton(), gradient, max_iterations, tolerance, "single", jfb_steps)
    wanted = z.requires_grad or any(w.requires_grad for w in phi.parameters())
    tracked = held_hamiltonian(problem, phi, t, z, dt, member=member) if torch.is_grad_enabled() and wanted else None
    coupled = gradient == "implicit" or isinstance(gradient, ImplicitGradient)
    fixed = held_hamiltonian(problem, phi, t, z.detach(), dt, coupled, member)
    if not max_iterations:  # who plays the feedback needs no adjoint
        u0 = fixed.start() if u0 is None else u0
        fixed, tracked = fixed.rough, None if tracked is None else tracked.rough
    return maximise(fixed, tracked, problem.control_bounds(z), fixed.block, search, u0)


@torch.no_grad()
def bellman_residual(problem: Problem, path: Trajectory, phi: Value) -> Tensor:
    """Mean over time of |phi(t_k, z_k) - min_u (c(t_k, z_k, u) + phi(t_k + dt, F(t_k, z_k, u)))| / dt, ``(B,)``.

    Bellman's equation for the held control, at the states of ``path``: |phi / dt + max_u H_dt|, in the unit of L, as
    the HJB residual, its limit as dt -> 0, is.
    """
    check_kind(problem)
    check_is(path, Trajectory, "path")
    dt, count = problem.horizon / len(path.u), path.z.shape[1]
    t, z = path.t[:-1].repeat_interleave(count), path.z[:-1].flatten(0, 1)
    u = solve_held_argmax(problem, phi, t, z, dt=dt).control
    best = held_hamiltonian(problem, phi, t, z, dt).value(u).squeeze(-1)
    return (phi(t, z) / dt + best).abs().unflatten(0, (-1, count)).mean(0)
