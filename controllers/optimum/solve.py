"""``solve_optimum``: open-loop optima of many states at once, each from several guesses and from its neighbours'."""

from __future__ import annotations

import logging
import time
from collections import Counter
from numbers import Real
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ...envs.checking import check_class
from ...envs.fields import check_is, whole
from ...envs.integrate import Controller
from ...envs.problem import Problem, check_kind
from ...envs.states import as_states
from .certificates import open_loop_costate
from .crew import shared
from .flights import Path
from .ipopt import fly, solve_reference
from .searches import refined, search
from .told import listened
from .trajectory import ReferenceTrajectory, cheaper

Method: TypeAlias = Literal["ddp", "ipopt"]


def solve_optimum(
    problem: Problem,
    z0: Tensor,
    guess: Controller | None = None,
    method: Method = "ddp",
    starts: int = 1,
    seconds: float | None = None,
    seed: int = 0,
    max_iterations: int = 200,
    known: ReferenceTrajectory | None = None,
) -> ReferenceTrajectory:
    """The cheapest controls from each state, all the way to T, in torch alone:

        min_u  Σ_k c(t_k, z_k, u_k) + G(z_K)   s.t.  z_{k+1} = F(t_k, z_k, u_k),  u_k in [low, high]

    with (F, c) the Runge-Kutta step of ``rollout``, by differential dynamic programming (``descend``). The first
    states are solved from guesses; the feedback along each of those optima is then flown from every state, and the
    cheapest flights are where its descent begins. A state that fails is reported in ``converged`` and ``status`` and,
    where nobody listens (``heard``), logged; it never raises.

    Args:
        problem: any Problem.
        z0: ``(B, n)`` initial states, of torch, NumPy or in lists.
        guess: a controller (t, z) -> u whose flight is where each search begins; without it, the admissible control
            nearest to zero.
        method: ``"ddp"``; ``"ipopt"`` is the independent check (``solve_reference``; needs CasADi).
        starts: descents for each state, from different beginnings; the cheapest optimum is kept.
        seconds: after so long the best so far is returned, and said in ``status``.
        seed: of the perturbed guesses.
        max_iterations: of each descent.
        known: optima from other states: the feedback along them is flown instead of that along the first ones.

    Raises:
        ValueError: if an argument makes no sense, or a function of the problem answers what it should not.
    """
    z0 = as_states(problem, z0, "z0")
    check_class(problem)
    starts, max_iterations = whole(starts, "starts"), whole(max_iterations, "max_iterations")
    seed = whole(seed, "seed", 0)
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; expected one of {get_args(Method)}")
    if seconds is not None and not (isinstance(seconds, Real) and seconds > 0):
        raise ValueError(f"seconds is {seconds!r}; expected a positive number")
    if method == "ipopt":
        return solve_reference(problem, z0, guess=guess, starts=starts, seed=seed, max_iterations=max_iterations)
    begin = time.perf_counter()
    end = None if seconds is None else begin + seconds
    z0 = z0.detach().double()
    found = search(problem, z0, guess, starts, seed, max_iterations, end, known)
    return _assembled(problem, z0, found, (time.perf_counter() - begin) / max(len(z0), 1), end)


def improve_optimum(
    problem: Problem, reference: ReferenceTrajectory, max_iterations: int = 200, seconds: float | None = None
) -> ReferenceTrajectory:
    """From the controls of ``reference`` further downhill, state by state; what does not fall stays."""
    check_kind(problem)
    check_is(reference, ReferenceTrajectory, "reference")
    max_iterations = whole(max_iterations, "max_iterations")
    begin = time.perf_counter()
    end = None if seconds is None else begin + seconds
    z0, u = reference.z[0].double(), reference.u.double()
    parts = shared(refined, len(z0), lambda rows: (problem, z0[rows], u[:, rows], max_iterations, end))
    path = Path.joined(parts)
    mended = _assembled(problem, path.z[0], path, (time.perf_counter() - begin) / max(len(path.cost), 1), end)
    return cheaper(mended, reference)


def replayed(problem: Problem, z0: Tensor, u: Tensor) -> ReferenceTrajectory:
    """Known controls ``u (K, B, m)`` flown again from ``z0 (B, n)``, with their costates: taken for optima, no search.

    Raises:
        ValueError: if the states or the controls do not fit the problem.
    """
    z0 = as_states(problem, z0, "z0").double()
    expected = (problem.steps, len(z0), problem.control_dim)
    if tuple(u.shape) != expected:
        raise ValueError(f"u has shape {tuple(u.shape)}; expected {expected}")
    flown = fly(problem, z0, u.to(z0))
    good = flown.cost.isfinite()
    return ReferenceTrajectory(
        **vars(flown), converged=good, status=tuple("Replayed" if x else "Diverged" for x in good.tolist()),
        costate=open_loop_costate(problem, flown), seconds=torch.zeros_like(flown.cost),
    )  # fmt: skip


def _assembled(problem: Problem, z0: Tensor, path: Path, seconds: float, end: float | None) -> ReferenceTrajectory:
    """Fly the controls again, find the costates, and say how each descent ended."""
    flown = fly(problem, z0, path.u)
    late = end is not None and time.perf_counter() >= end
    ended = zip(path.converged.tolist(), path.cost.isfinite().tolist(), path.stuck.tolist(), strict=True)
    status = tuple(
        "Converged" if good else "Diverged" if not sane else "Stalled" if stuck
        else "Out_Of_Time" if late else "Out_Of_Iterations"
        for good, sane, stuck in ended
    )  # fmt: skip
    if not path.converged.all() and not listened():
        bad = dict(Counter(word for word in status if word != "Converged"))
        logging.getLogger(__name__).warning("%d of %d optima did not converge: %s", sum(bad.values()), len(status), bad)
    return ReferenceTrajectory(
        **vars(flown), converged=path.converged, status=status, costate=open_loop_costate(problem, flown),
        seconds=torch.full_like(path.cost, seconds),
    )  # fmt: skip
