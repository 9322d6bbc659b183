"""What a training run is: one dataclass, read by the command line, written beside the results."""

from __future__ import annotations

import dataclasses

from .config_descent import DescentConfig, RunConfig
from .config_model import NetworkConfig, SearchConfig, StartConfig


# The fields of the last base come first.
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(DescentConfig, StartConfig, SearchConfig, NetworkConfig, RunConfig):
    """Training of a value function through the rollout.

    The run ends at ``time_budget`` or ``iterations``, whichever is first. The fields are, in this order, those of the
    run, the network, the search of the argmax, the start and the descent. Each is checked when the configuration is
    made.

    Raises:
        ValueError: naming the field, the value and what is expected.
    """

    @property
    def learns_expanded(self) -> bool:
        """Whether optima are taught to a network on top of one expansion: those of the held control are."""
        return self.anchor == "distilled" and self.hamiltonian == "held"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learns_expanded and self.begin_from is not None:
            raise ValueError(
                f"{type(self).__name__}.begin_from is {self.begin_from!r} with anchor 'distilled' and hamiltonian "
                "'held'; expected None: the lessons make expansions and a network of their own"
            )
        if (self.has_tables or self.learns_expanded) and self.steps is not None:
            raise ValueError(
                f"TrainConfig.steps is {self.steps} with anchor {self.anchor!r}; expected None, for the tables "
                "hold the feedback of the problem's own steps"
            )
