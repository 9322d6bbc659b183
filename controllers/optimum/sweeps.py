"""One sweep back through a graph that others have built."""

from __future__ import annotations

import torch
from torch import Tensor


def grad_of(output: Tensor, v: Tensor) -> Tensor:
    """∂(Σ output)/∂v, zeros where it does not depend on it; the graph stays for more."""
    if not output.requires_grad:
        return torch.zeros_like(v)
    (found,) = torch.autograd.grad(output.sum(), v, retain_graph=True, allow_unused=True)
    return torch.zeros_like(v) if found is None else found
