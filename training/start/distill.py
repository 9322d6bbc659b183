"""Distillation: open-loop optima and the feedback about them, taught to one network before JFB trains it."""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import torch
from rich.progress import track
from torch import Tensor

from ...controllers.argmax import solve_argmax
from ...controllers.hamiltonian import hamiltonian
from ...controllers.operators import ProjectedNewton
from ...controllers.optimum import expand
from ...controllers.search import Starts
from ...controllers.value import ValueFunction
from ...envs.compiling import compiled
from ...envs.problem import Problem, vector
from ..config import TrainConfig
from ..console import PlainConsole
from ..parallel import gathered, share_gradient, team
from ..schedule import clip_gradient, one_cycle
from ..soap import make_optimizer
from .nominal import SEED, gentle, nominal_path, optima

SPREAD = 1.2
"""Optima begin this much further from the mean of rho_0 than its draws, so that its tails lie within."""
CHUNK = 500
"""Optima solved and expanded at a time: what bounds the memory."""
BATCH = 1024
"""Lessons per step of the optimizer."""
WARMUP = 0.05
"""Share of the steps in which the learning rate rises."""
BESIDE = 0.5
"""Share of the lessons that lie beside an optimal path, where the feedback along it is the teacher. Without any, a
network learns the paths and not how to stay on them, and its closed loop flies off."""
REACH = 0.25
"""How far the feedback may ask for, in ranges of the control: beyond that a lesson is taken from nearer to the path."""


