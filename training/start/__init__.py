"""Where a run begins: the optimum from the mean state, expansions about many, lessons taught from thousands."""

from .anchoring import anchored
from .distill import distilled
from .expansion import agreed, choose, excess, expanded, families, member_costs, played, searched, sound
from .nominal import nominal_costate, nominal_path

__all__ = [
    "agreed",
    "anchored",
    "choose",
    "distilled",
    "excess",
    "expanded",
    "families",
    "member_costs",
    "nominal_costate",
    "nominal_path",
    "played",
    "searched",
    "sound",
]
