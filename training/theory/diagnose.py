"""The quantities of the theory of JFB (slides, eq. 4-10 and the assumptions), measured along paths of a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from numbers import Integral
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ...controllers.operators import GradientAscent, Operator, ProjectedNewton
from ...controllers.policy import ImplicitPolicy
from ...envs.fields import whole
from ...envs.states import as_states
from .contraction import (
    Points,
    box_curvature,
    box_gamma,
    curvature_at,
    draw_box,
    linearise,
    share_beaten,
    share_reached,
    worst_example,
)
from .diagnosis import Diagnosis, OperatorDiagnosis
from .flight import Flight, adjoint, fly, pull_back, slope_jacobian

Choice: TypeAlias = Operator | Literal["ascent"]


def diagnose(
    policy: ImplicitPolicy,
    z0: Tensor,
    operator: Choice | Sequence[Choice] | None = None,
    times: int = 12,
    seed: int = 0,
) -> Diagnosis:
    """Measure the assumptions of the descent theorem for JFB along the paths of ``policy`` from ``z0 (B, n)``.

    Everything is done in float64 on a copy of the value function, with u* by projected Newton to 1e-12. The theorem is
    of the continuous H; of a policy of the held control the same quantities are those of H_dt, and phi's equation is
    Bellman's.

    Args:
        policy: its problem, value function, Hamiltonian and ``starts`` are used.
        z0: initial states.
        operator: T, or several; ``"ascent"`` is ``GradientAscent`` with the best fixed step, ``best_step``. ``None``
            is that and ``ProjectedNewton()``.
        times: how many of the ``problem.steps`` control steps are sampled, evenly.
        seed: of the admissible controls that are drawn.

    Raises:
        ValueError: on a policy without weights, bad states, fewer than one time or more than there are steps, or a cost
            that is not finite.
    """
    steps = policy.problem.steps
    if not list(policy.value.parameters()):
        raise ValueError(
            f"the value function, {type(policy.value).__name__}, has no weights, and the theory is of training them; "
            "expected one with weights, as train makes it, and not solve"
        )
    if not isinstance(times, Integral) or not 1 <= times <= steps:
        raise ValueError(f"times is {times!r}; expected 1 to {steps}, the steps of {type(policy.problem).__name__}")
    times, seed = int(times), whole(seed, "seed", 0)
    z0 = as_states(policy.problem, z0, "z0")
    if not len(z0):
        raise ValueError("z0 holds no state; expected one or more")
    choices = _asked(operator)
    flight = fly(policy, z0)
    sampled = torch.linspace(0, steps - 1, times).round().long()
    points = _points(flight, sampled)
    draws = draw_box(flight.problem, flight.z, seed)
    curvature, box = curvature_at(points), box_curvature(points, draws)
    exact = _exact(flight)
    parts = []
    for choice in choices:
        chosen = GradientAscent(best_step(curvature)) if isinstance(choice, str) else choice
        parts.append(_diagnose_operator(flight, points, sampled, draws, chosen, exact))
    return Diagnosis(
        problem=type(flight.problem).__name__, kind=flight.law.kind, blocks=points.blocks,
        weights=exact.gradient.shape[1], draws=len(draws),
        times=flight.t[sampled], path_times=flight.t, cost=flight.cost, free=flight.free[sampled],
        held=float((~flight.free).double().mean()), curvature=curvature.unflatten(0, (times, -1)),
        box_range=(_least(box), -_least(-box)), concave=float((box > 0).all(-1).double().mean()),
        convex=worst_example(box, draws, flight.law.block), beaten=share_beaten(points, draws),
        hjb=flight.hjb, hamiltonian=flight.hamiltonian, residual=flight.residual,
        terminal=(flight.value(flight.problem.horizon, flight.end) - flight.problem.terminal_cost(flight.end)).detach(),
        gradient=exact.gradient, variance=_variance(exact.gradient, exact.gradient), operators=tuple(parts),
    )  # fmt: skip


def _asked(operator: Choice | Sequence[Choice] | None) -> Sequence[Choice]:
    chosen: Sequence[Choice] = ("ascent", ProjectedNewton())
    if operator is not None:
        chosen = operator if isinstance(operator, Sequence) and not isinstance(operator, str) else (operator,)
    for choice in chosen:
        if choice != "ascent" and not isinstance(choice, GradientAscent | ProjectedNewton):
            raise ValueError(f"operator is {choice!r}; expected 'ascent', GradientAscent(..) or ProjectedNewton()")
    if not chosen:
        raise ValueError("operator names none; expected 'ascent', GradientAscent(..), ProjectedNewton() or several")
    return chosen


def choices(operator: Literal["both", "ascent", "newton"], step_size: float | Literal["auto"]) -> list[Choice]:
    """The operators that a command line names; ``"auto"`` is the best fixed step.

    Raises:
        ValueError: on a step size that is not positive, or one for Newton alone.
    """
    if operator not in ("both", "ascent", "newton") or (isinstance(step_size, str) and step_size != "auto"):
        raise ValueError(
            f"operator={operator!r}, step_size={step_size!r}; "
            "expected 'both', 'ascent' or 'newton', and 'auto' or a number"
        )
    ascent: Choice = "ascent" if isinstance(step_size, str) else GradientAscent(step_size)
    if operator == "newton" and ascent != "ascent":
        raise ValueError(f"step_size is {step_size!r}, but operator 'newton' has none; expected 'auto'")
    both: dict[str, list[Choice]] = {"ascent": [ascent], "newton": [ProjectedNewton()]}
    return both.get(operator, [ascent, ProjectedNewton()])


def best_step(curvature: Tensor) -> float:
    """α = 2 / (λ_min + λ_max) of the eigenvalues of -H_uu at u*, of which it takes the positive ones.

    With it γ = (κ - 1) / (κ + 1), κ = λ_max / λ_min, and no other fixed α has a smaller one. 1 if none is positive.
    """
    positive = curvature[curvature > 0]
    return float(2 / (positive.min() + positive.max())) if len(positive) else 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Exact:
    """g_k = dJ/du_k, c_k = -H_uu^-1 g_k on the free controls (both ``(K, B, m)``), and Σ (∂∇_u H/∂θ)ᵀ c = dJ/dθ."""

    g: Tensor
    c: Tensor
    gradient: Tensor


def _exact(flight: Flight) -> _Exact:
    """v_k = (du*/dθ)ᵀ g_k = (∂∇_u H/∂θ)ᵀ (-H_uu)^-1 g_k: the same for every T (eq. 6)."""
    g = adjoint(flight, ProjectedNewton(), "implicit")
    points = _points(flight, torch.arange(len(flight.t)))
    linear = linearise(points, ProjectedNewton(), whole=True)[1]  # Newton's ∂T/∂(∇_u H) = (-H_uu)^-1
    c = _through(linear, g)
    return _Exact(g, c, pull_back(flight, c))


def _diagnose_operator(
    flight: Flight, points: Points, sampled: Tensor, draws: Tensor, operator: Operator, exact: _Exact
) -> OperatorDiagnosis:
    by_u, by_slope = linearise(points, operator)
    some = points.free.any(-1)
    gamma = torch.where(some, torch.linalg.matrix_norm(by_u, ord=2).amax(-1), torch.nan)
    whole = _points(flight, torch.arange(len(flight.t)))
    through = linearise(whole, operator)[1]
    # w_k = Mᵀ g_k with the true adjoint, and with the one that training has: its adjoint passes through JFB, too.
    direction = pull_back(flight, _through(through, exact.g))
    trained = pull_back(flight, _through(through, adjoint(flight, operator, "jfb")))
    cells = [
        _at_point(flight, k, b, gamma[i * flight.z.shape[1] + b], by_slope[i * flight.z.shape[1] + b], exact, direction)
        for i, k in enumerate(sampled.tolist())
        for b in range(flight.z.shape[1])
    ]
    singular, full_rank, ratio_v, ratio_w = (
        torch.stack(column).unflatten(0, (len(sampled), -1)) for column in zip(*cells, strict=True)
    )
    return OperatorDiagnosis(
        operator=operator,
        gamma=gamma.unflatten(0, (len(sampled), -1)),
        gamma_box=box_gamma(points, operator, draws).amax(0).unflatten(0, (len(sampled), -1)),
        reached=share_reached(points, operator, draws),
        singular=singular,
        full_rank=full_rank,
        ratio_v=ratio_v,
        ratio_w=ratio_w,
        cosine=_cosine(direction, exact.gradient),
        cosine_trained=_cosine(trained, exact.gradient),
        cosine_mean=float(_cosine(direction.mean(0), exact.gradient.mean(0))),
        cosine_trained_mean=float(_cosine(trained.mean(0), exact.gradient.mean(0))),
        variance=_variance(direction, exact.gradient),
    )


def _at_point(
    flight: Flight, k: int, b: int, gamma: Tensor, by_slope: Tensor, exact: _Exact, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Singular values of M, full rank, and the two ratios below eq. 8, at step k of sample b.

    With A = ∂∇_u H/∂θ = (Q R)ᵀ on the free controls and S = ∂T/∂(∇_u H): M = S A, so M has the singular values of S Rᵀ,
    M w = S A Aᵀ Sᵀ g and M v = S A Aᵀ c.
    """
    free, dt, horizon = flight.free[k, b], flight.problem.time_step, flight.problem.horizon
    singular = torch.full_like(flight.u[k, b], torch.nan)
    nothing = flight.cost.new_tensor(torch.nan)
    if not free.any():
        return singular, torch.tensor(True), nothing, nothing
    a = slope_jacobian(flight, k, b)
    r = torch.linalg.qr(a.mT, mode="r")[1]
    s = torch.block_diag(*by_slope)[free][:, free]
    values = torch.linalg.svdvals(s @ r.mT)
    singular[: len(values)] = values
    full = values[-1] > max(a.shape) * torch.finfo(a.dtype).eps * values[0]
    full = full & (len(values) == len(a))
    c_w, c_v = s.mT @ exact.g[k, b][free] / dt, exact.c[k, b][free] / dt
    v, w = a.mT @ c_v - exact.gradient[b] / horizon, a.mT @ c_w - direction[b] / horizon
    m_w, m_v = s @ (r.mT @ (r @ c_w)), s @ (r.mT @ (r @ c_v))
    margin = values[0] ** -2 - gamma * values[-1] ** -2
    root = torch.where(full & (margin > 0), margin, torch.nan).sqrt()
    return singular, full, v.norm() / (m_w.norm() * root), w.norm() / (m_v.norm() * root)


def _points(flight: Flight, sampled: Tensor) -> Points:
    """The sampled steps of every path in one batch, times first."""
    states = flight.z.shape[1]
    rows = (x[sampled].flatten(0, 1) for x in (flight.z, flight.u, flight.free))
    return Points(flight.law, flight.t[sampled].repeat_interleave(states), *rows)


def _through(matrix: Tensor, g: Tensor) -> Tensor:
    """Sᵀ g by block: S ``(K B, m / b, b, b)``, g ``(K, B, m)``."""
    blocks = g.flatten(0, 1).unflatten(-1, (matrix.shape[1], -1))
    return torch.einsum("...ij,...i->...j", matrix, blocks).flatten(-2).reshape(g.shape)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """NaN where one of the two is 0."""
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def _variance(x: Tensor, gradient: Tensor) -> float:
    """E‖x - E x‖² / ‖E dJ/dθ‖² over the states (eq. 9 and 10)."""
    return float((x - x.mean(0)).square().sum(-1).mean() / gradient.mean(0).square().sum())


def _least(x: Tensor) -> float:
    return float(torch.nan_to_num(x, nan=torch.inf).min())
