"""Open-loop optima: solvers, certificates, the store of references, and expansions of the value function."""

from .by_agent import AgentExpansion, expand_agents
from .certificates import Certificate, certify
from .crew import cores, crew, hands, shared
from .ddp import descend
from .equilibrium import Point, find_equilibrium, given
from .expansion import Expansion, expand, joined
from .flights import Path, agents
from .guesses import initial_guesses, own_guess
from .ipopt import Hessian, Search, shooting, solve_reference
from .later import Later
from .processes import Pool, heard_interrupts, spawn_pool
from .searches import replan, search
from .solve import Method, improve_optimum, replayed, solve_optimum
from .step_model import along, expand_end, riccati, second_order, step_model
from .store import FOLDER, find_reference, known_reference, load_reference, save_reference
from .told import heard
from .trajectory import ReferenceTrajectory, cheaper

__all__ = [
    "AgentExpansion",
    "expand_agents",
    "Certificate",
    "Expansion",
    "FOLDER",
    "Hessian",
    "Later",
    "Method",
    "Path",
    "Point",
    "Pool",
    "ReferenceTrajectory",
    "Search",
    "agents",
    "along",
    "certify",
    "cheaper",
    "cores",
    "crew",
    "descend",
    "expand",
    "expand_end",
    "find_equilibrium",
    "find_reference",
    "given",
    "hands",
    "heard",
    "heard_interrupts",
    "improve_optimum",
    "initial_guesses",
    "joined",
    "known_reference",
    "load_reference",
    "own_guess",
    "replan",
    "replayed",
    "riccati",
    "save_reference",
    "search",
    "second_order",
    "shared",
    "shooting",
    "solve_optimum",
    "solve_reference",
    "spawn_pool",
    "step_model",
]
