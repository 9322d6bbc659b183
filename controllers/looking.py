"""When the host may read a value off a tensor: never in a hot loop on a device, for nothing on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode


def host_may_look(x: Tensor) -> bool:
    """Whether a value can be read at no cost: eager, on the CPU. Elsewhere masks do the same work without a look."""
    plain = x.device.type == "cpu" and type(x) is Tensor and not torch.compiler.is_compiling()
    return plain and _get_current_dispatch_mode() is None and not is_functorch_wrapped_tensor(x)
