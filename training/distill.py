"""Distillation: open-loop optima and the feedback about them, taught to one network before JFB trains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from ..controllers.argmax import Starts, solve_argmax
from ..controllers.hamiltonian import hamiltonian
from ..controllers.operators import ProjectedNewton
from ..controllers.reference import ReferenceTrajectory
from ..controllers.sweep import Expansion, expand, joined
from ..controllers.value import ValueFunction
from ..envs.compiling import compiled
from ..envs.problem import Problem, vector
from .config import TrainConfig
from .nominal import SEED, optima
from .schedule import clip_gradient, one_cycle

SPREAD = 1.2
"""Optima begin this much further from the mean of rho_0 than its draws, so that its tails lie within."""
CHUNK = 500
"""Optima solved and expanded at a time: what bounds the memory."""
BATCH = 1024
"""Lessons per step of Adam."""
RATE, WARMUP = 1e-2, 0.05
"""Peak of Adam's learning rate, and the share of the steps in which it rises."""
BESIDE = 0.3
"""Share of the lessons that lie beside an optimal path, where its second-order feedback is the teacher. Without any,
the quadrotor of wide initial states learns the paths and not how to stay on them: measured, 290 times the optimum,
against 5 % above it."""
DISTANCE = 0.03
"""How far beside, at most, in standard deviations of one ``state_scale``."""


