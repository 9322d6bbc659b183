"""Where a run begins: the optimum from the mean state, expansions about many, lessons taught from thousands."""

from .anchoring import anchored
from .coarse import check_steps, coarseness
from .distill import distilled
from .expansion import choose, excess, expanded, families, member_costs, sound
from .lessons import Lessons, attune, beginning, outlying, taught, teach
from .nominal import nominal_costate, nominal_path
from .seeking import agreed, fewer, played, searched

__all__ = [
    "Lessons",
    "agreed",
    "anchored",
    "attune",
    "beginning",
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
    "outlying",
    "played",
    "searched",
    "sound",
    "taught",
    "teach",
]
