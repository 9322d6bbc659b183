"""Problems that other people published, with the optima that they are checked against."""

from __future__ import annotations

from .burgers import Burgers
from .cartpole import CartPole
from .dubins import Dubins
from .epidemic import Epidemic
from .goddard import Goddard
from .harvest import Harvest
from .min_fuel import MinFuel
from .pendulum import Pendulum
from .reaction_diffusion import ReactionDiffusion
from .reactor import Reactor
from .rocket import Rocket
from .van_der_pol import VanDerPol

__all__ = [
    "Burgers",
    "CartPole",
    "Dubins",
    "Epidemic",
    "Goddard",
    "Harvest",
    "MinFuel",
    "Pendulum",
    "ReactionDiffusion",
    "Reactor",
    "Rocket",
    "VanDerPol",
]
