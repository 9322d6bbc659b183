"""Many quadrotors that change places: 12 N states, 4 N controls, exponential control cost, pairwise interaction."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from .fields import plain_fields
from .nearness import distances, nearness, nearness_hessian
from .problem import ControlHamiltonian, Problem
from .quadrotor import ExponentialHamiltonian, Quadrotor, thrust_direction
from .scene import Scene
from .swarm_scene import swarm_scene

STATES, CONTROLS = 12, 4
MOST_AGENTS = 10_000
"""Each of them sees each other one: a hundred million distances."""


@dataclasses.dataclass(frozen=True)
class Swarm(Problem):
    """N quadrotors rise from a grid and gather in the same grid above, every one in another's place.

    | state of agent i | unit | | control of agent i | bounds |
    |---|---|---|---|---|
    | 12i .. 12i+2: position x, y, z | length | | 4i: thrust u₁ | [0, 3] |
    | 12i+3 .. 12i+5: yaw ψ, pitch θ, roll φ | rad | | 4i+1 .. 4i+3: angular accelerations | [-2, 2] |
    | 12i+6 .. 12i+11: their rates | per time | | | |

    Each flies as ``Quadrotor`` does (m = 0.5, g = 1, non-dimensional), and

        L = Σ_i exp(½ |u_i|²) + interaction / (2N) Σ_{i<j} exp(-|x_i - x_j|² / (2 radius²))
        G = terminal_weight · ½ Σ_i |z_i(T) - target_i|²,   at rest

    The interaction is that of ``MultiBicycle``, in three dimensions. Start: position and angles ``N(cell_i,
    initial_scale²)``, rates 0; the cells are ``spacing`` apart, row by row in a square, z = 0. Agent i flies to the
    cell (k i + N/2) mod N, ``rise`` higher, k the whole number next to 0.38 N without a divisor in common with N, so
    that neighbours part. ``agents(z)`` is the view by agent, ``(.., N, 12)``.

    Source: a hundred quadrotors are an experiment of arXiv:2602.00921; its constants are not public, so the layout and
    the numbers here are ours, the single quadrotor that of arXiv:2510.00359.

    Args:
        close: distance below which a pair is counted in ``metrics``.

    Raises:
        ValueError: on a number of agents below 1 or above MOST_AGENTS, or a length, weight or scale that makes no
            sense.
    """

    num_agents: int = 100
    horizon: float = 4.5
    steps: int = 45
    interaction: float = 100.0
    radius: float = 0.25
    terminal_weight: float = 1000.0
    spacing: float = 0.4
    rise: float = 1.0
    initial_scale: float = 0.03
    success_radius: float = 0.1
    close: float = 0.1

    control_block, state_block = CONTROLS, STATES
    state_names, control_names = Quadrotor.state_names, Quadrotor.control_names

    def __post_init__(self) -> None:
        plain_fields(self)
        if self.num_agents > MOST_AGENTS:
            raise ValueError(f"Swarm.num_agents is {self.num_agents}; expected at most {MOST_AGENTS}")
        for field in ("radius", "terminal_weight", "spacing", "close"):
            if not getattr(self, field) > 0:
                raise ValueError(f"Swarm.{field} is {getattr(self, field)!r}; expected a positive number")
        for field in ("interaction", "initial_scale"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"Swarm.{field} is {getattr(self, field)!r}; expected a number >= 0")
        super().__post_init__()

    @property
    def single(self) -> Quadrotor:
        """Each agent's own dynamics and cost."""
        return Quadrotor(steps=self.steps, horizon=self.horizon)

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        return STATES * self.num_agents

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        return CONTROLS * self.num_agents

    @property
    def control_low(self) -> tuple[float, ...]:  # type: ignore[override]
        return (0.0, -2.0, -2.0, -2.0) * self.num_agents

    @property
    def control_high(self) -> tuple[float, ...]:  # type: ignore[override]
        return Quadrotor.control_high * self.num_agents

    @property
    def state_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        return Quadrotor.state_scale * self.num_agents

    @property
    def state_bound(self) -> tuple[float, ...]:  # type: ignore[override]
        return Quadrotor.state_bound * self.num_agents

    @property
    def start_points(self) -> np.ndarray:
        """``(N, 3)`` the cell in which each agent starts."""
        side = math.ceil(math.sqrt(self.num_agents))
        row, column = np.divmod(np.arange(self.num_agents), side)
        middle = 0.5 * (side - 1)
        return self.spacing * np.stack([column - middle, row - middle, 0.0 * row], -1)

    @property
    def target_cells(self) -> np.ndarray:
        """``(N,)`` the number of the cell to which each agent flies: a permutation."""
        count = self.num_agents
        near = sorted(range(1, count + 1), key=lambda k: abs(k - 0.38 * count))
        step = next(k for k in near if math.gcd(k, count) == 1)
        return (step * np.arange(count) + count // 2) % count

    @property
    def target_points(self) -> np.ndarray:
        """``(N, 3)`` the point each agent should reach."""
        return self.start_points[self.target_cells] + (0.0, 0.0, self.rise)

    def agents(self, z: Tensor) -> Tensor:
        """The states by agent, ``(.., N, 12)``."""
        return z.unflatten(-1, (self.num_agents, STATES))

    def positions(self, z: Tensor) -> Tensor:
        """``(.., N, 3)``."""
        return self.agents(z).narrow(-1, 0, 3)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return self.single.dynamics(t, self.agents(z), u.unflatten(-1, (self.num_agents, CONTROLS))).flatten(-2)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        own = self.single.running_cost(t, z, u.unflatten(-1, (self.num_agents, CONTROLS))).sum(-1)
        pairs = 0.5 * (nearness(self.positions(z), self.radius).sum((-2, -1)) - self.num_agents)
        return own + self.interaction / (2 * self.num_agents) * pairs

    def terminal_cost(self, z: Tensor) -> Tensor:
        rest = (self.agents(z).narrow(-1, 3, STATES - 3) ** 2).sum((-2, -1))
        return 0.5 * self.terminal_weight * ((self.position_errors(z) ** 2).sum((-2, -1)) + rest)

    def position_errors(self, z: Tensor) -> Tensor:
        """``(B, N, 3)`` from its target to each agent."""
        return self.positions(z) - torch.as_tensor(self.target_points, dtype=z.dtype, device=z.device)

    def coupling(self, t: Tensor, z: Tensor) -> Tensor:
        return nearness_hessian(self.positions(z), self.radius, self.interaction / (2 * self.num_agents))

    def terminal_error(self, z: Tensor) -> Tensor:
        """The largest distance of any agent from its target, ``(B,)``."""
        return self.position_errors(z).norm(dim=-1).amax(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        pose = self.initial_scale * torch.randn(batch, self.num_agents, 6, generator=generator)
        cells = torch.as_tensor(self.start_points, dtype=pose.dtype)
        place = torch.cat([cells, torch.zeros_like(cells)], -1)
        return torch.cat([place + pose, torch.zeros_like(pose)], -1).flatten(-2)

    def control_hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> SwarmHamiltonian:
        each = self.agents(p)
        thrust = (each.narrow(-1, 6, 3) * thrust_direction(self.agents(z))).sum(-1, keepdim=True) / self.single.mass
        q = torch.cat([thrust, each.narrow(-1, 9, 3)], -1)
        low, _ = self.control_bounds(z)
        return SwarmHamiltonian(ExponentialHamiltonian(q, self.single.cost_exponent, (low == 0).unflatten(-1, (-1, 4))))

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        """``min_distance`` between two agents and ``close_pairs`` nearer than ``close``, each ``(B,)``."""
        return distances(self.positions(z), self.close)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return swarm_scene(z, self.start_points, self.target_points, self.target_cells, self.spacing)


@dataclasses.dataclass(frozen=True)
class SwarmHamiltonian(ControlHamiltonian):
    """That of N quadrotors, a block for each: ``each`` holds theirs, with q ``(B, N, 4)``."""

    each: ExponentialHamiltonian

    def start(self) -> Tensor:
        return self.each.start().flatten(-2)

    def value(self, u: Tensor) -> Tensor:
        return self.each.value(self._apart(u)).squeeze(-1)

    def gradient(self, u: Tensor) -> Tensor:
        return self.each.gradient(self._apart(u)).flatten(-2)

    def hessian(self, u: Tensor) -> Tensor:
        return self.each.hessian(self._apart(u)).squeeze(-3)

    def _apart(self, u: Tensor) -> Tensor:
        return u.unflatten(-1, (-1, CONTROLS))
