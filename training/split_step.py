"""The search of an argmax in functions that are compiled one by one, however many applications of T there are.

A search unrolled into one graph takes minutes to compile, where H is derived from f and L or is that of the held
control. ``turn`` (T once, then slopes and curvature) is taken as often as is asked for, without a graph, on the CPU no
longer than it takes; then T is applied once more, tracked, together with what follows the control.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from ..controllers.argmax import differentiable
from ..controllers.looking import host_may_look
from ..controllers.operators import ProjectedNewton, projected_residual, raised
from ..controllers.operators import look as looked
from ..controllers.search import Search
from ..envs.compiling import compiled
from ..envs.integrate import advance
from ..envs.problem import ControlHamiltonian, Problem
from .config import TrainConfig
from .step import Answer, AnswerFunction, Step, StepFunction

Known: TypeAlias = Any
"""What a Hamiltonian is at (t, z), found once before the search: tensors, or None."""
Penalty: TypeAlias = Callable[[Tensor], Tensor]


class Looked(NamedTuple):
    """u, ∇_u H there, what it is relative to, H_uu, H if it comes along, and the residual."""

    u: Tensor
    slope: Tensor
    scale: Tensor
    bend: Tensor
    value: Tensor | None
    residual: Tensor


class Split(Protocol):
    """A Hamiltonian at (t, z) with a step of dt: without derivatives, and tracked in z and in the weights of phi."""

    @property
    def problem(self) -> Problem:
        """What is controlled."""
        ...

    @property
    def device(self) -> torch.device:
        """Of phi."""
        ...

    @property
    def block(self) -> int:
        """Size of the blocks of H_uu."""
        ...

    def known(self, t: Tensor, z: Tensor) -> Known:
        """What is found once, outside the compiled functions."""
        ...

    def fixed(self, t: Tensor, z: Tensor, dt: Tensor, known: Known) -> ControlHamiltonian:
        """u -> H."""
        ...

    def scale(self, known: Known) -> Tensor | None:
        """What residuals are relative to, where it is known."""
        ...

    def tracked(self, t: Tensor, z: Tensor, dt: Tensor, known: Known) -> tuple[ControlHamiltonian, Penalty]:
        """u -> H with its graph, and the rate of the weighted penalties under u."""
        ...


@dataclasses.dataclass(frozen=True)
class _Seen:
    """H with a curvature that has been looked at already."""

    of: ControlHamiltonian
    bend: Tensor

    def start(self) -> Tensor:
        return self.of.start()

    def value(self, u: Tensor) -> Tensor:
        return self.of.value(u)

    def gradient(self, u: Tensor) -> Tensor:
        return self.of.gradient(u)

    def hessian(self, u: Tensor) -> Tensor:
        return self.bend


def can_split(config: TrainConfig) -> bool:
    """Whether the search can be taken apart: one start, each application of T like the last, no graph but the last."""
    return config.starts == "single" and config.gradient != "unroll" and not config.memory


def _settings(config: TrainConfig) -> Search:
    """The search of the configuration."""
    return Search(
        config.make_operator(), config.gradient, config.argmax_iterations, config.argmax_tolerance, "single",
        config.jfb_steps,
    )  # fmt: skip


def split_step(split: Split, config: TrainConfig) -> StepFunction:
    """argmax, RK4 and cost: the search, then RK4 compiled together with the tracked application of T."""
    find, track = _search(split, config), _tracked(split, config)

    def apply(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, known: Known, bend: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        control, penalty = track(t, z, dt, u, known, bend)
        return *advance(split.problem, t, z, control, dt), penalty

    apply_ = compiled(apply, split.device)

    def step(t: Tensor, z: Tensor, dt: Tensor) -> Step:
        u, known, bend, residual = find(t, z.detach(), dt)
        after, cost, penalty = apply_(t, z, dt, u, known, bend)
        return Step(after, cost, residual, penalty)

    return step


def split_answer(split: Split, config: TrainConfig) -> AnswerFunction:
    """The argmax by itself."""
    find, track = _search(split, config), compiled(_tracked(split, config), split.device)

    def answer(t: Tensor, z: Tensor, dt: Tensor) -> Answer:
        u, known, bend, residual = find(t, z.detach(), dt)
        control, penalty = track(t, z, dt, u, known, bend)
        return Answer(control, residual, penalty)

    return answer


Track: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Known, Tensor], tuple[Tensor, Tensor]]


def _tracked(split: Split, config: TrainConfig) -> Track:
    """The control that was found, with the gradient of T applied once more; and the penalties."""
    search = _settings(config)

    def track(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, known: Known, bend: Tensor) -> tuple[Tensor, Tensor]:
        tracked, penalty = split.tracked(t, z, dt, known)
        fixed = _Seen(split.fixed(t, z.detach(), dt, known), bend)
        again = differentiable(fixed, tracked, u, split.problem.control_bounds(z), split.block, search)
        control = u + (again - again.detach())
        return control, penalty(control)

    return track


Find: TypeAlias = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Known, Tensor, Tensor]]


def _search(split: Split, config: TrainConfig) -> Find:
    """argmax H without a graph: u, what was known, H_uu and the residual."""
    search, problem = _settings(config), split.problem
    operator = search.operator
    bends = operator.curved or search.gradient == "implicit"

    def look(h: ControlHamiltonian, u: Tensor, scale: Tensor | None) -> Looked:
        slope, scale, bend, value = looked(h, u, scale, bends)
        if bend is None:
            bend = h.hessian(u) if bends else torch.zeros_like(u)
        return Looked(u, slope, scale, bend, value, projected_residual(u, slope, problem.control_bounds(u), scale))

    # no decorators here: what torch.no_grad() makes of all functions shares one code object, which torch compiles
    # eight times at most
    def first(t: Tensor, z: Tensor, dt: Tensor, u: Tensor, known: Known) -> Looked:
        with torch.no_grad():
            return look(split.fixed(t, z, dt, known), u, split.scale(known))

    def turn(t: Tensor, z: Tensor, dt: Tensor, known: Known, seen: Looked) -> Looked:
        with torch.no_grad():
            h = split.fixed(t, z, dt, known)
            after = operator.iterate(_Seen(h, seen.bend), seen.u, seen.slope, problem.control_bounds(z))
            return look(h, torch.where(_moving(seen, search), after, seen.u), seen.scale)

    def whole(t: Tensor, z: Tensor, dt: Tensor, known: Known, seen: Looked) -> tuple[Looked, Tensor]:
        with torch.no_grad():
            assert seen.value is not None and isinstance(operator, ProjectedNewton)
            h, box = split.fixed(t, z, dt, known), problem.control_bounds(z)
            step = operator.direction(h, seen.u, seen.slope, box, seen.bend)
            moving = _moving(seen, search)
            found = look(h, torch.where(moving, seen.u + step, seen.u).clamp(*box), seen.scale)
            assert found.value is not None
            return found, (raised(seen.value, found.value, (found.u - seen.u) * seen.slope) | ~moving).all()

    return _found(
        split, search, compiled(first, split.device), compiled(turn, split.device), compiled(whole, split.device)
    )


def _found(
    split: Split,
    search: Search,
    first: Callable[..., Looked],
    turn: Callable[..., Looked],
    whole: Callable[..., tuple[Looked, Tensor]],
) -> Find:
    """The search, made of these; where the host may look it ends when all have converged, and takes whole steps."""

    @torch.no_grad()
    def find(t: Tensor, z: Tensor, dt: Tensor) -> tuple[Tensor, Known, Tensor, Tensor]:
        box, known = split.problem.control_bounds(z), split.known(t, z)
        seen = first(t, z, dt, split.fixed(t, z, dt, known).start().clamp(*box), known)
        trying = isinstance(search.operator, ProjectedNewton) and seen.value is not None
        for _ in range(search.max_iterations):
            if host_may_look(seen.residual):
                if not _moving(seen, search).any():
                    break
                if trying:
                    found, rose = whole(t, z, dt, known, seen)
                    if rose:
                        seen = found
                        continue
                    trying = False
            seen = turn(t, z, dt, known, seen)
        return seen.u, known, seen.bend, seen.residual

    return find


def _moving(seen: Looked, search: Search) -> Tensor:
    """Whose search goes on, ``(B, 1)``."""
    return ((seen.residual > search.tolerance) | (search.tolerance == 0)).unsqueeze(-1)
