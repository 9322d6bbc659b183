"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, which follows the curvature that Adam does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .config import TrainConfig

LARGEST = 512
"""Rows or columns of a weight above which that side keeps its own axes: a basis costs their cube."""
STEADY = 0.03
"""Of the mean eigenvalue, what is added along the axes, once to twice as much: where gradients say nothing, the
eigenvectors are otherwise those of rounding errors, and two runs of the same numbers part."""
QUIET = 1e-3
"""Of a turned gradient's root mean square: entries below it are near rounding, and step less far than Adam has them."""


class SOAP(torch.optim.Optimizer):
    """W <- W - lr Q_L (M̂ / ((V̂ + q² mean V̂)^½ + ε)) Q_Rᵀ, by weight (Vyas et al. 2024, arXiv:2409.11321, algorithm 3).

    With the gradient G of W ``(.., a, b)``, leading axes a batch of matrices, and all averages exponential:

        L = E[G Gᵀ],  R = E[Gᵀ G],  Q_L and Q_R their eigenvectors, turned on by Q <- qr(L Q) every few steps, L and R
                                    made distinct (``STEADY``) where gradients say nothing
        M = E[Q_Lᵀ G Q_R],  V = E[(Q_Lᵀ G Q_R)²]

    q = ``QUIET`` and ``STEADY`` are ours, and so is float64 for all five, whatever the weight is: eigenvectors of G Gᵀ
    magnify rounding by the square of its condition. M is averaged in the weight's own axes and turned with the basis; V
    is not turned. What is no matrix, and a side of more than ``LARGEST``, keeps its axes: there SOAP is Adam. A step is
    as long as one of Adam, and so is its learning rate.

    Args:
        params: the weights.
        lr: the learning rate.
        betas: decay of M and of V; that of L and R is the second.
        every: steps between two turns of the basis.
        eps: ε.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.95, 0.95),
        every: int = 10,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "every": every, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step along the gradients that are there."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._descend(weight, weight.grad.double(), group)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As any optimizer's, but in float64: torch would round to the precision of the weights."""
        super().load_state_dict(state_dict)
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for index, stored in state_dict["state"].items():
            weight = weights[index]
            for key, x in stored.items():
                if isinstance(x, Tensor):
                    self.state[weight][key] = x.to(weight.device, torch.float64, copy=True)

    def _descend(self, weight: Tensor, slope: Tensor, group: dict[str, Any]) -> None:
        slow, fast = group["betas"]
        state = self.state[weight]
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(slope), "square": torch.zeros_like(slope)}
        state["step"] = count = int(state["step"]) + 1  # a tensor where it was stored
        for side, product in _products(slope):
            if side not in state:
                basis = torch.linalg.eigh(_steadied(product))[1].contiguous()
                state[side], state[f"{side}_basis"] = torch.zeros_like(product), basis
            state[side].lerp_(product, 1 - fast)
        state["mean"].lerp_(slope, 1 - slow)
        state["square"].lerp_(_turned(slope, state).square(), 1 - fast)
        ahead = _turned(state["mean"], state) / (1 - slow**count)
        square = state["square"] / (1 - fast**count)
        if "left" in state or "right" in state:
            square = square + QUIET**2 * square.mean((-2, -1), keepdim=True)
        ahead /= square.sqrt() + group["eps"]
        weight.sub_(_turned(ahead, state, back=True), alpha=group["lr"])
        if count % group["every"] == 0:
            for side in ("left", "right"):
                if side in state:
                    turning = _steadied(state[side]) @ state[f"{side}_basis"]
                    state[f"{side}_basis"] = torch.linalg.qr(turning)[0].contiguous()  # as it will be stored


def make_optimizer(module: nn.Module, config: TrainConfig, rate: float) -> torch.optim.Optimizer:
    """The one that ``config`` names, for all weights of ``module``, at a learning rate of ``rate``."""
    if config.optimizer == "soap":
        return SOAP(module.parameters(), rate)
    return torch.optim.Adam(module.parameters(), rate, betas=(0.9, 0.99))


def _products(slope: Tensor) -> list[tuple[str, Tensor]]:
    """G Gᵀ and Gᵀ G, of the sides that have a basis."""
    if slope.ndim < 2:
        return []
    sides = ("left", slope.shape[-2], lambda: slope @ slope.mT), ("right", slope.shape[-1], lambda: slope.mT @ slope)
    return [(side, product()) for side, size, product in sides if 1 < size <= LARGEST]


def _steadied(product: Tensor) -> Tensor:
    """A mean of G Gᵀ whose eigenvectors are its own, not those of rounding."""
    share = STEADY * torch.linspace(1, 2, product.shape[-1], dtype=product.dtype, device=product.device)
    return product + torch.diag_embed(share * product.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True))


def _turned(x: Tensor, state: dict[str, Tensor], back: bool = False) -> Tensor:
    """Q_Lᵀ x Q_R, or Q_L x Q_Rᵀ."""
    left, right = state.get("left_basis"), state.get("right_basis")
    if left is not None:
        x = (left if back else left.mT) @ x
    return x if right is None else x @ (right.mT if back else right)
