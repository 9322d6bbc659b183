"""Where a problem wants to be, and can stay: the state that minimises G, and the control that holds it there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ...envs.problem import Problem
from ...envs.states import as_numbers
from ..argmax import solve_argmax
from ..operators import STEP_LENGTHS, ProjectedNewton

Point: TypeAlias = "Sequence[float] | Tensor"

SEED = 6_007
"""Of the states whose mean is the first guess of the target."""
SMALL = 1e-6
"""Rate |f| of a state that counts as being at rest, relative to 1 + the rate where the search began."""
REACH = 1e6
"""How far the search for a state may go, per coordinate."""


@dataclasses.dataclass(frozen=True)
class _Search(Problem):
    """min over y in [low, high] of ``objective(y)``, as the argmax of a Hamiltonian without dynamics."""

    objective: Callable[[Tensor], Tensor]
    size: int
    control_low: Tensor
    control_high: Tensor
    state_dim = 1
    horizon = 1.0
    steps = 1

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        return self.size

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.zeros_like(z)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.objective(u)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z[..., 0])

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(batch, 1)


def find_equilibrium(problem: Problem, target: Point | None = None) -> tuple[Tensor, Tensor]:
    """``z (n,)`` and ``u (m,)``, float64: f(0, z, u) = 0 with u in [low, high], z a minimiser of G or the given target.

    G is minimised from the mean initial state; then |f|² over u and over the directions in which G is flat there (a
    bicycle's G leaves heading and speed open: it comes to rest). Both by projected Newton, so they end at a local
    minimum.

    Raises:
        ValueError: on a bad target, or where no such control is found, with the rate that is left.
    """
    drawn = problem.sample_initial_state(1024, torch.Generator().manual_seed(SEED)).double()
    flat = drawn.new_zeros(problem.state_dim, 0)
    if target is not None:
        z = given("target", target, problem.state_dim)
    else:
        far = torch.full((problem.state_dim,), REACH, dtype=torch.float64)
        z = _minimise(problem.terminal_cost, drawn.mean(0), -far, far)
        values, vectors = torch.linalg.eigh(torch.func.hessian(lambda x: problem.terminal_cost(x[None])[0])(z))
        flat = vectors[:, values.abs() <= 1e-9 * values.abs().max()]
    low, high = problem.control_bounds(z)
    rest = torch.zeros_like(low).clamp(low, high)
    free = flat.shape[1]
    far = torch.full((free,), REACH, dtype=torch.float64)
    time = torch.zeros((), dtype=torch.float64)

    def rate(y: Tensor) -> Tensor:
        return problem.dynamics(time, z + y[:, :free] @ flat.mT, y[:, free:])

    start = torch.cat([torch.zeros(free, dtype=torch.float64), rest])
    found = _minimise(lambda y: 0.5 * rate(y).square().sum(-1), start, torch.cat([-far, low]), torch.cat([far, high]))
    left, first = float(rate(found[None]).norm()), float(rate(start[None]).norm())
    if not left <= SMALL * (1 + first):
        where = "the state that minimises its terminal cost" if target is None else "the target"
        raise ValueError(
            f"{type(problem).__name__} has no equilibrium at {where}, {(z + flat @ found[:free]).tolist()}: the least "
            f"|f| found with a control within its bounds is {left:.3g}; pass target, or target and control"
        )
    return z + flat @ found[:free], found[free:]


def given(name: str, point: Point, size: int) -> Tensor:
    """A point a caller gave, ``(size,)`` float64, or a ValueError."""
    array = as_numbers(point, name).detach().double().cpu()
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {tuple(array.shape)}; expected ({size},)")
    if not array.isfinite().all():
        raise ValueError(f"{name} is {array.tolist()}; expected finite numbers")
    return array


def _minimise(objective: Callable[[Tensor], Tensor], start: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A local minimiser ``(d,)`` of ``objective``, a function of ``(B, d)``, in [low, high]."""
    search = _Search(objective, len(start), low, high)
    nowhere = start.new_zeros(1, 1)
    newton = ProjectedNewton(len(STEP_LENGTHS))
    return solve_argmax(
        search, 0.0, nowhere, nowhere, operator=newton, u0=start[None], max_iterations=200, tolerance=1e-12
    ).control[0]
