"""The linear solve of implicit differentiation, matrix-free, for controls too many for dense blocks."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..envs.fields import finite, whole
from ..envs.problem import ControlHamiltonian
from .operators import Box, held, newton_direction

LARGE = 64
"""Controls in a block from which on ``ImplicitGradient(solver="auto")`` goes matrix-free."""


class LinearSolve(NamedTuple):
    """What became of (I - ∂T/∂u)ᵀ w = v: relative residual ``(B,)``, and how many products with H_uu it took."""

    residual: Tensor
    products: int


@dataclasses.dataclass(frozen=True)
class ImplicitGradient:
    """Implicit differentiation (slides, eq. 6), and how its linear system is solved.

    Both operators lead to the same one. On the free controls I - ∂T/∂u is -α H_uu for ascent and I for Newton, and
    ∂T/∂θ is α H_uθ and -H_uu^-1 H_uθ: what remains is -H_uu w = v.

    Attributes:
        solver: ``"dense"`` factorises the blocks of H_uu; ``"cg"`` runs the conjugate gradients of ``linear_operator``
            on products with H_uu, for hundreds of coupled controls (``pip install "pontryagin[implicit]"``); ``"auto"``
            is dense up to 64 controls a block. cg reads values on the host, so it does not compile.
        tolerance: of cg, on the mean over the batch of the relative residual.
        max_iterations: of cg.
        on_solve: called after each solve of cg, in the backward pass, with its ``LinearSolve``.

    Raises:
        ValueError: if a setting makes no sense.
        ImportError: when used, if cg is asked for and ``linear_operator`` is not installed.
    """

    solver: Literal["auto", "dense", "cg"] = "auto"
    tolerance: float = 1e-6
    max_iterations: int = 200
    on_solve: Callable[[LinearSolve], None] | None = None

    def __post_init__(self) -> None:
        if self.solver not in ("auto", "dense", "cg"):
            raise ValueError(f"ImplicitGradient.solver is {self.solver!r}; expected 'auto', 'dense' or 'cg'")
        if not finite(self.tolerance) or self.tolerance <= 0:
            raise ValueError(f"ImplicitGradient.tolerance is {self.tolerance!r}; expected a positive, finite number")
        found = whole(self.max_iterations, "ImplicitGradient.max_iterations")
        object.__setattr__(self, "max_iterations", found)  # frozen for everybody else

    def matrix_free(self, block: int) -> bool:
        """Whether blocks of this size go to cg."""
        return self.solver == "cg" or (self.solver == "auto" and block > LARGE)

    def direction(self, h: ControlHamiltonian, u: Tensor, slope: Tensor, box: Box, block: int) -> Tensor:
        """-H_uu^-1 slope on the free controls, to be differentiated in ``slope``; by cg its value is 0."""
        if not self.matrix_free(block):
            return newton_direction(h, u, slope, box)
        _library()  # refused here, not in the backward pass
        answer: Tensor = _ConjugateGradients.apply(slope, h, u, ~held(u, slope.detach(), box), self)
        return answer


class _ConjugateGradients(torch.autograd.Function):
    """0 forwards; backwards v -> w with -H_uu w = v on the free controls. H_uu is symmetric, so the transpose is it."""

    @staticmethod
    def forward(
        ctx: Any, slope: Tensor, h: ControlHamiltonian, u: Tensor, free: Tensor, settings: ImplicitGradient
    ) -> Tensor:
        ctx.h, ctx.settings = h, settings
        ctx.save_for_backward(u, free)
        return torch.zeros_like(slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        u, free = ctx.saved_tensors
        return matrix_free_solve(ctx.h, u, free, v, ctx.settings), None, None, None, None


def matrix_free_solve(h: ControlHamiltonian, u: Tensor, free: Tensor, v: Tensor, settings: ImplicitGradient) -> Tensor:
    """w with -H_uu w = v on the free controls and 0 on the others, ``(B, m)``, by products with H_uu alone."""
    linear_cg, numerical_warning = _library()
    # One sample that is not finite would stop the solver for all: it is left out, and its answer is nan.
    sound = (v.isfinite() & h.gradient(u).isfinite()).all(-1, keepdim=True)
    u, v = torch.where(sound, u, 0.0), torch.where(sound, v, 0.0)
    mask, count, back = (free & sound).to(v.dtype), 0, torch.func.vjp(h.gradient, u)[1]

    def product(x: Tensor) -> Tensor:
        nonlocal count
        count += 1
        inside = mask * x.squeeze(-1)
        curved = torch.where(sound, back(inside)[0], 0.0)
        return (x.squeeze(-1) - inside - mask * curved).unsqueeze(-1)

    right = (mask * v).unsqueeze(-1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", numerical_warning)  # the residual is reported instead
        w = linear_cg(
            product, right, tolerance=settings.tolerance, max_iter=settings.max_iterations, eps=1e-30,
            stop_updating_after=1e-14, max_tridiag_iter=1,
        )  # fmt: skip
        if settings.on_solve is not None:
            size = right.norm(dim=(-2, -1))
            settings.on_solve(LinearSolve((product(w) - right).norm(dim=(-2, -1)) / size.clamp_min(1e-30), count))
    return torch.where(sound, mask * w.squeeze(-1), torch.nan)


def _library() -> tuple[Any, type[Warning]]:
    try:
        from linear_operator.utils.linear_cg import linear_cg
        from linear_operator.utils.warnings import NumericalWarning
    except ImportError:
        raise ImportError('matrix-free implicit differentiation needs: pip install "pontryagin[implicit]"') from None
    return linear_cg, NumericalWarning
