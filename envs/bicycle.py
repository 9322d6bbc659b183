"""Interacting bicycles of Gelphman et al. (arXiv:2510.00359): 4N states, 2N controls, H not concave in the steering."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .bicycle_step import bicycle_step
from .fields import plain_fields
from .nearness import distances, nearness, nearness_hessian
from .problem import HeldStep, Problem
from .scene import Scene, bicycle_scene
from .steering import SMALL, STEERING, BicycleHamiltonian, keep_aside

Point: TypeAlias = tuple[float, float]
Points: TypeAlias = tuple[Point, ...]

CROSS: Points = ((4.25, 4.5), (4.5, 4.25), (4.25, 4.0), (4.0, 4.25), (4.25, 4.25))
"""Targets of the five bicycles of the paper."""
MEETING: Point = (1.0, 1.0)
"""The target that any other number of bicycles share."""
SWAP_RADIUS = 2.0
"""Radius of the circle of ``layout="swap"``."""

MOST_AGENTS = 10_000
"""Each of them sees each other one: a hundred million distances."""


@dataclasses.dataclass(frozen=True)
class MultiBicycle(Problem):
    """N kinematic bicycles ride to their targets and keep out of each other's way.

    | state of agent i | unit | | control of agent i | bounds |
    |---|---|---|---|---|
    | 4i, 4i+1: rear wheel x, y | length | | 2i: steering angle δ | ±(π/2 - 0.25) rad |
    | 4i+2: heading θ | rad | | 2i+1: acceleration a | ±5 |
    | 4i+3: speed v | length per time | | | |

        ẋ = v cosθ     ẏ = v sinθ     θ̇ = (v / wheelbase) tanδ     v̇ = a
        L = ½ |u|² + interaction / (2N) Σ_{i<j} exp(-|x_i - x_j|² / (2 radius²))
        G = terminal_weight · ½ Σ_i |x_i(T) - target_i|²

    H is not concave in δ: the steering jumps to its bound where |p_θ v / wheelbase| passes 0.23. ``agents(z)`` is the
    view by agent, ``(.., N, 4)``; that of the controls is ``u.unflatten(-1, (N, 2))``.

    Start: positions ``N(start, initial_scale²)``, every speed ``initial_speed`` and heading ``start_headings``.

    Args:
        layout: ``"gather"``: all start at the origin; five ride to the cross of the paper, any other number to (1, 1).
            ``"swap"``: they start on a circle and each rides to the opposite side.
        targets: one point ``(x, y)`` for all, or N different ones; those of the layout unless given.
        close: distance below which a pair is counted in ``metrics``.

    Raises:
        ValueError: on a number of agents below 1, targets that are missing, coincide or are not finite, or a length,
            weight or scale that makes no sense.
    """

    num_agents: int = 5
    layout: Literal["gather", "swap"] = "gather"
    targets: Points | Point | None = None
    horizon: float = 4.0
    steps: int = 60
    wheelbase: float = 0.05
    interaction: float = 5.0
    radius: float = 1.0
    terminal_weight: float = 500.0
    initial_scale: float = 0.1
    initial_speed: float = 0.1
    success_radius: float = 0.1
    close: float = 0.1

    control_block, state_block = 2, 4
    state_names = ("x (length)", "y (length)", "heading (rad)", "speed (length/time)")
    control_names = ("steering (rad)", "acceleration (length/time^2)")

    def __post_init__(self) -> None:
        plain_fields(self)
        if self.num_agents > MOST_AGENTS:
            raise ValueError(f"MultiBicycle.num_agents is {self.num_agents}; expected at most {MOST_AGENTS}")
        if self.layout not in ("gather", "swap"):
            raise ValueError(f"MultiBicycle.layout is {self.layout!r}; expected 'gather' or 'swap'")
        for field in ("wheelbase", "radius", "terminal_weight", "success_radius", "close"):
            if not (getattr(self, field) > 0 and math.isfinite(getattr(self, field))):
                raise ValueError(f"MultiBicycle.{field} is {getattr(self, field)!r}; expected a positive number")
        super().__post_init__()
        for field in ("interaction", "initial_scale"):
            if not (getattr(self, field) >= 0 and math.isfinite(getattr(self, field))):
                raise ValueError(f"MultiBicycle.{field} is {getattr(self, field)!r}; expected a number >= 0")
        if not math.isfinite(self.initial_speed):
            raise ValueError(f"MultiBicycle.initial_speed is {self.initial_speed!r}; expected a finite number")
        _check_targets(self.targets, self.num_agents)

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        return 4 * self.num_agents

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        return 2 * self.num_agents

    @property
    def control_low(self) -> tuple[float, ...]:  # type: ignore[override]
        return (-STEERING, -5.0) * self.num_agents

    @property
    def control_high(self) -> tuple[float, ...]:  # type: ignore[override]
        return (STEERING, 5.0) * self.num_agents

    @property
    def gentle_bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return (-SMALL, -5.0) * self.num_agents, (SMALL, 5.0) * self.num_agents

    @property
    def state_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        return (2.0, 2.0, 50.0 / self.wheelbase, 1.0) * self.num_agents

    @property
    def start_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        # What steers is p_θ v / wheelbase, and v is small at first.
        return (2.0, 2.0, 2.5 / self.wheelbase, 1.0) * self.num_agents

    @property
    def fine_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        return (1.0, 1.0, 0.5, 1.0) * self.num_agents

    @property
    def state_bound(self) -> tuple[float, ...]:  # type: ignore[override]
        return (100.0, 100.0, 1e4, 100.0) * self.num_agents

    @property
    def target_points(self) -> np.ndarray:
        """``(N, 2)`` the point each agent should reach."""
        if self.targets is None and self.layout == "swap":
            return -self.start_points
        chosen = self.targets or (CROSS if self.num_agents == len(CROSS) else MEETING)
        return np.broadcast_to(np.asarray(chosen, dtype=float), (self.num_agents, 2)).copy()

    @property
    def start_points(self) -> np.ndarray:
        """``(N, 2)`` the mean initial position of each agent."""
        if self.layout == "gather":
            return np.zeros((self.num_agents, 2))
        angle = 2 * np.pi * np.arange(self.num_agents) / self.num_agents
        return SWAP_RADIUS * np.stack([np.cos(angle), np.sin(angle)], -1)

    @property
    def start_headings(self) -> np.ndarray:
        """``(N,)`` initial headings: 0.1 rad, or across the circle."""
        if self.layout == "gather":
            return np.full(self.num_agents, 0.1)
        return np.arctan2(-self.start_points[:, 1], -self.start_points[:, 0])

    def agents(self, z: Tensor) -> Tensor:
        """The states by agent, ``(.., N, 4)``: x, y, θ, v."""
        return z.unflatten(-1, (self.num_agents, 4))

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        _, _, heading, speed = self.agents(z).unbind(-1)
        steering, acceleration = u.unflatten(-1, (self.num_agents, 2)).unbind(-1)
        turn = speed * torch.tan(steering) / self.wheelbase
        return torch.stack([speed * torch.cos(heading), speed * torch.sin(heading), turn, acceleration], -1).flatten(-2)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        pairs = 0.5 * (self.nearness(z).sum((-2, -1)) - self.num_agents)
        return 0.5 * (u * u).sum(-1) + self.interaction / (2 * self.num_agents) * pairs

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 0.5 * self.terminal_weight * (self.position_errors(z) ** 2).sum((-2, -1))

    def position_errors(self, z: Tensor) -> Tensor:
        """``(B, N, 2)`` from its target to each agent."""
        goals = torch.as_tensor(self.target_points, dtype=z.dtype, device=z.device)
        return self.agents(z).narrow(-1, 0, 2) - goals

    def nearness(self, z: Tensor) -> Tensor:
        """``(B, N, N)`` exp(-|x_i - x_j|² / (2 radius²)), 1 on the diagonal."""
        return nearness(self.agents(z).narrow(-1, 0, 2), self.radius)

    def guess(self, t: Tensor, z: Tensor) -> Tensor | None:
        """Where riders swap places, all keep to one side: a roundabout. At rest they would be sought head-on."""
        if self.layout != "swap":
            return None
        return keep_aside(self.agents(z), -self.position_errors(z), self.horizon - t, self.wheelbase)

    def coupling(self, t: Tensor, z: Tensor) -> Tensor:
        weight = self.interaction / (2 * self.num_agents)
        return nearness_hessian(self.agents(z).narrow(-1, 0, 2), self.radius, weight)

    def terminal_error(self, z: Tensor) -> Tensor:
        """The largest distance of any agent from its target, ``(B,)``."""
        return self.position_errors(z).norm(dim=-1).amax(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        start = torch.as_tensor(self.start_points, dtype=torch.get_default_dtype())
        position = start + self.initial_scale * torch.randn(batch, self.num_agents, 2, generator=generator)
        heading = torch.as_tensor(self.start_headings, dtype=position.dtype).expand(batch, -1)
        speed = torch.full_like(heading, self.initial_speed)
        return torch.cat([position, torch.stack([heading, speed], -1)], -1).flatten(-2)

    def control_hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> BicycleHamiltonian:
        _, _, p_heading, p_speed = self.agents(p).unbind(-1)
        speed = self.agents(z).select(-1, 3)
        return BicycleHamiltonian(p_heading * speed / self.wheelbase, p_speed)

    def held_step(self, t: Tensor, z: Tensor, u: Tensor, dt: float | Tensor) -> HeldStep | None:
        kind = type(self)
        own = all(getattr(kind, x) is getattr(MultiBicycle, x) for x in ("dynamics", "running_cost", "nearness"))
        return bicycle_step(self, z, u, dt) if own and self.substeps == 1 else None

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        """``min_distance`` between two agents and ``close_pairs`` nearer than ``close``, each ``(B,)``."""
        return distances(self.agents(z).narrow(-1, 0, 2), self.close)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        near = self.nearness(torch.from_numpy(np.asarray(z)).unsqueeze(0))[0].numpy().sum(-1) - 1
        return bicycle_scene(z, u, self.target_points, self.radius, near / max(self.num_agents - 1, 1))


def _check_targets(targets: Points | Point | None, count: int) -> None:
    if targets is None:
        return
    try:
        array = np.asarray(targets, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"MultiBicycle.targets is {targets!r:.100}; expected points (x, y)") from None
    if array.shape not in ((2,), (count, 2)):
        raise ValueError(f"MultiBicycle.targets has shape {array.shape}; expected one point (2,) or ({count}, 2)")
    if not np.isfinite(array).all():
        raise ValueError(f"MultiBicycle.targets is {targets}; expected finite coordinates")
    points = [tuple(point) for point in array.reshape(-1, 2).tolist()]
    for i, point in enumerate(points):
        if point in points[:i]:
            raise ValueError(
                f"MultiBicycle.targets {points.index(point)} and {i} are both {point}; expected {count} different "
                "points, or one point for all"
            )
