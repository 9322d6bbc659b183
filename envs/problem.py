"""The optimal control problem: dynamics f, costs L and G, initial states rho_0; everything else derives from it."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .declared import check_problem

if TYPE_CHECKING:
    from .scene import Scene

Bound: TypeAlias = "float | Sequence[float] | Tensor"


class ControlHamiltonian(Protocol):
    """The Hamiltonian as a function of the control alone: u -> H(t, z, p, u), with t, z, p held.

    H separates over the diagonal blocks of its Hessian. Terms free of u may be left out of ``value``.
    Controls may carry leading axes, ``(..., B, m)``, for many candidates at once.

    One that knows the structure of its H_uu, such as a diagonal and a few columns, may have a method
    ``solved(u, right, free)`` for Newton's step: (-H_uu)⁻¹ right on the controls where ``free`` is 1, 0 where it is 0.
    """

    def start(self) -> Tensor:
        """A control of the right size to begin the search at, ``(B, m)``; it need not be admissible."""

    def value(self, u: Tensor) -> Tensor:
        """H by block, ``(..., B, m / block)``, up to a constant free of u."""

    def gradient(self, u: Tensor) -> Tensor:
        """∇_u H, ``(..., B, m)``."""

    def hessian(self, u: Tensor) -> Tensor:
        """Diagonal blocks of H_uu, ``(..., B, m / block, block, block)``."""


class HeldStep(NamedTuple):
    """A control step with u held over it, for ``u (.., B, m)``.

    Attributes:
        after: F, ``(.., B, n)``, the state at its end.
        cost: ∫L over it, ``(.., B)``.
        pull: p ``(.., B, n)`` -> ∂(∫L)/∂u + F_uᵀ p, ``(.., B, m)``.
    """

    after: Tensor
    cost: Tensor
    pull: Callable[[Tensor], Tensor]


class Problem(abc.ABC):
    """A finite-horizon optimal control problem, written once as batched torch functions.

        min_u  ∫_0^T L(t, z, u) dt + G(z(T))   s.t.  z' = f(t, z, u),  z(0) ~ rho_0,  u in [low, high]

    Subclass it as a frozen dataclass and write ``dynamics``, ``running_cost``, ``terminal_cost`` and
    ``sample_initial_state``; the rest is optional. Shapes: t ``()`` or ``(B,)``, z ``(B, n)``, u ``(B, m)``.

    Raises:
        ValueError: on construction, if a dimension, the horizon, the number of steps or a bound makes no sense.
    """

    state_dim: int
    control_dim: int
    horizon: float
    steps: int
    substeps: int = 1
    """Runge-Kutta steps in one control step; more where f is too stiff for one."""
    control_low: Bound = -100.0
    """Smallest control, finite; a number or one per control. Set it: the action space is scaled to [low, high]."""
    control_high: Bound = 100.0
    """Largest control."""
    state_scale: Bound = 1.0
    """Typical size of each state; the value function divides its inputs by it."""
    start_scale: Bound | None = None
    """Typical size at the start, where it differs: the value function is that much more sensitive to a state then."""
    fine_scale: Bound | None = None
    """How far a state goes, where ``state_scale`` is not that; for networks that must tell such states apart."""
    state_bound: Bound = 1e6
    """Bound of the observation space; observations are clipped to it, states are not."""
    success_radius: float = 0.1
    """An episode is a success when ``terminal_error`` is at most this."""
    lost_cost: float = 1e6
    """What an environment charges where the next state or the cost is not finite: the episode ends there."""
    position_states: Sequence[int] = ()
    """The states that a field ``target`` is about. Where f and L do not depend on them, and G only on their distance
    from it, a policy for one target is one for all: ``Towards``."""
    state_names: Sequence[str] = ()
    """Name and unit of each state, "angle (rad)", or of each of one agent's, for figures, charts and exports."""
    control_names: Sequence[str] = ()
    """Name and unit of each control, likewise; numbered unless given."""

    def __post_init__(self) -> None:
        check_problem(self)

    @abc.abstractmethod
    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """f(t, z, u), ``(B, n)``."""

    @abc.abstractmethod
    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """L(t, z, u), ``(B,)``."""

    @abc.abstractmethod
    def terminal_cost(self, z: Tensor) -> Tensor:
        """G(z), ``(B,)``."""

    @abc.abstractmethod
    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """``(batch, n)`` states from rho_0, on the CPU."""

    @property
    def control_block(self) -> int:
        """Size of the diagonal blocks of H_uu."""
        return self.control_dim

    @property
    def state_block(self) -> int:
        """Number of states that belong to one agent: a divisor of ``state_dim``; all of them where there is one."""
        return self.state_dim

    @property
    def gentle_bounds(self) -> tuple[Bound, Bound]:
        """``(low, high)`` between which every control maximises some Hamiltonian: all, where H is concave in u."""
        return self.control_low, self.control_high

    @property
    def time_step(self) -> float:
        """dt = horizon / steps: the control is held over it."""
        return self.horizon / self.steps

    def control_bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """``(low, high)``, each ``(m,)``, with the dtype and device of ``like``."""
        return vector(self.control_low, self.control_dim, like), vector(self.control_high, self.control_dim, like)

    def terminal_error(self, z: Tensor) -> Tensor:
        """Distance of z from the target, ``(B,)``, in the unit of position; G itself unless overridden."""
        return self.terminal_cost(z)

    def control_hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> ControlHamiltonian | None:
        """A closed form of u -> H and its derivatives, if known; ``None`` derives them from f and L."""
        return None

    def held_step(self, t: Tensor, z: Tensor, u: Tensor, dt: float | Tensor) -> HeldStep | None:
        """``integrate.advance`` for ``z (B, n)`` and controls ``(.., B, m)`` in closed form, with its derivative.

        ``None``: not known; it is then integrated, and differentiated by the tape.
        """
        return None

    def guess(self, t: Tensor, z: Tensor) -> Tensor | None:
        """u of a controller that gets somewhere, ``(B, m)``: searches for optima begin with its flights, not at rest.

        ``None``: there is none, and mostly none is needed.
        """
        return None

    def coupling(self, t: Tensor, z: Tensor) -> Tensor | None:
        """∇² of the part of L in which agents meet, ``(B, N, c, N, c)``: with it the optimum of many is much faster.

        Over the first c states of each agent, those that the others feel. Only where f and the rest of L separate over
        agents of ``state_block`` states and as many controls each.
        ``None``: not known; all states are then taken together.
        """
        return None

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        """Further figures of a state, each ``(B,)``, for ``info`` and ``evaluate``."""
        return {}

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene | None:
        """What to draw for one state ``(n,)`` and control ``(m,)``; ``None`` draws the state as a chart."""
        return None


