"""The feedback law u*(t, z) = argmax_u H(t, z, ∇phi_theta(t, z), u): a module, a controller, an SB3-shaped policy."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..envs.compiling import device_named
from ..envs.fields import check_is, number, whole
from ..envs.files import from_record
from ..envs.integrate import Controller
from ..envs.problem import ControlHamiltonian, Problem, check_kind
from .adapter import Memory, Predictor, answered, asked
from .argmax import Solution, maximise, solve_argmax
from .carried import Carried
from .chosen import Chosen, Flight, failed, followed
from .hamiltonian import control_hamiltonian
from .held import HeldHamiltonian, held_hamiltonian
from .held_argmax import solve_held_argmax
from .operators import GradientAscent, Operator, ProjectedNewton
from .search import Search, Starts
from .storage import check_sizes, fill, read_policy, write_policy
from .value import FlownValue, Value, restore_value, restored_tensors, stored_tensors
from .waypoints import Towards

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints"
MOST_ITERATIONS = 100_000
"""Of one answer: minutes."""

Hamiltonian: TypeAlias = Literal["continuous", "held"]


class ImplicitPolicy(nn.Module, Predictor):
    """The implicit controller: u*(t, z) = argmax_u H, of the continuous Hamiltonian or of the held control's.

    Args:
        problem: what is controlled.
        value: phi_theta.
        operator, max_iterations, tolerance, starts: of ``solve_argmax``; the derivative is ``gradient="jfb"``. With 0
            iterations the answer is where the search begins: the feedback along an expansion, where phi is one.
        hamiltonian: ``"continuous"`` maximises H(t, z, ∇phi(t, z), u) (slides); ``"held"`` H_dt(t, z, phi, u), which is
            what a control does while it is held over ``problem.time_step``, or as ``held_over`` says; see
            ``HeldHamiltonian``.

    Raises:
        ValueError: if the Hamiltonian is another, ``starts="global"`` is asked of the held one, or a setting of the
            search makes no sense.
    """

    def __init__(
        self,
        problem: Problem,
        value: Value,
        operator: Operator | None = None,
        max_iterations: int = 10,
        tolerance: float = 1e-6,
        starts: Starts = "single",
        hamiltonian: Hamiltonian = "continuous",
    ) -> None:
        super().__init__()
        check_kind(problem)
        check_is(value, nn.Module, "value")
        if hamiltonian not in get_args(Hamiltonian) or (hamiltonian == "held" and starts != "single"):
            raise ValueError(
                f"hamiltonian is {hamiltonian!r} with starts={starts!r}; expected one of {get_args(Hamiltonian)}, "
                "and a single start with 'held'"
            )
        if starts not in get_args(Starts):
            raise ValueError(f"starts is {starts!r}; expected one of {get_args(Starts)}")
        if number(tolerance, "tolerance") < 0:
            raise ValueError(f"tolerance is {tolerance!r}; expected a number, 0 or above")
        self.problem = problem
        self.value = value
        self.operator: Operator = ProjectedNewton() if operator is None else operator
        self.max_iterations = whole(max_iterations, "max_iterations", 0, MOST_ITERATIONS)
        self.tolerance = float(tolerance)
        self.starts: Starts = starts
        self.hamiltonian: Hamiltonian = hamiltonian
        self.dt = problem.time_step

    def to(
        self,
        *where: Any,
        target: Sequence[float] | None = None,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> Any:
        """``nn.Module.to``; with ``target`` this policy flying to another point: ``Towards(self, target)``."""
        named = {k: v for k, v in {"device": device, "dtype": dtype}.items() if v is not None}
        there: Any = super()
        there = there.to(*where, non_blocking=non_blocking, **named) if where or named else self
        return there if target is None else Towards(there, target)

    def held_over(self, dt: float) -> ImplicitPolicy:
        """The same weights where each answer is held for ``dt``: argmax H_dt of that dt. The continuous H knows no dt.

        Raises:
            ValueError: if dt is not a positive, finite time.
        """
        if not 0 < dt < math.inf:
            raise ValueError(f"dt is {dt!r}; expected a positive, finite time for which a control is held")
        policy = copy.copy(self)
        policy.dt = dt
        return policy

    def solve(self, t: Tensor | float, z: Tensor, u0: Tensor | None = None, member: Tensor | None = None) -> Solution:
        """The argmax with its residual and status, by sample; the search begins at ``u0`` if that is given.

        ``member`` is ``phi.speaker`` where it is known already, of several optima the one that is followed; ``u0`` is
        then what is played along it, and the answer without iterations, which is otherwise the feedback.

        Raises:
            ValueError: on a wrong shape, or a time outside [0, T]: the value function ends there.
        """
        if torch.is_inference_mode_enabled():  # slopes need the tape
            with torch.inference_mode(False), torch.no_grad():
                t = t.clone() if isinstance(t, Tensor) else t
                return self.solve(t, z.clone(), u0 if u0 is None else u0.clone(), member)
        t, z = asked(self.problem, t, z)
        fine = self.value.scale.dtype
        t, w = torch.as_tensor(t).to(fine), z.to(fine)
        u0 = None if u0 is None or (member is None and not self.max_iterations) else u0.to(fine)
        if self.hamiltonian == "held":
            found = solve_held_argmax(
                self.problem, self.value, t, w, dt=self.dt, operator=self.operator, u0=u0,
                max_iterations=self.max_iterations, tolerance=self.tolerance, member=member,
            )  # fmt: skip
        else:
            found = solve_argmax(
                self.problem, t, w, self.value.gradient(t, w)[1], operator=self.operator, u0=u0,
                max_iterations=self.max_iterations, tolerance=self.tolerance, starts=self.starts,
            )  # fmt: skip
        return found._replace(control=found.control.to(z.dtype))

    @torch.no_grad()
    def go_on(
        self, t: Tensor, z: Tensor, carried: Carried, u0: Tensor | None = None, member: Tensor | None = None
    ) -> tuple[Solution, Carried]:
        """``solve`` in the precision of phi, where answers came at the steps before: it begins where they point."""
        if not self.max_iterations:
            return self.solve(t, z, u0, member), carried
        h = self.hamiltonian_at(t, z, member=member)
        start = h.start() if u0 is None else u0
        search = Search(self.operator, "jfb", self.max_iterations, self.tolerance, self.starts)
        size = h.block if isinstance(h, HeldHamiltonian) else self.problem.control_block
        found = maximise(h, None, self.problem.control_bounds(z), size, search, start + carried.ahead)
        return found, carried.then(start, found)

    def hamiltonian_at(
        self, t: Tensor, z: Tensor, p: Tensor | None = None, member: Tensor | None = None
    ) -> ControlHamiltonian:
        """What is maximised at (t, z), as a function of u; ``p`` is ∇phi there, ``member`` who speaks, if known."""
        if self.hamiltonian == "held":
            return held_hamiltonian(self.problem, self.value, t, z, self.dt, member=member)
        return control_hamiltonian(self.problem, t, z, self.value.gradient(t, z)[1] if p is None else p)

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u*(t, z), ``(B, m)``: a controller for ``rollout``; differentiable (JFB). Of one state ``(n,)``: ``(m,)``.

        Raises:
            ValueError: on a wrong shape, or a time outside [0, T]: the value function ends there.
        """
        return answered(self.solve(t, z).control, z)

    def begin(self) -> Controller:
        """A controller for one episode: this policy, or where phi chooses among flights one that keeps a choice."""
        return Flight(self) if self._chooses else self

    @property
    def _chooses(self) -> bool:
        return isinstance(self.value, FlownValue) and self.hamiltonian == "held"

    @torch.no_grad()
    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u*(t, z), and what the next search goes on from; and which optimum it follows."""
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False):
                return self.respond(seen.clone(), state, episode_start)
        like = self.value.scale
        z, t = seen[:, :-1].to(like), seen[:, -1].to(like).clamp(0, self.problem.horizon)
        table, *rest = (None,) if state is None else (torch.as_tensor(x, device=like.device) for x in state)
        begins = torch.as_tensor(
            False if episode_start is None else episode_start, dtype=torch.bool, device=like.device
        )
        begins = begins.expand(len(seen)) | failed(rest, len(seen), like.device)
        blank = z.new_zeros(len(z), self.problem.control_dim)
        carried = Carried.none(blank) if table is None else Carried.of(table, blank, begins)
        if not self._chooses:
            found, carried = self.go_on(t, z, carried)
            return found.control, (carried.misses.cpu().numpy(),)
        u, choice, gone = followed(self, t, z, Chosen.of(rest), begins, carried)
        return u, tuple(x.cpu().numpy() for x in ((gone or carried).misses, *choice.tables))

    def save(self, path: str | Path, notes: dict[str, Any] | None = None) -> Path:
        """Write ``path/policy.json`` and its weights, atomically; ``notes`` are plain data (command, figures)."""
        argmax = {
            "operator": {"name": type(self.operator).__name__, **vars(self.operator)},
            "max_iterations": self.max_iterations,
            "tolerance": self.tolerance,
            "starts": self.starts,
            "hamiltonian": self.hamiltonian,
        }
        settings = {"value": self.value.config, "argmax": argmax}
        return write_policy(path, "ImplicitPolicy", self.problem, stored_tensors(self.value), settings, notes)

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", problem: Problem | None = None) -> ImplicitPolicy:
        """A policy from a folder, or a shipped one by name (``"quadrotor"``), without the network.

        Args:
            path: a folder that ``save`` wrote, or a shipped name. A folder in the current directory goes first.
            device: ``"auto"`` is CUDA where there is one.
            problem: needed for a problem of your own whose class has not been imported yet.

        Raises:
            ValueError: if nothing is there, or it is cut short, edited, or for another problem.
        """
        folder = Path(path)
        if not (folder / "policy.json").exists() and (SHIPPED / folder / "policy.json").exists():
            folder = SHIPPED / folder
        if not (folder / "policy.json").exists():
            shipped = sorted(p.parent.name for p in SHIPPED.glob("*/policy.json"))
            raise ValueError(f"no policy at {path!s} (no policy.json there); shipped policies: {shipped}")
        found, tensors, record = read_policy(folder, "ImplicitPolicy", problem)
        return from_record(folder, lambda: cls._restored(folder, found, tensors, record)).to(device_named(device))

    @classmethod
    def _restored(
        cls, folder: Path, problem: Problem, tensors: dict[str, Tensor], record: dict[str, Any]
    ) -> ImplicitPolicy:
        check_sizes(record["value"], problem, tensors, folder)
        value = restore_value(problem, record["value"])
        fill(value, restored_tensors(value, tensors), folder, problem)
        argmax = dict(record["argmax"])
        operator = dict(argmax.pop("operator"))
        kinds = {"ProjectedNewton": ProjectedNewton, "GradientAscent": GradientAscent}
        kind = kinds[operator.pop("name")]
        policy = cls(problem, value, kind(**operator), **argmax)
        # H_dt is a small difference of costs: in float32 its slope is known to 1e-3 only
        return policy.double() if policy.hamiltonian == "held" else policy
