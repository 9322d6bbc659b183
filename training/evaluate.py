"""How good is a controller: cost, terminal error, success, residual, latency, gap to the optimum."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..controllers.chosen import Flight
from ..controllers.policy import ImplicitPolicy
from ..envs.checking import check_functions
from ..envs.fields import check_callable
from ..envs.integrate import Controller, Trajectory, begun, rollout
from ..envs.problem import Problem, vector
from ..envs.states import as_numbers, as_states
from .lost import ended, held_back

PATIENCE, FEWEST = 2.0, 5
"""Seconds for which the time of an answer is measured; calls at least."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Figures over a batch of initial states.

    Attributes:
        cost: ``(B,)`` J = ∫L + G.
        terminal_error: ``(B,)`` distance from the target at T.
        success: ``(B,)`` whether that is within ``problem.success_radius``.
        residual: ``(K, B)`` relative argmax residual along the paths; ``None`` for a controller without an argmax.
        latency: median seconds of one answer along a flight, ``predict`` with what it remembers if there is one, else
            the call.
        first_answer: seconds of that at its beginning, where there is nothing to remember.
        trajectory: the paths.
        reference_cost: ``(B,)`` optimal costs from the same states; nan where they are not known, and left out of the
            figures.
        metrics: the problem's own along the paths, each ``(K + 1, B)``.
        lost: ``(B,)`` flights that left the finite numbers; as in the environment each costs ``problem.lost_cost``, and
            stays at its last finite state. ``None`` where there are none.
    """

    cost: Tensor
    terminal_error: Tensor
    success: Tensor
    residual: Tensor | None
    latency: float
    first_answer: float
    trajectory: Trajectory
    reference_cost: Tensor | None = None
    metrics: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    lost: Tensor | None = None

    @property
    def gap(self) -> Tensor | None:
        """How far above the reference, ``(B,)``; see ``relative_gap``."""
        return None if self.reference_cost is None else relative_gap(self.cost, self.reference_cost)

    def summary(self) -> dict[str, float]:
        """The figures as plain numbers, for tables and JSON."""
        figures = {
            "states": float(len(self.cost)),
            "cost_mean": float(self.cost.mean()),
            "cost_std": float(self.cost.std(correction=0)),
            "cost_median": float(self.cost.median()),
            "cost_worst": float(self.cost.max()),
            "running_cost_mean": float(self.trajectory.running_cost.mean()),
            "terminal_error_mean": float(self.terminal_error.mean()),
            "terminal_error_worst": float(self.terminal_error.max()),
            "success_rate": float(self.success.float().mean()),
            **({} if self.lost is None else {"lost_rate": float(self.lost.float().mean())}),
            "latency_ms": 1e3 * self.latency,
            "first_answer_ms": 1e3 * self.first_answer,
        }
        if self.residual is not None:
            figures["residual_mean"] = float(self.residual.mean())
            figures["residual_999"] = float(np.quantile(self.residual.numpy(), 0.999))
            figures["residual_max"] = float(self.residual.max())
        if self.reference_cost is not None:
            known = self.reference_cost.isfinite()
            figures["reference_states"] = float(known.sum())
            if known.any():
                cost, optimum = self.cost[known], self.reference_cost[known]
                gap = relative_gap(cost, optimum)
                figures["reference_mean"] = float(optimum.mean())
                figures["relative_gap_of_means"] = float(relative_gap(cost.mean(), optimum.mean()))
                figures["gap_mean"], figures["gap_median"] = float(gap.mean()), float(gap.median())
                figures["gap_worst"] = float(gap.max())
        for name, metric in self.metrics.items():
            figures[f"{name}_at_T_mean"] = float(metric[-1].mean())
            figures |= {f"{name}_path_min": float(metric.min()), f"{name}_path_max": float(metric.max())}
        return figures


def relative_gap(cost: Tensor, optimum: Tensor) -> Tensor:
    """(cost - optimum) / |optimum|, which is cost / optimum - 1 where costs are positive."""
    return (cost - optimum) / optimum.abs()


def gap_figures(gap: Tensor) -> dict[str, float]:
    """Mean, median and worst of the gaps that are known, (B,) with nan for the others; nan where none is."""
    known = gap[~gap.isnan()]
    if not len(known):
        return dict.fromkeys(("mean", "median", "worst"), math.nan)
    return {"mean": float(known.mean()), "median": float(known.quantile(0.5)), "worst": float(known.max())}


@torch.no_grad()
def evaluate(
    problem: Problem,
    controller: Controller,
    z0: Tensor,
    reference_cost: Tensor | None = None,
    flown: Trajectory | None = None,
) -> Evaluation:
    """Fly ``controller`` from ``z0``, ``(B, n)``, and measure.

    Args:
        problem: what is controlled.
        controller: any callable (t, z) -> u; an ``ImplicitPolicy`` that seeks one also reports its argmax residual.
        z0: initial states; their device and dtype are used throughout.
        reference_cost: ``(B,)`` optimal costs from the same states.
        flown: paths from ``z0`` that were flown elsewhere, by ``simulate`` in a simulator, to be measured instead of
            the model's own.

    Raises:
        ValueError: on bad states, if ``flown`` is not from ``z0``, or if a control is not finite (with the index of
            the first such flight).
    """
    z0 = as_states(problem, z0, "z0")
    check_callable(controller)
    if not len(z0):
        raise ValueError("z0 has no states; expected one or more")
    check_functions(problem, z0.device)
    residuals: list[Tensor] = []
    flying = begun(controller)
    seeks = isinstance(controller, ImplicitPolicy) and controller.max_iterations > 0  # a plan's control is no argmax

    def observed(t: Tensor, z: Tensor) -> Tensor:
        if not seeks or not isinstance(flying, ImplicitPolicy | Flight):
            return flying(t, z)
        solution = flying.solve(t, z)
        residuals.append(solution.residual.cpu())
        return solution.control

    path = rollout(problem, held_back(observed), z0) if flown is None else _from(flown, z0)
    path, lost = ended(problem, path)
    if flown is not None and seeks:
        assert isinstance(controller, ImplicitPolicy)
        residuals = [controller.solve(t, z).residual.cpu() for t, z in zip(path.t[:-1], path.z[:-1], strict=True)]
    error = problem.terminal_error(path.z[-1])
    if reference_cost is not None:
        reference_cost = as_numbers(reference_cost, "reference_cost")
    if reference_cost is not None and reference_cost.shape != path.cost.shape:
        came = tuple(reference_cost.shape)
        raise ValueError(f"reference_cost is {came}; expected a tensor of shape {tuple(path.cost.shape)}")
    bound = vector(problem.state_bound, problem.state_dim, path.z)
    first, later = latency(controller, path.z[:-1, 0].clamp(-bound, bound), path.t[:-1])
    measured = [{k: v.cpu() for k, v in problem.metrics(z).items()} for z in path.z]
    return Evaluation(
        cost=path.cost.cpu(),
        terminal_error=error.cpu(),
        success=((error <= problem.success_radius) & ~lost).cpu(),
        residual=torch.stack(residuals) if residuals else None,
        latency=later,
        first_answer=first,
        trajectory=path,
        reference_cost=None if reference_cost is None else reference_cost.cpu(),
        metrics={name: torch.stack([m[name] for m in measured]) for name in measured[0]},
        lost=lost.cpu() if lost.any() else None,
    )


def _from(flown: Trajectory, z0: Tensor) -> Trajectory:
    if flown.z.shape[1:] != z0.shape or not torch.allclose(flown.z[0], z0.to(flown.z), atol=1e-5):
        raise ValueError(
            f"flown begins with states other than z0 (it has {flown.z.shape[1]}, z0 {len(z0)}); expected paths from z0"
        )
    return flown


def latency(controller: Any, z: Tensor, t: Tensor, calls: int = 200) -> tuple[float, float]:
    """Seconds of an answer along a flight, ``z (K, n)`` and ``t (K,)``: of its first, and the median of later ones.

    One at a time, with what ``predict`` remembers. The first of all and a tenth of the later ones warm up; those begin
    at half time, and there again at the end. Where answers are slow fewer are asked for, as many as PATIENCE seconds
    hold.
    """
    seen = torch.cat([z.cpu(), t.cpu().unsqueeze(-1).to(z.dtype)], -1).numpy().astype(np.float32)

    def asked(k: int, memory: Any) -> tuple[float, Any]:
        begin = time.perf_counter()
        if hasattr(controller, "predict"):
            answer = controller.predict(seen[k], *([] if memory is None else [memory]))
            memory = answer[1] if isinstance(answer, tuple) else None
        else:
            controller(t[k], z[k : k + 1])
        return time.perf_counter() - begin, memory

    asked(0, None)
    first, memory = asked(0, None)
    times: list[float] = []
    middle = len(z) // 2
    while len(times) < calls and (len(times) < FEWEST or sum(times[1:]) < PATIENCE):
        seconds, memory = asked(middle + len(times) % (len(z) - middle), memory)
        times.append(seconds)
    return first, statistics.median(times[max(1, len(times) // 10) :])
