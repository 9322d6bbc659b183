"""The fixed-point operators T of the argmax: the projected ascent of the slides, and projected Newton."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from ..envs.fields import finite, whole
from ..envs.problem import ControlHamiltonian
from .looking import host_may_look
from .matrix_free import matrix_free_direction

Box: TypeAlias = tuple[Tensor, Tensor]
Solver: TypeAlias = Literal["auto", "dense", "cg"]
STEP_LENGTHS = tuple(2.0**-k for k in (0, 1, 2, 4, 6, 9, 12, 16, 20, 24))
UNROLLED = 8
"""Rows up to which a block is factorised by code written out, which compiles and exports."""


@dataclasses.dataclass(frozen=True)
class GradientAscent:
    """The operator of the slides: T(u) = P(u + α ∇_u H), P the projection on [low, high] (eq. 5 and below).

    ``memory`` is the number of past iterates with which Anderson acceleration mixes (``controllers.anderson``); 0 is
    the plain iteration u <- T(u). The fixed points, and so the derivatives, are those of T either way.
    """

    step_size: float
    memory: int = 0
    curved: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not finite(self.step_size) or self.step_size <= 0:
            raise ValueError(f"GradientAscent.step_size is {self.step_size!r}; expected a positive, finite number")
        object.__setattr__(self, "step_size", float(self.step_size))  # frozen for everybody else
        object.__setattr__(self, "memory", whole(self.memory, "GradientAscent.memory", 0))

    def iterate(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box, bend: Tensor | None = None) -> Tensor:
        """T(u), ``(B, m)``; ``slope`` is ∇_u H at u, ``bend`` H_uu there, if known (not needed here)."""
        return (u + self.step_size * slope).clamp(*box)

    def linearised(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box) -> Tensor:
        """T(u) = P(u + α slope) once more, the slope tracked."""
        return self.iterate(h, u, slope, box)


@dataclasses.dataclass(frozen=True)
class ProjectedNewton:
    """T(u) = P(u - s H_uu^-1 ∇_u H) on the controls that are free, s by backtracking on H in each block.

    With it the JFB gradient is the exact implicit gradient (slides, eq. 6). Proof, on the free controls at u*, s = 1:

        ∂T/∂u = I - H_uu^-1 H_uu - (∂H_uu^-1/∂u) ∇_u H = 0, for ∇_u H = 0 at u* (with the inverse held constant, too);
        hence (I - ∂T/∂u)^-1 ∂T/∂θ = ∂T/∂θ = -H_uu^-1 ∂(∇_u H)/∂θ,
        which is du*/dθ by the implicit function theorem on ∇_u H(u*, θ) = 0.  ∎

    Attributes:
        backtracks: how many of STEP_LENGTHS are tried.
        solver: how H_uu is inverted. ``"auto"``: by the Hamiltonian's own ``solved`` where it has one, else by dense
            blocks; ``"dense"``: by those anyway; ``"cg"``: by conjugate gradients on products with H_uu, which is never
            formed, for hundreds of coupled controls.

    Raises:
        ValueError: if a setting makes no sense.
    """

    backtracks: int = 8
    solver: Solver = "auto"

    def __post_init__(self) -> None:
        if self.solver not in get_args(Solver):
            raise ValueError(f"ProjectedNewton.solver is {self.solver!r}; expected one of {get_args(Solver)}")
        found = whole(self.backtracks, "ProjectedNewton.backtracks", most=len(STEP_LENGTHS))
        object.__setattr__(self, "backtracks", found)  # frozen for everybody else

    def iterate(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box, bend: Tensor | None = None) -> Tensor:
        """T(u): of the first ``backtracks`` of STEP_LENGTHS the longest that raises H enough (Armijo), by block.

        ``bend`` is H_uu at u where it is known.
        """
        low, high = box
        direction = self.direction(h, u, slope, box, bend)
        lengths = torch.tensor(STEP_LENGTHS[: self.backtracks], dtype=u.dtype, device=u.device).reshape(
            -1, *[1] * u.ndim
        )
        candidates = (u + lengths * direction).clamp(low, high)
        before, after = h.value(torch.cat([u.unsqueeze(0), candidates])).split([1, len(lengths)])
        longest = (raised(before, after, (candidates - u) * slope) * lengths).amax(0)
        return (u + (longest.unsqueeze(-1) * in_blocks(direction, before.shape[-1])).flatten(-2)).clamp(low, high)

    def direction(
        self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box, bend: Tensor | None = None
    ) -> Tensor:
        """-H_uu^-1 ∇_u H on the free controls, no longer than the box.

        A longer step says only that the curvature is small; H may overflow that far out.
        """
        low, high = box
        direction = self._direction(h, u, slope, box, bend)
        return ((high - low) / direction.abs().clamp_min(1e-30)).amin(-1, keepdim=True).clamp_max(1.0) * direction

    def linearised(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box) -> Tensor:
        """P(u - H_uu^-1 slope) once more, the slope tracked and the inverse held constant."""
        return (u + self._direction(h, u, slope, box)).clamp(*box)

    def _direction(
        self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box, bend: Tensor | None = None
    ) -> Tensor:
        own = getattr(h, "solved", None) if self.solver == "auto" else None
        if own is None and self.solver != "cg":
            return newton_direction(h, u, slope, box, bend)
        free = torch.where(held(u, slope.detach(), box), 0.0, torch.ones_like(u))
        if own is None:
            return matrix_free_direction(h, u.detach(), slope, free)
        direction: Tensor = own(u.detach(), slope, free)
        return direction

    @property
    def memory(self) -> int:
        """Newton's method needs no acceleration."""
        return 0

    @property
    def curved(self) -> bool:
        """Whether T takes H_uu."""
        return self.solver != "cg"


