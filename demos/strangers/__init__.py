"""Twelve published problems as their users would write them, by docs/howto/problem.md alone: no scales, no recipes and
no options. Nothing in the package was chosen by looking at them, so they say how `solve` does on what it has not seen;
`python -m pontryagin.demos.strangers` measures that. A bug that one of them shows may be mended, a setting may not be
tuned to them."""

from .flight import Glider, Lander, Orbit
from .living import Hiv, Lotka, Reactor, Tumour
from .robots import Acrobot, Flip
from .vehicles import Agents, Car, Quad

STRANGERS = {
    "car": Car, "orbit": Orbit, "acrobot": Acrobot, "lander": Lander, "quad": Quad, "hiv": Hiv, "tumour": Tumour,
    "reactor": Reactor, "agents": Agents, "glider": Glider, "flip": Flip, "lotka": Lotka,
}  # fmt: skip
"""Short name -> class."""

__all__ = ["STRANGERS"]
