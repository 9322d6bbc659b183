"""The direct alternative to a value function: a network whose output is the control."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...envs.compiling import device_named
from ...envs.fields import whole
from ...envs.files import from_record
from ...envs.problem import Problem, check_kind, vector
from ..adapter import Memory, Predictor, answered, asked
from ..storage import check_sizes, fill, read_policy, write_policy
from ..value import TIME_SPAN

EDGE = 0.8
"""How far towards a bound, as a share of half the range, the first controls may lie."""


class DirectPolicy(nn.Module, Predictor):
    """u = π(t, z) = mid + reach · tanh(N(s) / reach),   s = (z / state_scale, 4 t/T),   [low, high] = mid ± reach.

    N is a network with layers of tanh, in units of control, so that wide bounds do not make it nervous: far from them
    du/dN = 1. It begins near the admissible control nearest to zero. Bounds are approached and never reached.

    Args:
        problem: what is controlled.
        width: units of each layer.
        depth: layers after the opening one.
        seed: of the initial weights; drawn on the CPU from a generator of its own.

    Raises:
        ValueError: on a size that makes no sense.
    """

    def __init__(self, problem: Problem, width: int = 64, depth: int = 1, seed: int | None = None) -> None:
        super().__init__()
        check_kind(problem)
        width, depth = whole(width, "width"), whole(depth, "depth", 0)
        self.problem = problem
        self.config = {"width": width, "depth": depth}
        inputs, outputs = problem.state_dim + 1, problem.control_dim
        generator = torch.Generator().manual_seed(torch.seed() if seed is None else whole(seed, "seed", 0))
        sizes = [inputs] + [width] * (depth + 1) + [outputs]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for columns, rows in zip(sizes, sizes[1:], strict=False):  # Glorot
            weight = torch.randn(rows, columns, generator=generator) * math.sqrt(2 / (rows + columns))
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(rows)))
        scale = torch.cat([vector(problem.state_scale, problem.state_dim, torch.empty(())), torch.ones(1)])
        scale[-1] = problem.horizon / TIME_SPAN
        low, high = problem.control_bounds(scale)
        for name, table in {"scale": scale, "middle": 0.5 * (low + high), "reach": 0.5 * (high - low)}.items():
            self.register_buffer(name, table)
        self.scale: Tensor
        self.middle: Tensor
        self.reach: Tensor
        with torch.no_grad():
            rest = (torch.zeros_like(low).clamp(low, high) - self.middle) / self.reach
            self.biases[-1].copy_(self.reach * torch.atanh(rest.clamp(-EDGE, EDGE)))
            self.weights[-1].mul_(0.1)

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """π(t, z), ``(B, m)``; t is ``()`` or ``(B,)``: a controller for ``rollout``; differentiable."""
        t, batch = asked(self.problem, t, z)
        seen = batch.to(self.scale.dtype)
        time = torch.as_tensor(t, dtype=seen.dtype, device=seen.device).expand(len(seen)).unsqueeze(-1)
        a = torch.cat([seen, time], -1) / self.scale
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            a = torch.tanh(nn.functional.linear(a, weight, bias))
        low, high = self.problem.control_bounds(seen)
        u = self.middle + self.reach * torch.tanh(nn.functional.linear(a, *last) / self.reach)
        u = u.clamp(low, high).to(batch.dtype)  # rounding
        return answered(u, z)

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """π(t, z), and the state as it came."""
        seen = seen.to(self.scale)
        return self(seen[:, -1], seen[:, :-1]), state

    def save(self, path: str | Path, notes: dict[str, Any] | None = None) -> Path:
        """Write ``path/policy.json`` and its weights, atomically; ``notes`` are plain data (command, figures)."""
        tensors = dict(self.state_dict())
        return write_policy(path, "DirectPolicy", self.problem, tensors, {"network": self.config}, notes)

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", problem: Problem | None = None) -> DirectPolicy:
        """A policy from a folder that ``save`` wrote; ``device`` and ``problem`` as in ``ImplicitPolicy.load``.

        Raises:
            ValueError: if nothing is there, or it is cut short, edited, of another kind or for another problem.
        """
        found, tensors, record = read_policy(path, "DirectPolicy", problem)

        def restored() -> DirectPolicy:
            check_sizes(record["network"], found, tensors, path)
            policy = cls(found, **record["network"], seed=0)
            fill(policy, tensors, path, found)
            return policy

        return from_record(path, restored).to(device_named(device))
