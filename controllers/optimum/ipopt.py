"""The open-loop optimum of any Problem: multiple shooting in CasADi, solved by IPOPT, from the same definition."""

from __future__ import annotations

import concurrent.futures
import logging
import math
import pickle
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from ...envs.checking import check_class
from ...envs.fields import whole
from ...envs.integrate import Controller, Trajectory, rollout
from ...envs.problem import Problem
from ...envs.states import as_states
from .aten import import_casadi
from .guesses import initial_guesses
from .processes import heard_interrupts, spawn_pool
from .told import listened
from .trace import trace
from .trajectory import ReferenceTrajectory

AGREEMENT = 1e-6
"""Largest relative difference between the optimiser's cost and that of its controls flown by ``rollout``."""


Hessian: TypeAlias = Literal["exact", "limited-memory"]


class Search(NamedTuple):
    """How IPOPT searches; ``barrier``: at first, less near an optimum, from which it pushes away; ``warm``: not at all,
    from a point and multipliers."""

    max_iterations: int
    hessian: Hessian = "exact"
    warm: bool = False
    barrier: float = 0.1


class _Optimum(NamedTuple):
    """One sample: ``(K + 1, n)`` states, ``(K, m)`` controls, costates, the optimiser's cost, its word, its time."""

    z: np.ndarray
    u: np.ndarray
    p: np.ndarray
    cost: float
    status: str
    seconds: float


def solve_reference(
    problem: Problem,
    z0: Tensor,
    *,
    guess: Controller | None = None,
    starts: int = 1,
    seed: int = 0,
    steps: int | None = None,
    processes: int = 1,
    max_iterations: int = 1000,
    hessian: Hessian = "exact",
) -> ReferenceTrajectory:
    """The cheapest controls from each state, all the way to T:

        min_u  Σ_k c(t_k, z_k, u_k) + G(z_K)   s.t.  z_{k+1} = F(t_k, z_k, u_k),  u_k in [low, high]

    with (F, c) the Runge-Kutta step of ``rollout``. IPOPT finds local optima: where there may be several, raise
    ``starts``. A state that fails is reported in ``converged`` and ``status`` and logged; it never raises. Ctrl-C stops
    it within one iteration of IPOPT.

    Args:
        problem: any Problem; its torch code is traced.
        z0: ``(B, n)`` initial states, of torch, NumPy or in lists.
        guess: a controller (t, z) -> u whose flight is where the search begins; without it, z0 at rest: z held at z0
            and u the admissible control nearest to zero.
        starts: number of guesses, the further ones perturbed; the cheapest converged optimum is kept.
        seed: of the perturbations, which are the same for every split of the batch.
        steps: control steps over the horizon; ``problem.steps`` unless given.
        processes: more than one shares the batch among spawned processes (in a script: under
            ``if __name__ == "__main__"``).
        max_iterations: of IPOPT, per start.
        hessian: ``"exact"``, or ``"limited-memory"`` (L-BFGS) for hundreds of coupled states, where the exact one fills
            the memory; it needs hundreds of iterations, and seldom meets the tolerance of the exact one.

    Raises:
        ValueError: if an argument makes no sense, a function of the problem answers what it should not, or the problem
            cannot be traced.
        ImportError: if CasADi is not installed: ``pip install "pontryagin[reference]"``.
    """
    import_casadi()
    z0 = as_states(problem, z0, "z0")
    check_class(problem)
    steps = problem.steps if steps is None else whole(steps, "steps")
    starts, processes = whole(starts, "starts"), whole(processes, "processes")
    max_iterations, seed = whole(max_iterations, "max_iterations"), whole(seed, "seed", 0)
    if hessian not in get_args(Hessian):
        raise ValueError(f"hessian is {hessian!r}; expected one of {get_args(Hessian)}")
    guesses = initial_guesses(problem, z0.detach(), guess, starts, seed, steps)
    z0 = z0.detach().double().cpu()
    if processes == 1 or len(z0) < 2:
        found = _solve_all(problem, steps, Search(max_iterations, hessian), z0.numpy(), guesses)
    else:
        found = _solve_in_processes(problem, steps, Search(max_iterations, hessian), z0.numpy(), guesses, processes)
    return _assemble(problem, z0, steps, found)


