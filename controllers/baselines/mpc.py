"""Model predictive control: the rest of the problem solved again and again, from where the state has come to."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ...envs.fields import whole
from ...envs.problem import Problem, check_finite, check_kind
from ..adapter import answered, asked
from ..optimum import Hessian, Search, heard_interrupts, initial_guesses, shooting


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The rest of an optimum as IPOPT knows it: of ``step`` and after; earlier rows hold nothing of interest.

    ``w (K, m + n)`` are the controls and the states they lead to, ``bounds (K (m + n),)`` and ``defects (K n,)`` their
    multipliers, ``cost`` is J, with a constant for the steps that are over.
    """

    step: int
    w: np.ndarray
    bounds: np.ndarray
    defects: np.ndarray
    cost: float
    success: bool


class RecedingHorizon:
    """u(t_k, z) = u_k of the optimum from (t_k, z) to T, held controls, by IPOPT; solved anew every few steps:

        min_u  Σ_{j >= k} c(t_j, z_j, u_j) + G(z_K)   s.t.  z_k = z,  z_{j+1} = F(t_j, z_j, u_j),  u_j in [low, high]

    The horizon shrinks, as the problem ends at T. One program of all K steps serves every k: the steps that are over
    are fixed by their bounds and their dynamics are left free, so nothing is built twice and IPOPT factorises only what
    is left. A solve begins at the last optimum and its multipliers.

    It remembers: row i of a batch goes on with the plan of row i of the last call, until t = 0, or time runs backwards,
    begins a new one. Batches are solved one by one, in float64 on the CPU. A time between two control steps counts as
    the earlier of them. Where IPOPT fails the last plan is kept; where there is none, its last iterate is used.

    Args:
        problem: any Problem whose torch code can be traced to CasADi.
        every: control steps from one solve to the next; in between the plan is followed without a look at the state.
        hessian, max_iterations: of IPOPT, as in ``solve_reference``.
        starts: guesses for the first solve of an episode; the cheapest optimum is followed.

    Attributes:
        solves: calls of IPOPT so far, one for each start. failures: those that did not succeed.
        seconds: time spent in them, building the programs (seconds, once) not included.

    Raises:
        ValueError: if an argument makes no sense or the problem cannot be traced; when called, on bad states.
        ImportError: if CasADi is not installed.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        every: int = 1,
        hessian: Hessian = "exact",
        max_iterations: int = 200,
        starts: int = 1,
    ) -> None:
        check_kind(problem)
        if hessian not in get_args(Hessian):
            raise ValueError(f"hessian is {hessian!r}; expected one of {get_args(Hessian)}")
        self.problem, self.every, self.starts = problem, whole(every, "every"), whole(starts, "starts")
        self.search = Search(whole(max_iterations, "max_iterations"), hessian)
        self.solves = self.failures = 0
        self.seconds = 0.0
        self._plans: dict[int, _Plan] = {}
        self._cold = shooting(problem, problem.steps, self.search)

    @functools.cached_property
    def _warm(self) -> Any:
        return shooting(self.problem, self.problem.steps, self.search._replace(warm=True))

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; t is ``()`` or ``(B,)``. Of one state ``(n,)``: ``(m,)``."""
        t, batch = asked(self.problem, t, z)
        check_finite("z", batch)
        times = torch.as_tensor(t, dtype=torch.float64).expand(len(batch)).tolist()
        steps = [min(max(int(s / self.problem.time_step + 1e-3), 0), self.problem.steps - 1) for s in times]
        states = batch.detach().double().cpu().numpy()
        controls = [self._control(row, k, state) for row, (k, state) in enumerate(zip(steps, states, strict=True))]
        u = torch.from_numpy(np.array(controls).reshape(len(batch), self.problem.control_dim))
        low, high = self.problem.control_bounds(batch)
        return answered(u.to(batch).clamp(low, high), z)  # clamped again: rounding to float32 may leave the bounds

    def _control(self, row: int, k: int, z: np.ndarray) -> np.ndarray:
        plan = self._plans.get(row)
        if plan is not None and (k == 0 or k < plan.step):
            plan = None
        if plan is None or not plan.step < k < plan.step + self.every:
            plan = self._first(k, z) if plan is None else self._next(k, z, plan)
            self._plans[row] = plan
        return plan.w[k, : self.problem.control_dim]

    def _first(self, k: int, z: np.ndarray) -> _Plan:
        """The cheapest optimum from several guesses; of those that failed, if all did."""
        guesses = initial_guesses(self.problem, torch.from_numpy(z)[None], None, self.starts, 0, self.problem.steps)[0]
        nothing = np.zeros(guesses[0].size), np.zeros(len(guesses[0]) * len(z))
        found = [self._solve(self._cold, k, z, _Plan(k, w, *nothing, np.inf, False)) for w in guesses]
        return min(found, key=lambda plan: (not plan.success, plan.cost))

    def _next(self, k: int, z: np.ndarray, last: _Plan) -> _Plan:
        """From the last plan; it is followed further if IPOPT fails."""
        plan = self._solve(self._warm, k, z, last)
        return plan if plan.success else dataclasses.replace(last, step=k)

    def _solve(self, solver: Any, k: int, z: np.ndarray, guess: _Plan) -> _Plan:
        """One program from one guess; the guess itself, at an infinite cost, where numbers ran out."""
        begin = time.perf_counter()
        m, n, count = self.problem.control_dim, self.problem.state_dim, self.problem.steps
        low, high = (x.numpy() for x in self.problem.control_bounds(torch.zeros(0, dtype=torch.float64)))
        w, lower, upper = guess.w.copy(), np.empty((count, m + n)), np.empty((count, m + n))
        lower[:], upper[:] = np.r_[low, np.full(n, -np.inf)], np.r_[high, np.full(n, np.inf)]
        w[:k] = lower[:k] = upper[:k] = np.r_[np.clip(0, low, high), z]  # z_k = z; what came before is over
        slack = np.where(np.arange(count) < k, np.inf, 0.0).repeat(n)
        over = np.arange(count).repeat(m + n) < k
        arguments = {
            "x0": w.ravel(), "p": z, "lbx": lower.ravel(), "ubx": upper.ravel(), "lbg": -slack, "ubg": slack,
            "lam_x0": np.where(over, 0.0, guess.bounds), "lam_g0": np.where(slack > 0, 0.0, guess.defects),
        }  # fmt: skip
        self.solves += 1
        try:
            with heard_interrupts():
                answer = {name: value.full().ravel() for name, value in solver(**arguments).items()}
            success = solver.stats()["return_status"] == "Solve_Succeeded"
        except RuntimeError:  # CasADi's own failures
            answer, success = {"x": np.array(np.nan), "f": np.array([np.inf])}, False
        self.failures += not success
        self.seconds += time.perf_counter() - begin
        if not np.isfinite(answer["x"]).all():
            return dataclasses.replace(guess, step=k, w=w, cost=np.inf, success=False)
        found = answer["x"].reshape(count, m + n)
        return _Plan(k, found, answer["lam_x"], answer["lam_g"], float(answer["f"][0]), success)
