"""The feedback law as one module of plain tensor operations, the argmax a real loop: for ONNX and AOTInductor."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from ...envs.boundary import observation_space
from ..adapter import SLACK
from ..policy import ImplicitPolicy
from .loop import Loop, State


class TracedLaw(nn.Module):
    """observation (z, t) -> action, control, residual, iterations; of one fixed batch.

    The observation is scaled inside (by the value function), all is computed in the precision of the policy, the answer
    is in that of the observation, the costate is p = ∇phi, and

        while k < max_iterations and any residual > tolerance:  u <- T(u) where its sample has not converged

    is a ``while_loop`` (``Loop``), so that the turns are spent where they are needed and not unrolled. Head, body and
    tail are traced by ``make_fx`` first: ``torch.func`` in a Hamiltonian that is derived from the user's f and L would
    not pass through ``torch.export``. The price is the fixed batch.

    Args:
        policy: on the CPU.
        observation: an example, ``(B, n + 1)``; its batch is that of the law.

    Raises:
        ValueError: for a search from several starts or with a memory, which this loop does not do.
    """

    low: Tensor
    high: Tensor

    def __init__(self, policy: ImplicitPolicy, observation: Tensor) -> None:
        super().__init__()
        if policy.starts != "single" or policy.operator.memory:
            raise ValueError(
                f"a policy with starts={policy.starts!r}, memory={policy.operator.memory} cannot be exported; expected "
                'starts="single" and memory=0 (set policy.starts after loading, if one start is enough)'
            )
        space = observation_space(policy.problem)
        slack = SLACK * torch.from_numpy(space.high)  # bounds are symmetric, and the last entry is the time
        self.register_buffer("low", torch.from_numpy(space.low) - slack)
        self.register_buffer("high", torch.from_numpy(space.high) + slack)
        self.loop = Loop(policy, observation)
        with torch.no_grad():
            self.head = _trace(lambda *x: self.loop.head(*x), observation)
            scale, *found = self.head(observation)
            self.body = _trace(lambda *x: self.loop.body(*x), observation, scale, *found)
            self.tail = _trace(lambda *x: self.loop.tail(*x), found[0])

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """action ``(B, m)`` in [-1, 1], control ``(B, m)``, residual ``(B,)``, iterations ``(1,)`` int64.

        The residual is the status, too: nan of an observation that the environment cannot give.
        """
        scale, *found = self.head(observation)
        state, known = self.loop.parted(found)

        def condition(*state: Tensor) -> Tensor:
            return self.loop.moving(State(*state)).any()

        def body(*state: Tensor) -> tuple[Tensor, ...]:
            turned: tuple[Tensor, ...] = self.body(observation, scale, *state, *known)
            return turned

        u, residual, applied, *_ = while_loop(condition, body, tuple(state))
        within = ((observation >= self.low) & (observation <= self.high)).all(-1)  # not so for nan
        answer = (self.tail(u), u, torch.where(within, residual, torch.nan))
        return (*(x.to(observation) for x in answer), applied.amax(0, keepdim=True))


def _trace(function: Callable[..., object], *arguments: Tensor) -> GraphModule:
    """``function`` as plain tensor operations, without what nothing depends on: ``torch.func`` leaves checks behind.

    tan and cos of a float64 are written out by sin, for ONNX Runtime knows no tan, and before 1.29 no cos, of one.
    """
    written = {torch.ops.aten.tan.default: _tan, torch.ops.aten.cos.default: _cos}
    module = make_fx(function, decomposition_table=written)(*arguments)
    for node in reversed(list(module.graph.nodes)):
        if node.op == "call_function" and not node.users:
            module.graph.erase_node(node)
    module.recompile()
    return module


def _cos(x: Tensor) -> Tensor:
    return torch.sin(x + math.pi / 2) if x.dtype == torch.float64 else NotImplemented


def _tan(x: Tensor) -> Tensor:
    return torch.sin(x) / (_cos(x) if x.dtype == torch.float64 else torch.cos(x))
