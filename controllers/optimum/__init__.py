"""Open-loop optima: solvers, certificates, the store of references, and expansions of the value function."""

from .by_agent import AgentExpansion, expand_agents
from .certificates import Certificate, certify
from .expansion import Expansion, expand, joined
from .guesses import initial_guesses
from .ipopt import Hessian, ReferenceTrajectory, Search, shooting, solve_reference
from .processes import spawn_pool
from .step_model import along, expand_end, riccati, second_order, step_model
from .store import FOLDER, known_reference, save_reference

__all__ = [
    "AgentExpansion",
    "expand_agents",
    "Certificate",
    "Expansion",
    "FOLDER",
    "Hessian",
    "ReferenceTrajectory",
    "Search",
    "along",
    "certify",
    "expand",
    "expand_end",
    "initial_guesses",
    "joined",
    "known_reference",
    "riccati",
    "save_reference",
    "second_order",
    "shooting",
    "solve_reference",
    "spawn_pool",
    "step_model",
]
