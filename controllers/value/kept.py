"""What a checkpoint keeps of phi: not what can be computed again."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...envs.problem import Problem
from ..optimum import AgentExpansion, expand_agents, replayed
from .anchored import AnchoredValue, halves, largest
from .expanded import ExpandedValue
from .flying import FlownValue
from .network import ValueFunction

LARGE = 125_000
"""Numbers in the tables of expansions, a megabyte, above which only the controls of the optima are kept."""
SAME = 1e-3
"""Largest difference of a table made again, relative to 1 + its largest entry: where a control lies just beside its
bound, rounding decides whether it has a gain, and such tables are kept whole."""

Value: TypeAlias = ValueFunction | AnchoredValue | ExpandedValue
"""What may stand for phi."""


def stored_tensors(value: Value) -> dict[str, Tensor]:
    """What a checkpoint keeps of ``value``: of tables of terms float16, and of symmetric matrices one half; exact.

    Of large tables about optima (``ExpandedValue``) it keeps where each begins and its controls: the flight, its
    costates and the Riccati sweep along it are made again when it is loaded, to rounding.
    """
    tensors = dict(value.state_dict())
    if isinstance(value, ExpandedValue) and _made_again(value):
        names = value.tables
        tensors = {name: x for name, x in tensors.items() if name not in names}
        tensors |= {"begin": value.state[0], "controls": value.control}
    if isinstance(value, AnchoredValue):
        terms = tensors.pop("terms")
        i, j = torch.triu_indices(value.size, value.size)
        linear, curvature = terms.split([1 + value.size, value.size**2], -1)
        kept = torch.cat([linear, curvature.unflatten(-1, (value.size, -1))[..., i, j]], -1)
        tensors |= {"terms_largest": largest(kept), "terms_half": halves(kept).half()}
    return tensors


def restored_tensors(value: Value, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``stored_tensors``: what ``value.load_state_dict`` takes."""
    tensors = dict(tensors)
    if isinstance(value, ExpandedValue) and "controls" in tensors:
        begin, controls = tensors.pop("begin"), tensors.pop("controls")
        known = replayed(value.problem, begin.double(), controls.double())
        return {**tensors, **expand_agents(value.problem, known).tables()}
    if not isinstance(value, AnchoredValue) or "terms_half" not in tensors:
        return tensors
    largest_, half = tensors.pop("terms_largest"), tensors.pop("terms_half")
    kept, n = half.to(largest_) * largest_, value.size
    i, j = torch.triu_indices(n, n)
    curvature = kept.new_zeros(*kept.shape[:-1], n, n)
    curvature[..., i, j] = curvature[..., j, i] = kept[..., 1 + n :]
    return {**tensors, "terms": torch.cat([kept[..., : 1 + n], curvature.flatten(-2)], -1)}


def _made_again(value: ExpandedValue) -> bool:
    """Whether the tables are large, and come out of the controls again."""
    if sum(getattr(value, name).numel() for name in value.tables) <= LARGE:
        return False
    flight = replayed(value.problem, value.state[0].double().cpu(), value.control.double().cpu())
    if not (flight.z.isfinite().all() and flight.costate.isfinite().all()):
        return False
    for name, table in expand_agents(value.problem, flight).tables().items():
        apart = (table - getattr(value, name).double().cpu()).abs().amax() / (1 + table.abs().amax())
        if not apart < SAME:
            return False
    return True


def restore_value(problem: Problem, config: dict[str, Any]) -> Value:
    """The value function that a stored ``config`` describes, to be filled with its weights."""
    if "expanded" in config:
        expansion = AgentExpansion.blank(problem, int(config["expanded"]))
        if config.get("flights", 0):
            return FlownValue(problem, expansion, int(config.get("sweeps", 0)))
        return ExpandedValue(problem, expansion, int(config["agent_width"]), int(config["agent_rank"]))
    if "anchors" in config:
        return AnchoredValue.blank(problem, config)
    return ValueFunction(problem, **config, seed=0)
