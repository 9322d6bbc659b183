"""phi(t, z): networks, expansions about optima, and both together; their gradients are analytic."""

from .agents import TIME_SPAN
from .anchored import AnchoredValue, Blend
from .expanded import ExpandedValue
from .flights import flight, flown
from .flying import FlownValue
from .kept import Value, restore_value, restored_tensors, stored_tensors
from .network import ValueFunction
from .plans import Plan, control_step, planned, replanned
from .roles import interchangeable
from .section import Section, section

__all__ = [
    "AnchoredValue",
    "Blend",
    "ExpandedValue",
    "FlownValue",
    "Plan",
    "Section",
    "TIME_SPAN",
    "Value",
    "ValueFunction",
    "control_step",
    "flight",
    "flown",
    "interchangeable",
    "planned",
    "replanned",
    "restore_value",
    "restored_tensors",
    "section",
    "stored_tensors",
]
