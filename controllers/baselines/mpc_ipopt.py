"""Model predictive control by IPOPT, state by state: the check of that in torch."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...envs.problem import Problem
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


class IpoptPlanner:
    """States one by one, in float64 on the CPU: what ``RecedingHorizon`` asks with ``method="ipopt"``.

    One program of all K steps serves every k: the steps that are over are fixed by their bounds and their dynamics are
    left free, so nothing is built twice and IPOPT factorises only what is left. A solve begins at the last optimum and
    its multipliers.
    """

    def __init__(self, problem: Problem, every: int, hessian: Hessian, limit: int, starts: int) -> None:
        self.problem, self.every, self.starts = problem, every, starts
        self.search = Search(limit, hessian)
        self.solves = self.failures = 0
        self.seconds = 0.0
        self._plans: dict[int, _Plan] = {}
        self._cold = shooting(problem, problem.steps, self.search)

    @functools.cached_property
    def _warm(self) -> Any:
        return shooting(self.problem, self.problem.steps, self.search._replace(warm=True))

    def __call__(self, steps: list[int], z: Tensor) -> Tensor:
        """u_k of each row's plan, made anew where it is due."""
        states = z.cpu().numpy()
        controls = [self._control(row, k, state) for row, (k, state) in enumerate(zip(steps, states, strict=True))]
        return torch.from_numpy(np.array(controls).reshape(len(z), self.problem.control_dim)).to(z)

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
