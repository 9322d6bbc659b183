"""Controllers to compare with: LQR, MPC, the actor of an RL agent, a direct network, a closed form, rest points."""

from ..optimum import find_equilibrium
from .actor import Activation, ActorPolicy
from .agent import AgentPolicy, check_algorithm
from .classical import CLASSICAL
from .direct import DirectPolicy
from .explicit import ExplicitPolicy
from .lqr import LinearQuadraticRegulator, TimeVaryingLQR
from .mpc import RecedingHorizon

__all__ = [
    "Activation",
    "ActorPolicy",
    "AgentPolicy",
    "CLASSICAL",
    "DirectPolicy",
    "ExplicitPolicy",
    "LinearQuadraticRegulator",
    "RecedingHorizon",
    "TimeVaryingLQR",
    "check_algorithm",
    "find_equilibrium",
]
