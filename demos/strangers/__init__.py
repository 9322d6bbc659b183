"""Twenty published problems as their users would write them, by docs/howto/problem.md alone: no scales, no recipes and
no options. Nothing in the package was chosen by looking at them, so they say how `solve` does on what it has not seen;
`python -m pontryagin.demos.strangers` measures that. A bug that one of them shows may be mended, a setting may not be
tuned to them."""

from .airborne import Moon, Slew, Stall
from .flight import Glider, Lander, Orbit
from .linkages import Arm, Chain, DoublePole
from .living import Catalyst, Hiv, Lotka, Reactor, Tumour
from .robots import Acrobot, Flip
from .vehicles import Agents, Car, Crossing, Quad

STRANGERS = {
    "car": Car, "orbit": Orbit, "acrobot": Acrobot, "lander": Lander, "quad": Quad, "hiv": Hiv, "tumour": Tumour,
    "reactor": Reactor, "agents": Agents, "glider": Glider, "flip": Flip, "lotka": Lotka,
    "slew": Slew, "stall": Stall, "moon": Moon, "double_pole": DoublePole, "chain": Chain, "arm": Arm,
    "catalyst": Catalyst, "crossing": Crossing,
}  # fmt: skip
"""Short name -> class."""

__all__ = ["STRANGERS"]