def _solve_in_processes(
    problem: Problem, steps: int, search: Search, z0: np.ndarray, guesses: np.ndarray, processes: int
) -> list[_Optimum]:
    """Each builds the problem once and solves every ``processes``-th state; when one dies, unfinished ones are lost."""
    trace(problem)  # refused here, not in a child
    try:
        pickle.dumps(problem)
    except Exception as error:
        raise ValueError(f"{problem} cannot be sent to another process ({error}); use processes=1") from None
    found: list[_Optimum] = [_failure(problem, steps, "Process_Died")] * len(z0)
    with spawn_pool(processes) as pool:
        shares = [range(first, len(z0), processes) for first in range(min(processes, len(z0)))]
        jobs = [pool.submit(_solve_all, problem, steps, search, z0[list(s)], guesses[list(s)]) for s in shares]
        for share, job in zip(shares, jobs, strict=True):
            try:
                for index, optimum in zip(share, job.result(), strict=True):
                    found[index] = optimum
            except concurrent.futures.BrokenExecutor as error:
                logging.getLogger(__name__).warning("a reference process died: %s", error)
    return found


def _solve_all(problem: Problem, steps: int, search: Search, z0: np.ndarray, guesses: np.ndarray) -> list[_Optimum]:
    """``(B, n)`` states, ``(B, starts, K, m + n)`` guesses; one NLP serves them all."""
    if not len(z0):
        return []
    solver = shooting(problem, steps, search)
    return [min((solve_one(problem, solver, z, w) for w in ws), key=_rank) for z, ws in zip(z0, guesses, strict=True)]


def _rank(optimum: _Optimum) -> tuple[bool, float]:
    return optimum.status != "Solve_Succeeded", optimum.cost if math.isfinite(optimum.cost) else math.inf


def shooting(problem: Problem, steps: int, search: Search) -> Any:
    """The NLP in w = (u_0, z_1, u_1, z_2, ..), with z_0 its parameter, as a ``casadi.nlpsol``."""
    ca = import_casadi()
    f, cost, terminal = trace(problem)
    n, m, dt = problem.state_dim, problem.control_dim, problem.horizon / steps
    t, z, u = ca.SX.sym("t"), ca.SX.sym("z", n), ca.SX.sym("u", m)
    after, spent, h = z, ca.SX(0), dt / problem.substeps  # as envs.integrate.advance
    for k in range(problem.substeps):
        begin, x = t + k * h, after
        half = begin + 0.5 * h
        k1, l1 = f(begin, x, u), cost(begin, x, u)
        k2, l2 = f(half, x + 0.5 * h * k1, u), cost(half, x + 0.5 * h * k1, u)
        k3, l3 = f(half, x + 0.5 * h * k2, u), cost(half, x + 0.5 * h * k2, u)
        k4, l4 = f(begin + h, x + h * k3, u), cost(begin + h, x + h * k3, u)
        after, spent = x + h / 6 * (k1 + 2 * (k2 + k3) + k4), spent + h / 6 * (l1 + 2 * (l2 + l3) + l4)
    step = ca.Function("step", [t, z, u], [after, spent])
    w, z0 = ca.MX.sym("w", (m + n) * steps), ca.MX.sym("z0", n)
    table = ca.reshape(w, m + n, steps)
    states = table[m:, :]
    reached, costs = step.map(steps)(dt * np.arange(steps)[None], ca.horzcat(z0, states[:, :-1]), table[:m, :])
    nlp = {"x": w, "p": z0, "f": ca.sum2(costs) + terminal(states[:, -1]), "g": ca.vec(reached - states)}
    options: dict[str, Any] = {
        "print_time": False,
        "show_eval_warnings": False,
        # as one flat expression 3 (quadrotor) to 5 times (bicycles) faster than mapped, until memory forbids
        "expand": step.n_nodes() * steps < 2_000_000,
        "ipopt.print_level": 0,
        "ipopt.sb": "yes",
        "ipopt.max_iter": search.max_iterations,
        "ipopt.hessian_approximation": search.hessian,
        "ipopt.limited_memory_max_history": 30,
        "ipopt.tol": 1e-10,  # at the default 1e-8 active bounds leave 3e-7 of the cost
        "ipopt.acceptable_iter": 0,
        "ipopt.mu_init": search.barrier,
        "ipopt.bound_push": min(1e-2, search.barrier),
        "ipopt.bound_frac": min(1e-2, search.barrier),
    }
    if search.warm:  # the barrier begins where the last solve left it; pushes this small keep active bounds active
        pushes = ("bound_push", "bound_frac", "slack_bound_push", "slack_bound_frac", "mult_bound_push")
        options |= {f"ipopt.warm_start_{push}": 1e-9 for push in pushes}
        options |= {"ipopt.warm_start_init_point": "yes", "ipopt.mu_init": 1e-6, "ipopt.tol": 1e-8}
    return ca.nlpsol("shooting", "ipopt", nlp, options)


