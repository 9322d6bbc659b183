"""Model predictive control: the rest of the problem solved again and again, from where the state has come to."""

from __future__ import annotations

import dataclasses
import time
from typing import Protocol, get_args

import torch
from torch import Tensor

from ...envs.checking import check_class
from ...envs.fields import whole
from ...envs.problem import Problem, check_finite, check_kind
from ..adapter import answered, asked
from ..optimum import Hessian, Later, Method, Path, replan, search
from .mpc_ipopt import IpoptPlanner


class Planner(Protocol):
    """Who answers u_k for a batch of states ``(B, n)``, float64, at control steps ``k``, and counts what it does."""

    solves: int
    failures: int
    seconds: float

    def __call__(self, steps: list[int], z: Tensor) -> Tensor:
        """Controls, ``(B, m)``, float64."""


class RecedingHorizon:
    """u(t_k, z) = u_k of the optimum from (t_k, z) to T, held controls; solved anew every few steps:

        min_u  Σ_{j >= k} c(t_j, z_j, u_j) + G(z_K)   s.t.  z_k = z,  z_{j+1} = F(t_j, z_j, u_j),  u_j in [low, high]

    The horizon shrinks, as the problem ends at T. All states of a batch are solved side by side, in torch
    (``solve_optimum``). A solve begins at the flight, from the state that came, of the feedback along the last optimum,
    u_j + K_j (z_j - z̄_j), less the steps that are over: where nothing disturbed the state that is the optimum itself.

    It remembers: row i of a batch goes on with the plan of row i of the last call, until t = 0, or time runs backwards,
    begins a new one. It computes in float64, on the device of the states. A time between two control steps counts as
    the earlier of them. A descent that does not converge counts as a failure; its best flight, which costs no more than
    the last plan's feedback, is followed all the same. Where numbers run out the last plan is kept.

    ``method="ipopt"`` is the check, one state after another on the CPU: each solve begins at the last optimum and its
    multipliers. Where IPOPT fails the last plan is kept; where there is none, its last iterate is used.

    Args:
        problem: any Problem.
        every: control steps from one solve to the next; in between the plan is followed without a look at the state.
        method: ``"ddp"``; or ``"ipopt"``, which needs CasADi and a problem that can be traced to it.
        hessian: of IPOPT, as in ``solve_reference``.
        max_iterations: of each solve.
        starts: guesses for the first solve of an episode; the cheapest optimum is followed.

    Attributes:
        solves: searches so far, one for each state and start. failures: those that did not succeed.
        seconds: time spent in them; building IPOPT's programs (seconds, once) is not included.

    Raises:
        ValueError: if an argument makes no sense or IPOPT cannot have the problem; when called, on bad states.
        ImportError: if IPOPT is asked for and CasADi is not installed.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        every: int = 1,
        method: Method = "ddp",
        hessian: Hessian = "exact",
        max_iterations: int = 200,
        starts: int = 1,
    ) -> None:
        check_kind(problem)
        check_class(problem)
        for name, value, known in (("hessian", hessian, get_args(Hessian)), ("method", method, get_args(Method))):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {known}")
        every, starts = whole(every, "every"), whole(starts, "starts")
        limit = whole(max_iterations, "max_iterations")
        self.problem = problem
        self.planner: Planner = (
            IpoptPlanner(problem, every, hessian, limit, starts)
            if method == "ipopt"
            else DescentPlanner(problem, every, limit, starts)
        )

    @property
    def solves(self) -> int:
        return self.planner.solves

    @property
    def failures(self) -> int:
        return self.planner.failures

    @property
    def seconds(self) -> float:
        return self.planner.seconds

    @torch.no_grad()
    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; t is ``()`` or ``(B,)``. Of one state ``(n,)``: ``(m,)``."""
        t, batch = asked(self.problem, t, z)
        check_finite("z", batch)
        times = torch.as_tensor(t, dtype=torch.float64).expand(len(batch)).tolist()
        steps = [min(max(int(s / self.problem.time_step + 1e-3), 0), self.problem.steps - 1) for s in times]
        u = self.planner(steps, batch.detach().double())
        low, high = self.problem.control_bounds(batch)
        return answered(u.to(batch).clamp(low, high), z)  # clamped again: rounding to float32 may leave the bounds


class DescentPlanner:
    """All states at once: ``search`` at first, ``replan`` from then on; row -> the step of its last solve, its plan."""

    def __init__(self, problem: Problem, every: int, limit: int, starts: int) -> None:
        self.problem, self.every, self.limit, self.starts = problem, every, limit, starts
        self.solves = self.failures = 0
        self.seconds = 0.0
        self.plans: dict[int, tuple[int, Path]] = {}

    def __call__(self, steps: list[int], z: Tensor) -> Tensor:
        """u_k of each row's plan, made anew where it is due."""
        begin = time.perf_counter()
        due: dict[tuple[int, bool], list[int]] = {}
        for row, k in enumerate(steps):
            last = self.plans[row][0] if row in self.plans else -1
            fresh = last < 0 or k == 0 or k < last
            if fresh or not last < k < last + self.every:
                due.setdefault((k, fresh), []).append(row)
        for (k, fresh), rows in due.items():
            self._solve(k, fresh, rows, z[rows])
        self.seconds += time.perf_counter() - begin
        return torch.stack([self._rest(row, k).u[0, 0] for row, k in enumerate(steps)])

    def _rest(self, row: int, k: int) -> Path:
        """What is left of its plan at step k."""
        plan = self.plans[row][1]
        over = k - (self.problem.steps - len(plan.u))
        later = {name: getattr(plan, name)[over:] for name in ("z", "u", "costate", "feedback")}
        return dataclasses.replace(plan, **later)

    def _solve(self, k: int, fresh: bool, rows: list[int], z: Tensor) -> None:
        """New plans for those rows, all at step k; without a number, the last one stays."""
        rest = Later(self.problem, k)
        last = None if fresh else Path.joined([self._rest(row, k) for row in rows])
        if last is None:
            found = search(rest, z, starts=self.starts, limit=self.limit)
        else:
            found = replan(rest, z, last, self.limit)
        self.solves += len(rows) * (self.starts if fresh else 1)
        self.failures += int((~found.converged).sum())
        for i, (row, sane) in enumerate(zip(rows, found.cost.isfinite().tolist(), strict=True)):
            kept = found if sane or last is None else last
            self.plans[row] = k, kept.rows(torch.tensor([i], device=z.device))
