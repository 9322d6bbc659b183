"""A problem made from another one: what it takes over unless it says otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .fields import plain_fields
from .names import state_labels
from .problem import Bound, Problem


class Wrapped(Problem):
    """States, scales, names, G and the initial states of ``inner``; subclasses are frozen dataclasses with that field.

    Raises:
        ValueError: if ``inner`` is no Problem.
    """

    inner: Problem

    def __post_init__(self) -> None:
        plain_fields(self)
        if not isinstance(self.inner, Problem):
            raise ValueError(
                f"{type(self).__name__}.inner is a {type(self.inner).__name__}; expected a pontryagin.Problem"
            )
        super().__post_init__()

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        return self.inner.state_dim

    @property
    def substeps(self) -> int:  # type: ignore[override]
        return self.inner.substeps

    @property
    def state_scale(self) -> Bound:  # type: ignore[override]
        return self.inner.state_scale

    @property
    def state_bound(self) -> Bound:  # type: ignore[override]
        return self.inner.state_bound

    @property
    def state_names(self) -> Sequence[str]:  # type: ignore[override]
        return texts(state_labels(self.inner))

    @property
    def success_radius(self) -> float:  # type: ignore[override]
        return self.inner.success_radius

    @property
    def lost_cost(self) -> float:  # type: ignore[override]
        return self.inner.lost_cost

    def terminal_cost(self, z: Tensor) -> Tensor:
        return self.inner.terminal_cost(z)

    def terminal_error(self, z: Tensor) -> Tensor:
        return self.inner.terminal_error(z)

    def metrics(self, z: Tensor) -> dict[str, Tensor]:
        return self.inner.metrics(z)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample_initial_state(batch, generator)


def entries(bound: Bound, size: int) -> tuple[float, ...]:
    """A bound or a scale as ``size`` numbers; without NumPy, which compiled code does not take here."""
    one = isinstance(bound, int | float) or getattr(bound, "ndim", 1) == 0
    return (float(bound),) * size if one else tuple(float(x) for x in bound)  # type: ignore[arg-type, union-attr]


def texts(labels: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Names with their units, as a problem declares them."""
    return tuple(f"{name} ({unit})" if unit else name for name, unit in labels)