def solve_one(problem: Problem, solver: Any, z0: np.ndarray, guess: np.ndarray) -> _Optimum:
    """One state from one guess, ``(K, m + n)``."""
    begin = time.perf_counter()
    n, steps = problem.state_dim, len(guess)
    low, high = (bound.numpy() for bound in problem.control_bounds(torch.zeros(0, dtype=torch.float64)))
    free = np.full(n, np.inf)
    bounds = {"lbx": np.tile(np.r_[low, -free], steps), "ubx": np.tile(np.r_[high, free], steps), "lbg": 0, "ubg": 0}
    try:
        with heard_interrupts():
            answer = solver(x0=guess.ravel(), p=z0, **bounds)
    except RuntimeError as error:  # CasADi's own failures
        return _failure(problem, steps, str(error).strip().rpartition("\n")[2], time.perf_counter() - begin)
    w = answer["x"].full().reshape(steps, -1)
    # the Lagrangian is J + Σ p_{k+1}·(F(z_k, u_k) - z_{k+1}); CasADi's lam_p is minus its derivative in z_0
    p = np.r_[-answer["lam_p"].full().T, answer["lam_g"].full().reshape(steps, n)]
    status = str(solver.stats()["return_status"])
    u = np.clip(w[:, :-n], low, high)
    return _Optimum(np.r_[z0[None], w[:, -n:]], u, p, float(answer["f"]), status, time.perf_counter() - begin)


def _failure(problem: Problem, steps: int, status: str, seconds: float = math.nan) -> _Optimum:
    nothing = np.full((steps + 1, problem.state_dim), math.nan)
    return _Optimum(nothing, np.full((steps, problem.control_dim), math.nan), nothing, math.nan, status, seconds)


@torch.no_grad()
def _assemble(problem: Problem, z0: Tensor, steps: int, found: Sequence[_Optimum]) -> ReferenceTrajectory:
    """Fly the controls and compare the costs."""
    u = np.array([x.u for x in found]).reshape(len(z0), steps, problem.control_dim)
    p = np.array([x.p for x in found]).reshape(len(z0), steps + 1, problem.state_dim)
    path = fly(problem, z0, torch.from_numpy(u.swapaxes(0, 1).copy()))
    cost = torch.tensor([x.cost for x in found], dtype=torch.float64)
    agrees = agree(path.cost, cost)
    solved = torch.tensor([x.status == "Solve_Succeeded" for x in found], dtype=torch.bool)
    status = tuple(
        f"Cost_Differs_From_Rollout ({x.cost} by IPOPT)" if good and not same else x.status
        for x, good, same in zip(found, solved.tolist(), agrees.tolist(), strict=True)
    )
    converged = solved & agrees
    if not converged.all() and not listened():
        bad = {index: status[index] for index in (~converged).nonzero().ravel().tolist()}
        logging.getLogger(__name__).warning("%d of %d references did not converge: %s", len(bad), len(found), bad)
    costate = torch.from_numpy(p.swapaxes(0, 1).copy())
    seconds = torch.tensor([x.seconds for x in found], dtype=torch.float64)
    return ReferenceTrajectory(**vars(path), converged=converged, status=status, costate=costate, seconds=seconds)


def fly(problem: Problem, z0: Tensor, u: Tensor) -> Trajectory:
    held = iter(u.unbind())
    return rollout(problem, lambda t, z: next(held), z0, len(u))


def agree(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs() <= AGREEMENT * y.abs() + 1e-9