Operator: TypeAlias = GradientAscent | ProjectedNewton


def raised(before: Tensor, after: Tensor, gain: Tensor) -> Tensor:
    """Whether H rose from ``before`` to ``after``, by block, by a share of the slope's ``gain (.., m)`` (Armijo)."""
    rounding = 8 * torch.finfo(before.dtype).eps * (1 + before.abs())
    return after >= before + 1e-4 * in_blocks(gain, before.shape[-1]).sum(-1) - rounding


def newton_direction(h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box, bend: Tensor | None = None) -> Tensor:
    """-H_uu^-1 slope on the free controls, 0 on those held by an active bound; differentiable in ``slope`` alone.

    ``bend`` is H_uu at u where it is known.
    """
    with torch.no_grad():
        curvature = -(h.hessian(u.detach()) if bend is None else bend)
        blocks, size = curvature.shape[-3], curvature.shape[-1]
        free = in_blocks(torch.where(held(u, slope, box), 0.0, torch.ones_like(u)), blocks)
        both = free.unsqueeze(-1) * free.unsqueeze(-2)
        identity = torch.eye(size, dtype=u.dtype, device=u.device)
        curvature = curvature * both + identity * (1 - both)
    return solve_blocks(curvature, free * in_blocks(slope, blocks)).flatten(-2)


class Look(NamedTuple):
    """∇_u H at u, what residuals are relative to; and H_uu and H there, where they come along."""

    slope: Tensor
    scale: Tensor
    bend: Tensor | None = None
    value: Tensor | None = None


def look(h: ControlHamiltonian, u: Tensor, scale: Tensor | None = None, curved: bool = True) -> Look:
    """H at u, looked at once; ``scale`` if it is known, ``curved`` if H_uu is wanted."""
    at_once = getattr(h, "look", None)
    seen = None if at_once is None or not curved or torch.is_grad_enabled() else at_once(u, scale is None)
    if seen is None:
        return Look(h.gradient(u), slope_scale(h, u) if scale is None else scale)
    slope, rest, bend, value = seen
    return Look(slope, 1 + rest.abs() if scale is None else scale, bend, value)


def slope_scale(h: ControlHamiltonian, u: Tensor) -> Tensor:
    """1 + |∂H/∂u_j at u = 0|, ``(.., B, m)``: what residuals are relative to, each control by itself."""
    return 1 + h.gradient(torch.zeros_like(u)).abs()


def solve_blocks(matrix: Tensor, right: Tensor, floor: float = 1e-8) -> Tensor:
    """x with ``matrix`` x = ``right`` for symmetric ``(..., b, b)`` blocks, by L D Lᵀ, unrolled where b is small.

    A pivot d that is not positive becomes max(|d|, floor): what is solved stays positive definite, so a Newton
    direction stays a direction of ascent where H is not concave (Gill and Murray's modified factorisation).
    LAPACK's Cholesky takes its place where that is faster and every block turns out positive definite; blocks of more
    than UNROLLED rows are diagonalised, and the eigenvalues treated as the pivots are.
    """
    size = matrix.shape[-1]
    if host_may_look(matrix) and size > 1:
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if not failed.numpy().any():
            return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
    if size > UNROLLED:
        finite = matrix.isfinite().flatten(-2).all(-1)[..., None, None]
        whole = torch.where(finite, matrix, torch.eye(size, dtype=matrix.dtype, device=matrix.device))
        values, vectors = torch.linalg.eigh(whole)  # which would refuse the batch for one bad block
        along = vectors.mT @ right.unsqueeze(-1) / values.abs().clamp_min(floor).unsqueeze(-1)
        return torch.where(finite.squeeze(-1), (vectors @ along).squeeze(-1), torch.nan)
    rest = [list(row.unbind(-1)) for row in matrix.unbind(-2)]
    x, pivots = list(right.unbind(-1)), []
    for j in range(size):  # forward: x <- L^-1 x, and rest keeps the columns of L
        pivots.append(rest[j][j].abs().clamp_min(floor))
        column = [rest[i][j] for i in range(size)[j + 1 :]]
        for i, entry in enumerate(column, j + 1):
            for k in range(j + 1, i + 1):
                rest[i][k] = rest[i][k] - entry * column[k - j - 1] / pivots[j]
            rest[i][j] = entry / pivots[j]
            x[i] = x[i] - rest[i][j] * x[j]
    for j in reversed(range(size)):  # backward: x <- L^-T D^-1 x
        x[j] = x[j] / pivots[j]
        for i in range(j + 1, size):
            x[j] = x[j] - rest[i][j] * x[i]
    return torch.stack(x, -1)


def in_blocks(u: Tensor, blocks: int) -> Tensor:
    return u.unflatten(-1, (blocks, -1))


def held(u: Tensor, slope: Tensor, box: Box) -> Tensor:
    """Controls at a bound that ∇_u H pushes against: the active set."""
    low, high = box
    return ((u <= low) & (slope < 0)) | ((u >= high) & (slope > 0))


def projected_residual(u: Tensor, slope: Tensor, box: Box, scale: Tensor) -> Tensor:
    """Largest component of ∇_u H = ``slope``, relative to its ``scale``, that no active bound holds, ``(.., B)``."""
    return (torch.where(held(u, slope, box), 0.0, slope).abs() / scale).amax(-1)