class Teacher(NamedTuple):
    """What N optima say at each of the K control steps.

    Attributes:
        t: ``(K,)``.
        state: ``(K, N, n)``.
        control: ``(K, N, m)``, held over the step.
        gain: ``(K, N, m, n)``, the feedback along the optimum.
        weight: ``(N,)``, mean 1: the inverse of the optimum's cost, as the relative gap has it.
    """

    t: Tensor
    state: Tensor
    control: Tensor
    gain: Tensor
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
    differentiated through the argmax; where both rest on the same bound, neither moves. Where the search for v ended
    below u, which H that is not concave permits, it is 0.
    """
    with torch.no_grad():
        v = solve_argmax(problem, t, z, p, operator=ProjectedNewton(3), max_iterations=5, starts=starts).control
    return (hamiltonian(problem, t, z, p, v) - hamiltonian(problem, t, z, p, u)).clamp_min(0.0)


def distilled(problem: Problem, value: ValueFunction, config: TrainConfig) -> ValueFunction:
    """``value``, taught ``config.anchors`` optima from draws of rho_0, and the feedback beside them.

    Minimises E[weight · fenchel_young] over the control steps of the optima, ``config.distill_iterations`` steps of
    ``config.optimizer`` on one cycle of learning rates. It knows no roll-out: that the errors do not add up is JFB's to
    see to.

    Raises:
        ValueError: if no optimum was found at all.
    """
    console = PlainConsole()
    console.print(f"distilling {config.anchors} optima", highlight=False)
    teacher = consult(problem, config, console)
    left = teach(problem, value, teacher, config)
    console.print(f"distilled: {len(teacher.weight)} optima; the loss ends at {left:.4f}", highlight=False)
    return value


def consult(problem: Problem, config: TrainConfig, console: PlainConsole | None = None) -> Teacher:
    """The optima from ``config.anchors`` draws of rho_0, those that were found, and the feedback along each; float32.

    They are sought within ``config.nominal_share`` of ``problem.gentle_bounds``, and, with ``config.nominal``, from the
    optimum of the mean on, so that all belong to one family. Several processes share them out.
    """
    z0 = problem.sample_initial_state(config.anchors, torch.Generator().manual_seed(SEED)).double()
    z0 = torch.lerp(z0.mean(0), z0, SPREAD)
    nominal = nominal_path(problem, config.nominal_share) if config.nominal else None
    within = gentle(problem, config.nominal_share)
    console = console or PlainConsole()
    parts: list[Teacher] = []
    me = team()
    own = z0.split(CHUNK if me.count == 1 else max(1, min(CHUNK, -(-len(z0) // me.count))))[me.rank :: me.count]
    for part in track(own, "optima", transient=True, console=console):
        if parts:
            console.print(f"{sum(len(p.weight) for p in parts)} of {sum(map(len, own))} optima", highlight=False)
        try:
            path = optima(problem, part, config.nominal_share, near=nominal)
        except ValueError as error:  # none in this part
            logging.getLogger(__name__).warning("%s", error)
            continue
        found = expand(problem, path, within=within.control_bounds(path.u))
        assert found.gain is not None
        sound = (found.gain.isfinite().flatten(2).all(-1).all(0) & path.cost.isfinite()).nonzero().ravel()
        state, control, gain = (x.index_select(1, sound) for x in (path.z[:-1], path.u, found.gain))
        parts.append(Teacher(path.t[:-1], state, control, gain, path.cost[sound]))
    parts = gathered(parts)
    if not sum(len(part.weight) for part in parts):
        raise ValueError(f"no optimum was found from any of {len(z0)} initial states of {type(problem).__name__}")
    state, control, gain = (torch.cat([getattr(p, name) for p in parts], 1) for name in ("state", "control", "gain"))
    cost = torch.cat([p.weight for p in parts]).abs()
    weight = cost.clamp_min(0.1 * float(cost.mean()) + 1e-12).reciprocal()
    return Teacher(*(x.float() for x in (parts[0].t, state, control, gain, weight / weight.mean())))


def teach(problem: Problem, value: ValueFunction, teacher: Teacher, config: TrainConfig) -> float:
    """Fit ``value`` to ``teacher``, in place; returns the mean loss over the last hundredth of the steps.

    Several processes share out the lessons of each step.
    """
    device, generator = value.scale.device, torch.Generator().manual_seed(config.seed)

    def loss(t: Tensor, z: Tensor, u: Tensor, weight: Tensor) -> Tensor:
        return (weight * fenchel_young(problem, t, z, value.gradient(t, z)[1], u, config.starts)).mean()

    if config.compiled:
        loss = compiled(loss, device)
    optimizer = make_optimizer(value, config, config.distill_rate)
    usual, last = 0.0, []
    rows = team().rows(BATCH)
    for iteration in track(range(config.distill_iterations), "distilling", transient=True, console=PlainConsole()):
        share = iteration / config.distill_iterations
        optimizer.param_groups[0]["lr"] = one_cycle(config.distill_rate, WARMUP, share)
        lessons = ask(problem, teacher, config.distill_distance, generator)
        current = loss(*(x[rows].to(device) for x in lessons))
        optimizer.zero_grad(set_to_none=True)
        current.backward()
        if team().count > 1:
            part = (rows.stop - rows.start) / BATCH
            (current,) = share_gradient(value, part, [part * current.detach()])
        usual, size = clip_gradient(value, config.gradient_clip, usual)
        if math.isfinite(size):
            optimizer.step()
        if iteration >= 0.99 * (config.distill_iterations - 1):
            last.append(float(current.detach()))
    left = sum(last) / len(last)
    if not math.isfinite(left):
        raise ValueError(f"distillation ended with a loss of {left}; is distill_rate too high?")
    return left


def ask(problem: Problem, teacher: Teacher, distance: float, generator: torch.Generator) -> Lessons:
    """``BATCH`` lessons at random steps of random optima: at z_i + δ, u_i + K_i δ within the bounds.

    For half of them δ = 0. The others lie up to ``distance`` away, in standard deviations of one ``fine_scale`` (or
    ``state_scale``), or nearer, see ``REACH``.
    """
    n, m, beside = problem.state_dim, problem.control_dim, int(BESIDE * BATCH)
    k = torch.randint(len(teacher.t), (BATCH,), generator=generator)
    i = torch.randint(teacher.state.shape[1], (BATCH,), generator=generator)
    z, u = teacher.state[k, i], teacher.control[k, i]
    size = torch.zeros(BATCH, 1)
    size[:beside] = distance * torch.rand(beside, 1, generator=generator)
    scale = vector(problem.state_scale if problem.fine_scale is None else problem.fine_scale, n, z)
    apart = size * scale * torch.randn(BATCH, n, generator=generator)
    push = (teacher.gain[k, i] @ apart.unsqueeze(-1)).squeeze(-1)
    low, high = (vector(bound, m, z) for bound in problem.gentle_bounds)
    share = (REACH * (high - low) / push.abs().clamp_min(1e-12)).amin(-1, keepdim=True).clamp_max(1.0)
    # an optimal control beyond the gentle bounds is kept as it is
    answer = torch.maximum(torch.minimum(u + share * push, torch.maximum(high, u)), torch.minimum(low, u))
    return Lessons(teacher.t[k], z + share * apart, answer, teacher.weight[i])
