"""What a training run is: one dataclass, read by the command line, written beside the results."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ..controllers.operators import GradientAscent, Operator, ProjectedNewton
from ..controllers.value import Blend

Anchor: TypeAlias = Literal["none", "nominal", "multi", "distilled"]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Training of a value function through the rollout.

    The run ends at ``minutes`` or ``iterations``, whichever is first.
    """

    minutes: float | None = None
    """Wall-clock budget; compiling, in the first iteration, is not counted unless ``count_all``. With a budget the
    learning rate follows the clock too, so runs differ from machine to machine."""
    count_all: bool = False
    """Count in ``minutes`` whatever the run needs: the optima that it begins from and compiling, too."""
    iterations: int = 4000
    """Steps of Adam, each on fresh initial states."""
    seed: int = 0
    """Of the initial weights and of the initial states."""
    batch: int = 64
    """Initial states per iteration."""
    steps: int | None = None
    """Control steps of a training rollout; the problem's own unless given. Fewer are faster."""
    fine_share: float = 0.4
    """Share of the run, its end, that uses the problem's own number of steps where ``steps`` is another."""
    width: int = 64
    """Units of a layer of the value function."""
    depth: int = 1
    """Residual layers after the opening one."""
    rank: int = 10
    """Rank of the value function's quadratic term."""
    agent_width: int = 0
    """Units of a layer of the network that each agent has for itself (``Problem.state_block``); 0: none."""
    agent_rank: int = 8
    """Rank of each agent's own quadratic term."""
    fine_width: int = 0
    """Units of a layer of the network for states that steer (``Problem.fine_scale``); 0: none."""
    nominal: bool = False
    """Begin with the costate of the open-loop optimum from the mean initial state (IPOPT), networks at 0."""
    nominal_share: float = 1.0
    """Share of ``Problem.gentle_bounds`` that this optimum may use; what rides at their edge can fall over it."""
    anchor: Anchor = "none"
    """Begin with the second-order expansion of the true value function about the open-loop optimum from the mean
    initial state (``"nominal"``), or about those from ``anchors`` random initial states (``"multi"``), kept as tables;
    or with a network taught what thousands of them say (``"distilled"``), which is small and fast and goes further."""
    anchors: int = 256
    """How many optima are taken by ``"multi"`` and ``"distilled"``; each costs the time of IPOPT, and of a table."""
    processes: int = 1
    """How many of the optima are sought at a time."""
    distill_iterations: int = 8000
    """Steps of Adam that teach them to the network, before the run."""
    distill_rate: float = 1e-2
    """Peak of their learning rate."""
    distill_distance: float = 0.03
    """How far beside the optimal paths the feedback along them is taught, in units of a state's scale."""
    anchor_rounds: int = 1
    """How often, with ``"multi"``, ``anchors`` / 5 further optima are added where the policy so far flies worst."""
    blend: Blend = "costate"
    """How several expansions become one feedback law: by their costates, or by their values; see ``AnchoredValue``."""
    begin_from: str | None = None
    """A policy, shipped or in a folder, whose weights are the first; it may be one for fewer of the same agents."""
    learning_rate: float = 1e-2
    """Peak of the one-cycle schedule."""
    warmup: float = 0.2
    """Share of the run in which the learning rate rises."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's two decay rates."""
    gradient_clip: float = 2.0
    """Largest norm of the gradient, in multiples of its running mean; a longer one is scaled down to it."""
    rollback: float | None = None
    """How many times the best validation cost a run may reach before it returns to the best weights, with fresh moments
    of Adam and a learning rate reduced by ``rollback_pace``; None: never. A steep cost has cliffs from which nothing
    climbs back."""
    rollback_pace: float = 0.7
    """Factor on the learning rate at each return."""
    adjoint_clip: float | None = None
    """How many times its length at T an agent's adjoint ∂J/∂z may reach on the way back; it is scaled down to that.
    None: never. Where the closed loop is unstable the adjoint grows exponentially and says nothing but that."""
    operator: Literal["newton", "ascent"] = "newton"
    """T: projected Newton, or the projected gradient ascent of the slides."""
    step_size: float = 1e-2
    """α of the ascent operator."""
    memory: int = 0
    """Past iterates with which Anderson acceleration mixes in the ascent operator's search; 0: plain ascent."""
    backtracks: int = 3
    """Step lengths that the Newton operator tries."""
    gradient: Literal["jfb", "implicit", "unroll"] = "jfb"
    """How the argmax is differentiated."""
    jfb_steps: int = 1
    """Applications of T that jfb differentiates."""
    argmax_iterations: int = 5
    """Applications of T in a training step."""
    starts: Literal["single", "global"] = "single"
    """Where the argmax is searched: from one start, or from one in each region where H may have several maxima."""
    argmax_tolerance: float = 1e-6
    """Relative size of ∇_u H at which a sample's search ends."""
    terminal_start: float = 1.0
    """Weight of G at the beginning of the run; it rises geometrically to 1 at ``terminal_ramp``. A stiff terminal cost
    freezes the first routes that arrive; a soft one lets them find their shape before they have to hit."""
    terminal_ramp: float = 0.5
    """Share of the run at which G has its full weight."""
    hjb_weight: float = 0.0
    """Weight of ∫ |∂_t phi - max_u H| dt along the path."""
    bound_penalty: float = 0.0
    """Weight of ∫ Σ |∂H/∂u_j| dt over the controls held by an active bound, where no other gradient sees a way back."""
    terminal_value_weight: float = 0.0
    """Weight of |phi(T, z(T)) - G(z(T))|."""
    terminal_gradient_weight: float = 0.0
    """Weight of |∇phi(T, z(T)) - ∇G(z(T))|₁."""
    validation_states: int = 128
    """Fixed initial states on which the best weights are chosen; never trained on."""
    validate_every: int = 100
    """Iterations between validations."""
    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints."""
    compile: bool = False
    """Compile one step (argmax, RK4, cost) with torch.compile: about a minute once, then several times faster."""
    device: str = "auto"
    """``auto`` is CUDA where there is one."""
    out: Path | None = None
    """Folder for the policy, the checkpoint, config.json, log.csv and TensorBoard events; none if not given."""
    resume: bool = False
    """Go on from the checkpoint in ``out``; the curve continues as if it had never stopped."""

    def __post_init__(self) -> None:
        positive: tuple[str, ...] = (
            "iterations",
            "batch",
            "learning_rate",
            "gradient_clip",
            "rollback_pace",
            "step_size",
            "backtracks",
            "terminal_start",
        )
        positive += ("jfb_steps", "argmax_iterations", "validation_states", "validate_every", "agent_rank", "anchors")
        positive += ("processes", "distill_iterations", "distill_rate", "distill_distance")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"TrainConfig.{name} is {getattr(self, name)!r}; expected a positive number")
        for name in ("minutes", "steps", "adjoint_clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"TrainConfig.{name} is {value!r}; expected a positive number or None")
        nonnegative: tuple[str, ...] = ("hjb_weight", "bound_penalty", "terminal_value_weight")
        nonnegative += (
            "terminal_gradient_weight",
            "width",
            "rank",
            "depth",
            "agent_width",
            "fine_width",
            "argmax_tolerance",
            "memory",
            "anchor_rounds",
        )
        for name in nonnegative:
            if not getattr(self, name) >= 0:
                raise ValueError(f"TrainConfig.{name} is {getattr(self, name)!r}; expected a number >= 0")
        if self.rollback is not None and not self.rollback > 1:
            raise ValueError(f"TrainConfig.rollback is {self.rollback!r}; expected a number above 1")
        if not 0 < self.terminal_ramp <= 1:
            raise ValueError(f"TrainConfig.terminal_ramp is {self.terminal_ramp!r}; expected a share in (0, 1]")
        if not 0 < self.nominal_share <= 1:
            raise ValueError(f"TrainConfig.nominal_share is {self.nominal_share!r}; expected a share in (0, 1]")
        if not 0 <= self.fine_share <= 1:
            raise ValueError(f"TrainConfig.fine_share is {self.fine_share!r}; expected a share in [0, 1]")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"TrainConfig.warmup is {self.warmup!r}; expected a share in [0, 1)")
        self._check_choices()

    def _check_choices(self) -> None:
        if self.anchor not in get_args(Anchor):
            raise ValueError(f"TrainConfig.anchor is {self.anchor!r}; expected one of {get_args(Anchor)}")
        if self.blend not in get_args(Blend):
            raise ValueError(f"TrainConfig.blend is {self.blend!r}; expected one of {get_args(Blend)}")
        tables = self.anchor in ("nominal", "multi")
        if tables and self.steps is not None:
            raise ValueError(
                "TrainConfig.steps must be None with tables of anchors, whose feedback is that of the problem's steps"
            )
        if tables and self.nominal:
            raise ValueError("TrainConfig.anchor and nominal are two ways to begin; expected one of them")
        if self.resume and self.out is None:
            raise ValueError("TrainConfig.resume needs out, the folder that holds the checkpoint")

    def make_operator(self) -> Operator:
        """The fixed-point operator T."""
        if self.operator == "newton":
            return ProjectedNewton(self.backtracks)
        return GradientAscent(self.step_size, self.memory)
