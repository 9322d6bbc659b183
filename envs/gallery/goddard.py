"""Goddard's rocket: how high it gets with the fuel it has, and when it has got there."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..free_time import FreeTime
from ..problem import Problem
from ..scene import Scene
from .published import Published
from .scenes import rocket_scene


@dataclasses.dataclass(frozen=True)
class Ascent(Published):
    """Goddard's rocket in the time ``horizon``: z = (h, v, m) ``(B, 3)`` in Earth radii, their rate and initial masses;
    u the thrust ``(B, 1)`` in [0, 3.5]. All without units: the radius of the Earth, its gravity and m(0) are 1.

        ḣ = v     v̇ = (u - ½ 620 v² exp(-500 (h - 1))) / m - 1/h²     ṁ = -u / 0.5
        L = ½ price u²     G = -100 (h(T) - 1) + ½ terminal_weight (m(T) - 0.6)²
    """

    horizon: float = 0.2
    steps: int = 50
    price: float = 0.05
    terminal_weight: float = 1000.0
    spread: float = 0.05

    state_dim, control_dim = 3, 1
    control_low, control_high = 0.0, 3.5
    state_scale = (0.01, 0.1, 0.4)
    state_names = ("height (R)", "speed (-)", "mass (-)")
    control_names = ("thrust (-)",)

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        height, speed, mass = z.split(1, -1)
        drag = 310.0 * speed * speed.abs() * torch.exp(-500.0 * (height - 1.0).clamp_min(-0.01))
        return torch.cat([speed, (u - drag) / mass.clamp_min(0.3) - 1.0 / height**2, -2.0 * u], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return 0.5 * self.price * (u**2).sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return -100.0 * (z[..., 0] - 1.0) + 0.5 * self.terminal_weight * (z[..., 2] - 0.6) ** 2

    def terminal_error(self, z: Tensor) -> Tensor:
        return (z[..., 2] - 0.6).abs()

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        away = self.spread * torch.rand(batch, 2, generator=generator)
        return torch.cat([torch.ones(batch, 1), away[:, :1], 1.0 + 2.0 * away[:, 1:] - self.spread], -1)

    def scene(self, t: float, z: np.ndarray, u: np.ndarray) -> Scene:
        return rocket_scene(np.array([0.0, 400.0 * (z[0] - 1.0)]), 0.0, u[0] / 2.0, mark=None)


@dataclasses.dataclass(frozen=True)
class Goddard(FreeTime):
    """``Ascent`` with a free final time in [0.1, 0.3]: the second control is the pace (``FreeTime``).

    Start: at rest with m = 1 in the source, which has no prices; here v uniform in [0, spread], m in 1 ± spread.

    Source: Dolan, Moré and Munson, "Benchmarking optimization software with COPS 3.0" (2004), after Bryson, "Dynamic
    Optimization" (1999). Optimum from (1, 0, 1): h = 1.01283 in a time of 0.199, by full thrust, a singular arc, none.
    Here some more fuel is burnt, at a price; 100 (h - 1) less twice that price -> 1.283 as the weight grows.
    """

    inner: Problem = dataclasses.field(default_factory=Ascent)
    shortest: float = 0.1
    longest: float = 0.3
    price: float = 1.0
    steps: int = 50
