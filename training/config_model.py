"""What is trained: the network, how its argmax is searched, and from where the run starts."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from ..controllers.operators import GradientAscent, Operator, ProjectedNewton
from ..controllers.policy import Hamiltonian
from ..controllers.search import Gradient, Starts
from ..controllers.value import Blend
from .rules import Checked, Count, CountOrZero, Name, Positive, ShareAboveZero, Weight

Anchor: TypeAlias = Literal["none", "expansion", "nominal", "multi", "distilled"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig(Checked):
    """The sizes of the value function."""

    width: CountOrZero = 64
    """Units of a layer of the value function."""
    depth: CountOrZero = 1
    """Residual layers after the opening one."""
    rank: CountOrZero = 10
    """Rank of the value function's quadratic term."""
    agent_width: CountOrZero = 0
    """Units of a layer of the network that each agent has for itself (``Problem.state_block``); 0: none."""
    agent_rank: Count = 8
    """Rank of each agent's own quadratic term."""
    fine_width: CountOrZero = 0
    """Units of a layer of the network for states that steer (``Problem.fine_scale``); 0: none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig(Checked):
    """How the argmax of the Hamiltonian is searched and differentiated."""

    hamiltonian: Hamiltonian = "continuous"
    """Which Hamiltonian the control maximises: the slides', or that of the control as it is held over a step."""
    operator: Literal["newton", "ascent"] = "newton"
    """T: projected Newton, or the projected gradient ascent of the slides."""
    step_size: Positive = 1e-2
    """α of the ascent operator."""
    memory: CountOrZero = 0
    """Past iterates with which Anderson acceleration mixes in the ascent operator's search; 0: plain ascent."""
    backtracks: Count = 3
    """Step lengths that the Newton operator tries."""
    gradient: Gradient = "jfb"
    """How the argmax is differentiated."""
    jfb_steps: Count = 1
    """Applications of T that jfb differentiates."""
    argmax_iterations: Count = 5
    """Applications of T in a training step."""
    argmax_tolerance: Weight = 1e-6
    """Relative size of ∇_u H at which a sample's search ends."""
    starts: Starts = "single"
    """Where the argmax is searched: from one start, or from one in each region where H may have several maxima."""

    def make_operator(self) -> Operator:
        """The fixed-point operator T."""
        if self.operator == "newton":
            return ProjectedNewton(self.backtracks)
        return GradientAscent(self.step_size, self.memory)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartConfig(Checked):
    """What the first weights know already."""

    candidates: Count = 24
    """Initial states whose optima are sought, with ``anchor="expansion"``, and are guesses for the mean one's."""
    members: Count = 16
    """How many of these optima are kept at most: each is a family of routes, or a part of the states."""
    nominal: bool = False
    """Begin with the costate of the open-loop optimum from the mean initial state, networks at 0."""
    nominal_share: ShareAboveZero = 1.0
    """Share of ``Problem.gentle_bounds`` that this optimum may use; what rides at their edge can fall over it."""
    anchor: Anchor = "none"
    """Begin with second-order expansions of the true value function about open-loop optima: agent by agent, with a
    network in their natural coordinates (``"expansion"``); whole, about that from the mean initial state
    (``"nominal"``), or about those from ``anchors`` random initial states (``"multi"``), kept as tables;
    or with a network taught what thousands of them say (``"distilled"``), which is small and fast and goes further:
    under H_dt on top of the expansion about one optimum, of ``agent_width`` (or ``width``) for each agent."""
    anchors: Count = 256
    """How many optima are taken by ``"multi"`` and ``"distilled"``; each costs its time and a table's."""
    distill_iterations: Count = 8000
    """Steps of the optimizer that teach them to the network, before the run."""
    distill_rate: Positive = 1e-2
    """Peak of their learning rate."""
    distill_distance: Positive = 0.03
    """How far beside the optimal paths the feedback along them is taught, in units of a state's scale."""
    anchor_rounds: CountOrZero = 1
    """How often, with ``"multi"``, ``anchors`` / 5 further optima are added where the policy so far flies worst."""
    blend: Blend = "costate"
    """How several expansions become one feedback law: by their costates, or by their values; see ``AnchoredValue``."""
    begin_from: Name | None = None
    """A policy, shipped or in a folder, whose weights are the first; it may be one for fewer of the same agents. With
    anchor "expansion" its expansions are, too: then it must be of the same problem."""

    @property
    def has_tables(self) -> bool:
        """Whether the expansions are kept, as tables over the problem's control steps."""
        return self.anchor in ("expansion", "nominal", "multi")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.has_tables and self.nominal:
            raise ValueError(
                f"{type(self).__name__}.nominal is True with anchor {self.anchor!r}; expected one of the two ways to "
                "begin"
            )
