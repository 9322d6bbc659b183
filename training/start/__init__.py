"""Where a run begins: the optimum from the mean state, expansions about many, lessons taught from thousands."""

from .anchoring import anchored
from .distill import distilled
from .expansion import choose, expanded, families
from .nominal import nominal_costate, nominal_path

__all__ = ["anchored", "choose", "distilled", "expanded", "families", "nominal_costate", "nominal_path"]
