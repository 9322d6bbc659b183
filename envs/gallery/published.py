"""What the problems of the gallery share: fields that are plain numbers, and a terminal cost of nothing."""

from __future__ import annotations

from torch import Tensor

from ..fields import plain_fields
from ..problem import Problem


class Published(Problem):
    """A problem of the literature: its fields are finite numbers; G = 0 unless it says otherwise.

    Raises:
        ValueError: on a field that is no finite number, or as ``Problem``.
    """

    def __post_init__(self) -> None:
        plain_fields(self)
        super().__post_init__()

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 0.0 * z[..., 0]
