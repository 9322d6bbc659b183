"""Where a run begins: the optimum from the mean state, expansions about many, lessons taught from thousands."""

from .anchoring import anchored
from .distill import distilled
from .doubt import calibrated, excess, flown_excess, member_costs
from .expansion import agreed, choose, expanded, families, searched, sound, trusted
from .nominal import nominal_costate, nominal_path

__all__ = [
    "agreed",
    "anchored",
    "calibrated",
    "choose",
    "distilled",
    "excess",
    "expanded",
    "families",
    "flown_excess",
    "member_costs",
    "nominal_costate",
    "nominal_path",
    "searched",
    "sound",
    "trusted",
]