def vector(bound: Bound, size: int, like: Tensor) -> Tensor:
    """A number or a sequence as a ``(size,)`` tensor on the device of ``like``."""
    return torch.as_tensor(bound, dtype=like.dtype, device=like.device).expand(size)


def check_kind(problem: object) -> None:
    """Refuse what is no problem.

    Raises:
        ValueError: saying what came.
    """
    if not isinstance(problem, Problem):
        raise ValueError(f"problem is a {type(problem).__name__}; expected a pontryagin.Problem")


def check_state(problem: Problem, z: Tensor, name: str = "z") -> None:
    """Refuse a state batch of the wrong kind, shape or content; reads values on the host, so not for hot loops.

    Raises:
        ValueError: saying what came and what was expected, with the index of the first bad sample.
    """
    check_kind(problem)
    if not isinstance(z, Tensor):
        raise ValueError(f"{name} is a {type(z).__name__}; expected a torch.Tensor of shape (B, {problem.state_dim})")
    if z.ndim != 2 or z.shape[1] != problem.state_dim:
        raise ValueError(
            f"{name} has shape {tuple(z.shape)}; {type(problem).__name__} has state_dim {problem.state_dim}, "
            f"expected (B, {problem.state_dim})"
        )
    if not z.dtype.is_floating_point:
        raise ValueError(f"{name} has dtype {z.dtype}; expected a floating-point dtype")
    check_finite(name, z)


def check_finite(name: str, x: Tensor) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: naming the first bad sample (index along the first axis).
    """
    if torch.compiler.is_compiling() or isinstance(x, torch._subclasses.FakeTensor):
        return
    finite = np.isfinite(x.detach().cpu().numpy())
    if not finite.all():
        raise ValueError(f"{name} is not finite; the first bad sample has index {int(np.argwhere(~finite)[0][0])}")
