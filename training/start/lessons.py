"""Lessons under H_dt: what optima, and the feedback beside them, play, taught to a network on top of one expansion."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable

import torch
from rich.progress import Progress, track
from torch import Tensor

from ...controllers.held import held_hamiltonian
from ...controllers.held_argmax import solve_held_argmax
from ...controllers.operators import ProjectedNewton
from ...controllers.optimum import ReferenceTrajectory, expand_agents, solve_optimum
from ...controllers.value import ExpandedValue, Value
from ...envs.compiling import compiled
from ...envs.problem import Problem
from ...envs.states import drawn
from ..config import TrainConfig
from ..console import PlainConsole
from ..parallel import gathered, own_device, share_gradient, team
from ..schedule import clip_gradient, one_cycle
from .expansion import choose, families, sound
from .nominal import SEED

BATCH = 256
"""Lessons per step of the optimizer."""
BESIDE, DISTANCE, REACH = 0.75, 0.3, 0.1
"""Share of the lessons that lie beside an optimal path; how far at most, in standard deviations over the optima at that
time; and how far the feedback may ask for, in ranges of the control: it is linear, the law is not."""
SPREAD = 1.2
"""Optima begin this much further from the mean of rho_0 than its draws, so that its tails lie within."""
CHUNK, PROBES = 250, 64
"""Optima sought at a time; states flown to choose the one on top of whose expansion the network comes."""
RATE, WARMUP = 1e-2, 0.05
"""Peak of the learning rate; share of the steps in which it rises."""


@dataclasses.dataclass(frozen=True)
class Lessons:
    """What N optima say at each of the K control steps.

    Attributes:
        problem: whose optima.
        state, control: ``(K, N, n)`` and ``(K, N, m)``.
        gain: the feedback along them, ``(K, N, G, m / G, n / G)``, of each of G agents.
        weight: ``(N,)``: the inverse of the optimum's cost, as the relative gap has it, 1 in the mean.
        width: how far the optima are apart, ``(K, n)``: a standard deviation.
    """

    problem: Problem
    state: Tensor
    control: Tensor
    gain: Tensor
    weight: Tensor
    width: Tensor

    @classmethod
    def of(cls, problem: Problem, known: ReferenceTrajectory) -> Lessons:
        """From those of ``known`` that have converged, in the precision of networks."""
        known = sound(known)
        about, cost = expand_agents(problem, known), known.cost.abs()
        weight = cost.clamp_min(0.1 * float(cost.mean()) + 1e-12).reciprocal()
        state, like = about.state[:-1], torch.get_default_dtype()
        width = state.std(1, correction=0) if len(weight) > 1 else state.abs().squeeze(1)
        tables = state, about.control, about.gain, weight / weight.mean(), width
        return cls(problem, *(x.to(like) for x in tables))

    def ask(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """At random steps of random optima: t ``(B,)``, z̄ + δ, u = ū + K δ within the bounds, and what it counts."""
        i = torch.randint(len(self.weight), (count,), generator=generator)
        k = torch.randint(len(self.control), (count,), generator=generator)
        away, gain = self.width[k] * torch.randn(count, self.width.shape[-1], generator=generator), self.gain[k, i]
        push = (gain @ away.unflatten(-1, (gain.shape[1], -1)).unsqueeze(-1)).flatten(1)
        low, high = self.problem.control_bounds(away)
        most = (REACH * (high - low) / push.abs().clamp_min(1e-12)).amin(-1, keepdim=True).clamp_max(DISTANCE)
        size = most * torch.rand(count, 1, generator=generator)
        size = size * (torch.rand(count, 1, generator=generator) < BESIDE)
        u = (self.control[k, i] + size * push).clamp(low, high)
        return k * self.problem.time_step, self.state[k, i] + size * away, u, self.weight[i]


def regret(problem: Problem, phi: Value, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
    """max_v H_dt(t, z, phi, v) - H_dt(t, z, phi, u), ``(B,)``: at least 0, and 0 where phi plays u.

    The Fenchel-Young loss (Blondel, Martins and Niculae 2020) of phi -> argmax H_dt. Were phi the value function, it
    would be what u costs too much in this step, and its sum along a flight J - J*. By the envelope theorem its
    derivative is that of phi at two states, where v and where u lead: nothing is differentiated through the argmax.
    That is sought from u, one application of T: a v that is better than u says as much.
    """
    with torch.no_grad():
        who = phi.speaker(t, z)
        v = solve_held_argmax(problem, phi, t, z, operator=ProjectedNewton(3), u0=u, max_iterations=1, member=who)
    both = held_hamiltonian(problem, phi, t, z, problem.time_step, member=who).value(torch.stack([v.control, u]))
    return (both[0] - both[1]).squeeze(-1).clamp_min(0.0)


def outlying(problem: Problem, count: int, generator: torch.Generator) -> Tensor:
    """Draws of rho_0, SPREAD times as far from their mean, float64."""
    z0 = drawn(problem, count, generator).double()
    return torch.lerp(z0.mean(0), z0, SPREAD)


def beginning(problem: Problem, known: ReferenceTrajectory, width: int, rank: int, seed: int = 0) -> ExpandedValue:
    """The expansion about that one of ``known`` along which the feedback flies best, and a network that is 0."""
    z0 = drawn(problem, PROBES, torch.Generator().manual_seed(SEED + 2)).double()
    return ExpandedValue(problem, choose(problem, expand_agents(problem, sound(known)), z0, 1), width, rank, seed)


@torch.no_grad()
def attune(value: ExpandedValue, lessons: Lessons) -> None:
    """Divide the first weights by how far the lessons lie apart in natural coordinates: the network then sees 1."""
    assert value.network is not None
    away = (lessons.state - value.state[:-1]).to(value.root).unflatten(-1, (-1, value.block))
    s = (value.root[:-1].mT @ away.unsqueeze(-1)).squeeze(-1)  # (K, N, agents, b)
    size = s.square().mean((0, 1)).sqrt().clamp_min(1e-3).unsqueeze(-1)
    for weight in (value.network.opening, value.network.quadratic):
        weight[:, : value.block] /= size


def teach(
    value: ExpandedValue,
    lessons: Lessons,
    share: Callable[[int], float],
    rate: float = RATE,
    seed: int = 0,
    compile: bool = False,
) -> float:
    """Minimise E[weight · regret] over the network of ``value``, in place; the mean loss over the last twentieth.

    Adam on one cycle of learning rates. Several processes share out the lessons of each step.

    Args:
        value: on top of one expansion.
        lessons: what to learn.
        share: how much of it is done after so many steps; it ends at 1.
        rate: the peak of the learning rate.
        seed: of the lessons.
        compile: the loss; where torch cannot, it stays as it is.

    Raises:
        ValueError: if the loss is not finite at the end.
    """
    device, generator = value.scale.device, torch.Generator().manual_seed(seed)

    def loss(t: Tensor, z: Tensor, u: Tensor, weight: Tensor) -> Tensor:
        return (weight * regret(lessons.problem, value, t, z, u)).mean()

    if compile:
        quick = compiled(loss, device)
        with contextlib.suppress(RuntimeError):  # who looks at values cannot be compiled
            quick(*(x.to(device) for x in lessons.ask(BATCH, torch.Generator())))
            loss = quick
    optimizer = torch.optim.Adam(value.parameters(), lr=rate, betas=(0.9, 0.99))
    last: list[float] = []
    usual, step = 0.0, 0
    rows = team().rows(BATCH)
    while (done := share(step)) < 1:
        optimizer.param_groups[0]["lr"] = one_cycle(rate, WARMUP, done)
        current = loss(*(x[rows].to(device) for x in lessons.ask(BATCH, generator)))
        optimizer.zero_grad(set_to_none=True)
        current.backward()
        if team().count > 1:
            part = (rows.stop - rows.start) / BATCH
            (current,) = share_gradient(value, part, [part * current.detach()])
        usual, size = clip_gradient(value, 2.0, usual)
        if math.isfinite(size):
            optimizer.step()
        if done >= 0.95 or not last:
            last.append(float(current.detach()))
        step += 1
    left = sum(last[1:] or last) / max(len(last) - 1, 1)
    if not math.isfinite(left):
        raise ValueError(f"the lessons ended with a loss of {left}; is their learning rate, {rate}, too high?")
    return left


def taught(problem: Problem, config: TrainConfig) -> ExpandedValue:
    """One expansion and a network of ``agent_width`` and ``agent_rank``, taught ``config.anchors`` optima.

    Several processes share out the optima.

    Raises:
        ValueError: if no optimum was found at all.
    """
    console = PlainConsole()
    console.print(f"teaching {config.anchors} optima", highlight=False)
    known = families(problem, min(config.candidates, config.anchors))
    z0 = outlying(problem, config.anchors, torch.Generator().manual_seed(SEED))
    me = team()
    own = z0.split(CHUNK if me.count == 1 else max(1, min(CHUNK, -(-len(z0) // me.count))))[me.rank :: me.count]
    parts = [
        solve_optimum(problem, part, known=known) for part in track(own, "optima", transient=True, console=console)
    ]
    value = beginning(problem, known, config.agent_width or config.width, config.agent_rank, config.seed)
    value = value.to(own_device(config.device, me.count))
    for part in gathered(parts):
        known = known.joined(part)
    lessons, steps = Lessons.of(problem, known), config.distill_iterations
    attune(value, lessons)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("teaching", total=steps)

        def share(done: int) -> float:
            bar.update(task, completed=done)
            return done / steps

        left = teach(value, lessons, share, config.distill_rate, config.seed, config.compiled)
    console.print(f"taught {len(lessons.weight)} optima; the regret ends at {left:.2e}", highlight=False)
    return value
