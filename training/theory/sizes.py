"""What the derivative of one argmax costs as the number of coupled controls grows."""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from ...controllers.argmax import solve_argmax
from ...controllers.implicit import ImplicitGradient, LinearSolve
from ...controllers.operators import GradientAscent, ProjectedNewton
from ...envs.coupled import CoupledControls
from ...envs.problem import Problem

SMALL = 32
"""Coupled controls up to which Newton takes part in the study of sizes."""
WAYS = {
    "unroll + ascent": (False, "unroll"), "implicit, dense": (False, ImplicitGradient("dense")),
    "implicit, cg": (False, ImplicitGradient("cg")), "jfb + ascent": (False, "jfb"), "jfb + newton": (True, "jfb"),
    "unroll + newton": (True, "unroll"),
}  # fmt: skip
"""Name -> (search by Newton, else by ascent; how to differentiate)."""


def seconds_by_size(sizes: tuple[int, ...], batch: int = 32, iterations: int = 50) -> list[dict[str, Any]]:
    """Wall time of one argmax on ``CoupledControls(m)`` without and with its derivative, medians of 3.

    The search is the same for all ways that name no Newton, ``iterations`` of ascent, so they differ by the price of
    the derivative alone. Beside it: the relative error of the derivative against
    the dense solve at the same u, and cg's worst relative residual. Forming a dense H_uu is part of its price.
    """
    rows = []
    for size in sizes:
        problem = CoupledControls(size)
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(batch, size, generator=generator)
        p = torch.randn(batch, size, generator=generator) / math.sqrt(size)
        exact: dict[bool, Tensor] = {}
        for name, (newton, gradient) in WAYS.items():
            if newton and size > SMALL:
                continue  # a derived dense Hessian in every iteration: minutes
            operator = ProjectedNewton() if newton else GradientAscent(0.1)
            solves: list[LinearSolve] = []
            if isinstance(gradient, ImplicitGradient) and gradient.solver == "cg":
                gradient = ImplicitGradient("cg", on_solve=solves.append)
            iterated = 8 if newton else iterations
            *times, found = _price(problem, z, p, operator, gradient, iterated)
            if newton not in exact:
                exact[newton] = _price(problem, z, p, operator, ImplicitGradient("dense"), iterated)[2]
            error = float((found - exact[newton]).norm() / exact[newton].norm())
            rows.append({
                "size": size, "way": name, "search_seconds": times[0], "seconds": times[1], "relative_error": error,
                "cg_residual": max((float(s.residual.max()) for s in solves), default=None),
            })  # fmt: skip
    return rows


def _price(
    problem: Problem, z: Tensor, p: Tensor, operator: Any, gradient: Any, iterations: int
) -> tuple[float, float, Tensor]:
    """Median seconds of the search alone, and of the search with its derivative; the two take turns."""
    alone: list[float] = []
    both: list[float] = []
    found, away = p, torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    for _ in range(4):
        for times, tracked in ((alone, False), (both, True)):
            q = p.clone().requires_grad_(tracked)
            begin = time.perf_counter()
            u = solve_argmax(
                problem, 0.0, z, q, operator=operator, gradient=gradient, max_iterations=iterations, tolerance=0
            ).control
            if tracked:
                (found,) = torch.autograd.grad((u * away).sum(), q)
            times.append(time.perf_counter() - begin)
    return statistics.median(alone[1:]), statistics.median(both[1:]), found
