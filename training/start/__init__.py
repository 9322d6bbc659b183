"""Where a run begins: the optimum from the mean state, expansions about many, lessons taught from thousands."""

from .anchoring import anchored
from .coarse import check_steps, coarseness
from .distill import distilled
from .expansion import agreed, choose, excess, expanded, families, fewer, member_costs, played, searched, sound
from .nominal import nominal_costate, nominal_path

__all__ = [
    "agreed",
    "anchored",
    "check_steps",
    "choose",
    "coarseness",
    "distilled",
    "excess",
    "expanded",
    "families",
    "fewer",
    "member_costs",
    "nominal_costate",
    "nominal_path",
    "played",
    "searched",
    "sound",
]
