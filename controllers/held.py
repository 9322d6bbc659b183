"""The Hamiltonian of the HELD control: u -> H_dt, what one control step costs and leaves to be paid."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..envs.fields import check_is
from ..envs.integrate import Trajectory, advance
from ..envs.problem import Problem, check_kind
from .argmax import Gradient, Search, Solution, maximise
from .hamiltonian import check_point, check_tensors, control_hamiltonian
from .implicit import ImplicitGradient
from .looking import host_may_look
from .operators import Operator, ProjectedNewton
from .value import FlownValue, Value

Pair: TypeAlias = tuple[Tensor, Tensor]
FEW = 16
"""Controls, at most, along which flights are differenced."""


@dataclasses.dataclass(frozen=True)
class HeldHamiltonian:
    """u -> H_dt(t, z, phi, u) = -(c(t, z, u) + phi(t + dt, F(t, z, u))) / dt, a ``ControlHamiltonian``.

    (F, c) is the Runge-Kutta step of ``envs.integrate.advance`` with u held over it. The argmax is the optimal feedback
    of the system as it is flown; H_dt = const + H + O(dt), so that argmax H, the slides', is its limit as dt -> 0.

    Its gradient is one sweep back through the step: -(c_u + F_uᵀ ∇phi(t + dt, F)) / dt, tracked in z and in phi's
    weights. H_uu, by block, is a central difference of it: T(u) is quasi-Newton, has the same fixed points, and needs
    no second derivative of phi, f or L. Where phi is flown, the curvature is that of the expansion (``rough``). H_dt
    does not separate over agents that see each other or share phi: ``value`` is one number a sample.

    Attributes:
        problem: gives f, L and the bounds.
        phi: the value function.
        t: ``()`` or ``(B,)``, the beginning of the step.
        z: ``(B, n)``.
        dt: its length.
        whole: take all controls as one block of H_uu, coupling included: Newton's own, and what "implicit" needs.
        member: where phi is one of several expansions, which: ``phi.speaker``; ``held_hamiltonian`` asks for it.
    """

    problem: Problem
    phi: Value
    t: Tensor
    z: Tensor
    dt: float | Tensor
    whole: bool = False
    member: Tensor | None = None

    @property
    def block(self) -> int:
        """Size of the blocks of ``hessian``."""
        return self.problem.control_dim if self.whole else self.problem.control_block

    def start(self) -> Tensor:
        """The feedback that phi knows, where it is an expansion; else where the search for argmax H begins."""
        known = self.phi.feedback(self.t, self.z, *self._member(self.z))
        if known is not None:
            return known
        return control_hamiltonian(self.problem, self.t, self.z, self.phi.gradient(self.t, self.z)[1]).start()

    def value(self, u: Tensor) -> Tensor:
        """H_dt, ``(..., B, 1)`` for controls ``(..., B, m)``."""
        t, z, flat = self._flat(u)
        after, cost = advance(self.problem, t, z, flat, self.dt)
        return (-(cost + self.phi(t + self.dt, after, *self._member(z))) / self.dt).reshape(*u.shape[:-1], 1)

    def gradient(self, u: Tensor) -> Tensor:
        """∇_u H_dt, ``(..., B, m)``."""
        if isinstance(self.phi, FlownValue) and not torch.is_grad_enabled() and u.shape[-1] <= FEW:
            return self._differences(u)
        t, z, flat = self._flat(u)
        (after, cost), pull = _pulled(lambda v: advance(self.problem, t, z, v, self.dt), flat)
        _, p = self.phi.gradient(t + self.dt, after, *self._member(z))
        (slope,) = pull((p, torch.ones_like(cost)))
        return (-slope / self.dt).reshape(u.shape)

    def hessian(self, u: Tensor) -> Tensor:
        """Diagonal blocks of H_uu, ``(..., B, m / b, b, b)``: differences of ∇_u H_dt across ε of the box, inside it.

        With as many agents as blocks, column j of all blocks comes from one difference; what agents do to each
        other within one step is then in it, too, and small.
        """
        return self._bend(*self.rough.gradient(torch.stack(self._beside(u))).unbind(0))

    def look(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """∇_u H_dt at u and at 0, and H_uu at u, from one sweep: for ``(B, m)`` controls."""
        rough = self.rough
        slopes = rough.gradient(torch.cat([u.unsqueeze(0), torch.zeros_like(u).unsqueeze(0), *self._beside(u)]))
        count = (len(slopes) - 2) // 2
        own, rest, ahead, behind = slopes.split([1, 1, count, count])
        slope = own.squeeze(0) if rough is self else self.gradient(u)
        return slope, rest.squeeze(0), self._bend(ahead, behind)

    @property
    def rough(self) -> HeldHamiltonian:
        """The same under an expansion, where phi is flown: its slope is near enough for scales and curvatures."""
        phi = self.phi
        return dataclasses.replace(self, phi=phi.promise) if isinstance(phi, FlownValue) else self

    def _differences(self, u: Tensor) -> Tensor:
        """∇_u H_dt by central differences: two flights a control cost less than one and the way back along it."""
        ahead, behind = self._beside(u, torch.eye(u.shape[-1], dtype=u.dtype, device=u.device))
        rise = self.value(ahead) - self.value(behind)
        return rise.squeeze(-1).movedim(0, -1) / (2 * self._away(u))

    def _beside(self, u: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """u + ε and u - ε along each of the ``seeds (C, m)``, ``(C, ..., B, m)``; unless given those for H_uu."""
        low, high = self.problem.control_bounds(u)
        away = self._away(u)
        middle = u.maximum(low + away).minimum(high - away)
        if seeds is None:
            seeds = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
            seeds = seeds.unflatten(0, (-1, self.block)).sum(0) if self._together else seeds
        step = (seeds * away).reshape(-1, *[1] * (u.ndim - 1), u.shape[-1])
        return middle + step, middle - step

    def _away(self, u: Tensor) -> Tensor:
        """ε of each control: a share of its range."""
        low, high = self.problem.control_bounds(u)
        return torch.finfo(u.dtype).eps ** (1 / 3) * (high - low)

    def _bend(self, ahead: Tensor, behind: Tensor) -> Tensor:
        """H_uu from the slopes at ``_beside``."""
        size = self.block
        columns = ((ahead - behind) / 2).unflatten(-1, (-1, size)).movedim(0, -1)
        if not self._together:  # of the columns of each block, the block's own
            columns = columns.unflatten(-1, (-1, size)).diagonal(dim1=-4, dim2=-2).movedim(-1, -3)
        bend = columns / self._away(ahead).unflatten(-1, (-1, 1, size))
        return 0.5 * (bend + bend.mT)

    @property
    def _together(self) -> bool:
        """Whether each block of controls has an agent of its own: then all blocks are varied at once."""
        problem = self.problem
        return problem.state_dim // problem.state_block == problem.control_dim // self.block

    def _member(self, z: Tensor) -> tuple[Tensor, ...]:
        """``member`` for each of the rows of ``z``; empty where there is none."""
        copies = (len(z) // max(len(self.z), 1), *[1] * (self.member.ndim - 1)) if self.member is not None else ()
        return () if self.member is None else (self.member.repeat(copies),)

    def _flat(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """t, z and u with the leading axes of u as one: ``(A B,)`` or ``()``, ``(A B, n)``, ``(A B, m)``."""
        t, z = self.t, self.z
        if u.ndim > 2:
            lead = u.shape[:-1]
            t = t if t.ndim == 0 else t.expand(lead).reshape(-1)
            z = z.expand(*lead, -1).reshape(-1, z.shape[-1])
        return t, z, u.reshape(-1, u.shape[-1])


def held_hamiltonian(
    problem: Problem,
    phi: Value,
    t: Tensor,
    z: Tensor,
    dt: float | Tensor,
    whole: bool = False,
    member: Tensor | None = None,
) -> HeldHamiltonian:
    """H_dt at (t, z), of the expansion that speaks there, ``member`` if given: one for every u, lest H_dt jump."""
    return HeldHamiltonian(problem, phi, t, z, dt, whole, phi.speaker(t, z.detach()) if member is None else member)


def _pulled(step: Callable[[Tensor], Pair], u: Tensor) -> tuple[Pair, Callable[[Pair], tuple[Tensor, ...]]]:
    """step(u), and what pulls a covector back through it: ``torch.func``, or the tape, which is quicker, where no more
    derivatives are wanted."""
    if torch.is_grad_enabled() or not host_may_look(u):
        return torch.func.vjp(step, u)[:2]
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        after, cost = step(u)
        after, cost = after + 0.0 * u.sum(-1, keepdim=True), cost + 0.0 * u.sum(-1)  # a cost may be free of all
    return (after.detach(), cost.detach()), lambda p: torch.autograd.grad((after, cost), u, p)


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
