"""The open-loop optimum from the mean initial state, as the costate that a value function begins with."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from ...controllers.hamiltonian import control_hamiltonian
from ...controllers.operators import held
from ...controllers.optimum import ReferenceTrajectory, solve_optimum
from ...envs.integrate import Controller
from ...envs.problem import Bound, Problem, vector

SEED = 6_007
"""The states whose mean is taken come from a generator of their own, apart from training and evaluation."""


class Within(Problem):
    """``problem`` with tighter bounds on the controls."""

    def __init__(self, problem: Problem, low: Bound, high: Bound) -> None:
        self.inner = problem
        self.state_dim, self.control_dim = problem.state_dim, problem.control_dim
        self.horizon, self.steps, self.substeps = problem.horizon, problem.steps, problem.substeps
        self.control_low, self.control_high = low, high
        super().__post_init__()

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.inner.dynamics(t, z, u)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.inner.running_cost(t, z, u)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return self.inner.terminal_cost(z)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample_initial_state(batch, generator)

    @property
    def state_block(self) -> int:
        return self.inner.state_block

    def coupling(self, t: Tensor, z: Tensor) -> Tensor | None:
        return self.inner.coupling(t, z)


def nominal_path(problem: Problem, share: float = 1.0, starts: int = 4) -> ReferenceTrajectory:
    """The optimum from the mean of rho_0, sought within ``share`` of ``problem.gentle_bounds``.

    Raises:
        ValueError: if there is none.
    """
    return optima(problem, mean_state(problem), share, starts)


def mean_state(problem: Problem) -> Tensor:
    """The mean of rho_0, ``(1, n)``, float64."""
    return problem.sample_initial_state(1024, torch.Generator().manual_seed(SEED)).double().mean(0, keepdim=True)


def optima(
    problem: Problem, z0: Tensor, share: float = 1.0, starts: int = 1, near: ReferenceTrajectory | None = None
) -> ReferenceTrajectory:
    """The optima from those of ``z0`` from which one is found, within ``share`` of ``problem.gentle_bounds``.

    With ``near``, the search begins at the controls of its first optimum.

    Raises:
        ValueError: if there is none.
    """
    guess = None if near is None else held_controls(problem, near)
    path = solve_optimum(gentle(problem, share), z0.double(), guess, starts=starts, seed=SEED)
    if not path.converged.any():
        with contextlib.suppress(ImportError):  # where it is installed, IPOPT may find what the descent did not
            path = solve_optimum(gentle(problem, share), z0.double(), guess, "ipopt", starts, seed=SEED)
    if not path.converged.any():
        raise ValueError(
            f"no open-loop optimum from the state {z0[0].tolist()}, the first of {len(z0)}: {path.status[0]}"
        )
    return path if path.converged.all() else path.rows(path.converged.nonzero().ravel())


def held_controls(problem: Problem, path: ReferenceTrajectory) -> Controller:
    """The controls of the first optimum of ``path``, whatever the state."""
    return lambda t, z: path.u[min(len(path.u) - 1, round(float(t) / problem.time_step)), :1].expand(len(z), -1)


def gentle(problem: Problem, share: float) -> Within:
    """``problem`` within ``share`` of its gentle bounds."""
    low, high = (vector(b, problem.control_dim, torch.zeros(0).double()) for b in problem.gentle_bounds)
    rest = torch.zeros_like(low).clamp(low, high)  # where 0 is not admissible, the control nearest to it
    return Within(problem, rest + share * (low - rest), rest + share * (high - rest))


def nominal_costate(problem: Problem, share: float = 1.0, starts: int = 4) -> Tensor:
    """p̄(t_k) along the optimum from the mean of rho_0, ``(K + 1, n)``, such that argmax_u H(t_k, z̄_k, p̄_k, u) is ū_k.

    With the control held over a step, ū_k answers to the mean costate of the step, not to that of its beginning. The
    costate of the optimiser is therefore moved by as little as makes ∇_u H(t_k, z̄_k, p, ū_k) vanish in the controls
    that are free: ∇_u H is affine in p, so that is one least-norm solution by step. The optimum is sought within
    ``share`` of ``problem.gentle_bounds``: a control that maximises no Hamiltonian could not be followed.

    Raises:
        ValueError: if there is no optimum.
    """
    path = nominal_path(problem, share, starts)
    z, u, p = path.z[:-1, 0], path.u[:, 0], path.costate[:, 0].clone()
    t = path.t[:-1]

    def slope(costate: Tensor) -> Tensor:
        return control_hamiltonian(problem, t, z, costate).gradient(u)

    zero = torch.zeros_like(z)
    columns = [slope(e.expand_as(z)) - slope(zero) for e in torch.eye(z.shape[1], dtype=z.dtype)]
    jacobian = torch.stack(columns, -1)  # (K, m, n)
    residual = slope(p[:-1])
    fixed = held(u, residual, problem.control_bounds(z))
    jacobian = torch.where(fixed.unsqueeze(-1), 0.0, jacobian)
    residual = torch.where(fixed, 0.0, residual)
    p[:-1] -= (torch.linalg.pinv(jacobian) @ residual.unsqueeze(-1)).squeeze(-1)
    return p