Feedback: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(t, z, p) -> argmax_u H(t, z, p, u)."""


class Teacher(NamedTuple):
    """What N optima say at each of the K control steps.

    Attributes:
        t: ``(K,)``.
        state, costate: ``(K, N, n)``.
        control: ``(K, N, m)``, held over the step.
        curvature: ``(K, N, n, n)``.
        weight: ``(N,)``, mean 1: the inverse of the optimum's cost, as the relative gap has it.
    """

    t: Tensor
    state: Tensor
    control: Tensor
    costate: Tensor
    curvature: Tensor
    weight: Tensor


class Lessons(NamedTuple):
    """At t ``(B,)`` and z ``(B, n)`` play u ``(B, m)``; how much each counts, ``(B,)``."""

    t: Tensor
    z: Tensor
    u: Tensor
    weight: Tensor


def fenchel_young(problem: Problem, t: Tensor, z: Tensor, p: Tensor, u: Tensor, starts: Starts = "single") -> Tensor:
    """max_v H(t, z, p, v) - H(t, z, p, u), ``(B,)``: at least 0, and 0 where u is what the costate p plays.

    The Fenchel-Young loss (Blondel, Martins and Niculae 2020) of the map p -> argmax_u H, for f that is affine in u a
    convex function of p. By the envelope theorem its derivative in p is f(t, z, u) - f(t, z, v), so that nothing is
    differentiated through the argmax; where both rest on the same bound, neither moves.
    """
    with torch.no_grad():
        v = solve_argmax(problem, t, z, p, operator=ProjectedNewton(3), max_iterations=5, starts=starts).control
    return hamiltonian(problem, t, z, p, v) - hamiltonian(problem, t, z, p, u)


def distilled(problem: Problem, value: ValueFunction, config: TrainConfig) -> ValueFunction:
    """``value``, taught ``config.anchors`` optima from draws of rho_0, and the feedback beside them.

    Minimises E[weight · fenchel_young] over the control steps of the optima, ``config.distill_iterations`` steps of
    Adam on one cycle of learning rates. It knows no roll-out: that the errors do not add up is JFB's to see to.

    Raises:
        ValueError: if IPOPT found no optimum at all.
    """
    console = Console()
    console.print(f"distilling {config.anchors} optima, {config.processes} at a time", highlight=False)
    teacher = consult(problem, config.anchors, config.processes)
    left = teach(problem, value, teacher, config)
    console.print(f"distilled: {len(teacher.weight)} optima; the loss ends at {left:.4f}", highlight=False)
    return value


def consult(problem: Problem, count: int, processes: int = 1) -> Teacher:
    """The optima from ``count`` draws of rho_0, those that IPOPT found; float32."""
    z0 = problem.sample_initial_state(count, torch.Generator().manual_seed(SEED)).double()
    z0 = torch.lerp(z0.mean(0), z0, SPREAD)
    paths: list[ReferenceTrajectory] = []
    expansion: Expansion | None = None
    for part in track(z0.split(CHUNK), "optima", transient=True):
        paths.append(optima(problem, part, processes=processes))
        found = expand(problem, paths[-1])
        expansion = found if expansion is None else joined(expansion, found)
    assert expansion is not None
    cost, steps = torch.cat([path.cost for path in paths]), problem.steps
    size = cost.abs().clamp_min(0.1 * cost.abs().mean() + 1e-12)
    return Teacher(
        paths[0].t[:steps].float(),
        expansion.state[:steps].float(),
        torch.cat([path.u for path in paths], 1).float(),
        expansion.costate[:steps].float(),
        expansion.curvature[:steps].float(),
        (size.reciprocal() / size.reciprocal().mean()).float(),
    )


def teach(problem: Problem, value: ValueFunction, teacher: Teacher, config: TrainConfig) -> float:
    """Fit ``value`` to ``teacher``, in place; returns the mean loss over the last hundredth of the steps."""
    device, generator = value.scale.device, torch.Generator().manual_seed(config.seed)
    operator, usual = ProjectedNewton(3), 0.0

    def loss(t: Tensor, z: Tensor, u: Tensor, weight: Tensor) -> Tensor:
        return (weight * fenchel_young(problem, t, z, value.gradient(t, z)[1], u, config.starts)).mean()

    def feedback(t: Tensor, z: Tensor, p: Tensor) -> Tensor:
        return solve_argmax(problem, t, z, p, operator=operator, max_iterations=5, starts=config.starts).control

    if config.compile:
        loss, feedback = compiled(loss, device), compiled(feedback, device)
    optimizer = torch.optim.Adam(value.parameters(), lr=RATE, betas=config.betas)
    last: list[float] = []
    for iteration in track(range(config.distill_iterations), "distilling", transient=True):
        share = iteration / config.distill_iterations
        optimizer.param_groups[0]["lr"] = one_cycle(RATE, WARMUP, share)
        current = loss(*(x.to(device) for x in ask(problem, teacher, feedback, generator)))
        optimizer.zero_grad(set_to_none=True)
        current.backward()
        usual, _ = clip_gradient(value, config.gradient_clip, usual, iteration == 0)
        optimizer.step()
        last += [float(current)] if share > 0.99 else []
    return sum(last) / max(1, len(last))


@torch.no_grad()
def ask(problem: Problem, teacher: Teacher, feedback: Feedback, generator: torch.Generator) -> Lessons:
    """``BATCH`` lessons at random steps of random optima.

    On the path the control is the optimal one; beside it, at z = z_i + δ, argmax_u H(t, z, p_i + P_i δ, u).
    """
    count, beside = teacher.state.shape[1], int(BESIDE * BATCH)
    k = torch.randint(len(teacher.t), (BATCH,), generator=generator)
    i = torch.randint(count, (BATCH,), generator=generator)
    t, z, u = teacher.t[k], teacher.state[k, i], teacher.control[k, i].clone()
    apart = torch.randn(beside, z.shape[1], generator=generator) * torch.rand(beside, 1, generator=generator)
    apart = DISTANCE * vector(problem.state_scale, z.shape[1], z) * apart
    row, own = k[:beside], i[:beside]
    z[:beside] += apart
    p = teacher.costate[row, own] + (teacher.curvature[row, own] @ apart.unsqueeze(-1)).squeeze(-1)
    u[:beside] = feedback(t[:beside], z[:beside], p)
    return Lessons(t, z, u, teacher.weight[i])
