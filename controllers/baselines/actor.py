"""The actor of a reinforcement-learning agent as a controller of its own: weights and normalisation, no library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ...envs.boundary import to_control
from ...envs.files import from_record
from ...envs.problem import Problem
from ..adapter import Memory, Predictor, answered, asked
from ..storage import read_policy, write_policy

Activation: TypeAlias = Literal["tanh", "relu"]
CLIP = 10.0
"""Bound of a normalised observation, as in Stable-Baselines3's ``VecNormalize``."""


class ActorPolicy(nn.Module, Predictor):
    """The mean action of a Gaussian actor, without its noise:

        u(t, z) = low + (reach clip(N(s)) + 1)/2 (high - low),   s = clip(((z, t) - mean) / std, ±10)

    N is a network of linear layers with one activation between them; ``squashed`` puts a tanh on its output.

    Args:
        problem: what is controlled.
        layers: ``(weight, bias)`` of each linear layer, the last one's with ``control_dim`` rows.
        mean, std: ``(n + 1,)`` of the observations (z, t).
        activation: between the layers.
        squashed: whether the output passes through tanh.
        reach: ``(m,)``, the share of each control's range that is used; all of it unless given.

    Raises:
        ValueError: if the layers do not lead from n + 1 inputs to m outputs, another activation is asked for, or
            reach is not a share of each control's range.
    """

    def __init__(
        self,
        problem: Problem,
        layers: Sequence[tuple[Tensor, Tensor]],
        mean: Tensor,
        std: Tensor,
        activation: Activation = "tanh",
        squashed: bool = False,
        reach: Tensor | None = None,
    ) -> None:
        super().__init__()
        inputs, outputs = problem.state_dim + 1, problem.control_dim
        sizes = [tuple(weight.shape) for weight, _ in layers]
        if not sizes or sizes[0][1] != inputs or sizes[-1][0] != outputs:
            raise ValueError(f"layers have shapes {sizes}; expected to lead from {inputs} inputs to {outputs} outputs")
        if activation not in ("tanh", "relu"):
            raise ValueError(f"activation is {activation!r}; expected 'tanh' or 'relu'")
        self.problem, self.activation, self.squashed = problem, activation, squashed
        self.weights = nn.ParameterList(nn.Parameter(weight.detach().clone()) for weight, _ in layers)
        self.biases = nn.ParameterList(nn.Parameter(bias.detach().clone()) for _, bias in layers)
        bound = torch.as_tensor(problem.state_bound, dtype=mean.dtype).expand(problem.state_dim)
        reach = torch.ones(outputs, dtype=mean.dtype) if reach is None else reach
        if reach.shape != (outputs,) or not ((reach > 0) & (reach <= 1)).all():
            raise ValueError(f"reach is {reach.tolist()}; expected {outputs} numbers in (0, 1]")
        for name, table in {"mean": mean, "std": std, "bound": bound, "reach": reach}.items():
            self.register_buffer(name, table.detach().clone())
        self.mean: Tensor
        self.std: Tensor
        self.bound: Tensor
        self.reach: Tensor

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``; t is ``()`` or ``(B,)``: a controller for ``rollout``."""
        t, batch = asked(self.problem, t, z)
        kind = self.mean.dtype
        time = torch.as_tensor(t, dtype=kind, device=batch.device).expand(len(batch)).unsqueeze(-1)
        seen = torch.cat([batch.to(kind).clamp(-self.bound, self.bound), time], -1)
        a = ((seen - self.mean) / self.std).clamp(-CLIP, CLIP)
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            a = nn.functional.linear(a, weight, bias)
            a = torch.tanh(a) if self.activation == "tanh" else torch.relu(a)
        a = nn.functional.linear(a, *last)
        a = torch.tanh(a) if self.squashed else a.clamp(-1, 1)
        u = to_control(self.problem, a * self.reach).to(batch.dtype)
        return answered(u, z)

    def respond(self, seen: Tensor, state: Memory, episode_start: np.ndarray | None) -> tuple[Tensor, Memory]:
        """u(t, z), and the state as it came."""
        seen = seen.to(self.weights[0])
        return self(seen[:, -1], seen[:, :-1]), state

    def save(self, path: str | Path, notes: dict[str, Any] | None = None) -> Path:
        """Write ``path/policy.json`` and its weights, atomically; ``notes`` are plain data (command, figures)."""
        network = {"layers": len(self.weights), "activation": self.activation, "squashed": self.squashed}
        return write_policy(path, "ActorPolicy", self.problem, dict(self.state_dict()), {"network": network}, notes)

    @classmethod
    def load(cls, path: str | Path, problem: Problem | None = None) -> ActorPolicy:
        """A policy on the CPU from a folder that ``save`` wrote; ``problem`` as in ``ImplicitPolicy.load``.

        Raises:
            ValueError: if nothing is there, or it is cut short, edited, of another kind or for another problem.
        """
        found, tensors, record = read_policy(path, "ActorPolicy", problem)

        def restored() -> ActorPolicy:
            network = record["network"]
            layers = [(tensors[f"weights.{k}"], tensors[f"biases.{k}"]) for k in range(network["layers"])]
            kind, squashed, reach = network["activation"], network["squashed"], tensors.get("reach")
            return cls(found, layers, tensors["mean"], tensors["std"], kind, squashed, reach)

        return from_record(path, restored)
