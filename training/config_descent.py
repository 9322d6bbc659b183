"""How it is trained: the steps of the optimizer and what they descend, how long the run is and what it leaves."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch

from ..envs.compiling import device_named
from ..envs.files import check_folder
from .duration import seconds
from .rules import (
    Checked,
    Count,
    DeviceName,
    DisturbOrNone,
    Limit,
    Multiple,
    OutFolderOrNone,
    Positive,
    Seed,
    Share,
    ShareAboveZero,
    ShareBelowOne,
    Weight,
)
from .words import AutoOrFlag, DurationOrNone


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescentConfig(Checked):
    """The rollouts, their loss, and the optimizer."""

    batch: Count = 64
    """Initial states per iteration."""
    disturb: DisturbOrNone = None
    """What may go wrong in the rollouts, as the benchmark has it (``training/disturbances.py``), and how strongly at
    most: ``wind=0.1,noise=0.02,lag=0.05,delay=1,push=0.25,starts=2,mass=0.8:1.2``. Each flight meets one of them, of a
    strength drawn between nothing and that, or between the two that are given. The cost, validations too, is then the
    expectation over both, the initial states and what goes wrong. None: nothing does."""
    disturb_share: ShareAboveZero = 0.75
    """Share of the flights that meet one; the others are undisturbed."""
    steps: Count | None = None
    """Control steps of a training rollout; the problem's own unless given. Fewer are faster."""
    fine_share: Share = 0.4
    """Share of the run, its end, that uses the problem's own number of steps where ``steps`` is another."""
    learning_rate: Positive = 1e-2
    """Peak of the one-cycle schedule."""
    warmup: ShareBelowOne = 0.2
    """Share of the run in which the learning rate rises."""
    optimizer: Literal["soap", "adam"] = "soap"
    """SOAP, which is Adam in the eigenbasis of Shampoo's preconditioner (``training/soap.py``), or Adam itself."""
    gradient_clip: Limit = 2.0
    """Largest norm of the gradient, in multiples of its running mean; a longer one is scaled down to it."""
    rollback: Multiple | None = None
    """How many times the best validation cost a run may reach before it returns to the best weights, with fresh moments
    and a learning rate reduced by ``rollback_pace``; None: never. A steep cost has cliffs from which nothing
    climbs back."""
    rollback_pace: Positive = 0.7
    """Factor on the learning rate at each return."""
    adjoint_clip: Positive | None = None
    """How many times its length at T an agent's adjoint ∂J/∂z may reach on the way back; it is scaled down to that.
    None: never. Where the closed loop is unstable the adjoint grows exponentially and says nothing but that."""
    hjb_weight: Weight = 0.0
    """Weight of ∫ |∂_t phi - max_u H| dt along the path."""
    bound_penalty: Weight = 0.0
    """Weight of ∫ Σ |∂H/∂u_j| dt over the controls held by an active bound, where no other gradient sees a way back."""
    terminal_value_weight: Weight = 0.0
    """Weight of |phi(T, z(T)) - G(z(T))|."""
    terminal_gradient_weight: Weight = 0.0
    """Weight of |∇phi(T, z(T)) - ∇G(z(T))|₁."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(Checked):
    """How long, from which seed, on what, and what is kept."""

    time_budget: DurationOrNone = None
    """Wall-clock budget, in seconds or with a unit; compiling, in the first iteration, is not counted unless
    ``count_all``. With a budget the learning rate follows the clock too, so runs differ from machine to machine."""
    count_all: bool = False
    """Count in ``time_budget`` whatever the run needs: the optima that it begins from and compiling, too."""
    iterations: Count = 4000
    """Steps of the optimizer, each on fresh initial states."""
    seed: Seed = 0
    """Of the initial weights and of the initial states."""
    validation_states: Count = 128
    """Fixed initial states on which the best weights are chosen; never trained on."""
    validate_every: Count = 100
    """Iterations between validations."""
    checkpoint_seconds: Limit = 30.0
    """Seconds between checkpoints."""
    compile: AutoOrFlag = "auto"
    """Compile one step (argmax, RK4, cost) with torch.compile: about a minute once, then several times faster. auto:
    the run begins without, and changes over after a few iterations where what is left of it is long enough to pay."""
    device: DeviceName = "auto"
    """``auto`` is CUDA where there is one."""
    out: OutFolderOrNone = None
    """Folder for the policy, the checkpoint, config.json, log.csv and TensorBoard events; none if not given."""
    resume: bool = False
    """Go on from the checkpoint in ``out``; the curve continues as if it had never stopped."""
    fresh: bool = False
    """Throw away the run that ``out`` holds, if it holds one; without this and ``resume`` such a folder is refused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume and self.out is None:
            raise ValueError(
                f"{type(self).__name__}.resume is True and out is None; expected out, the folder of the checkpoint"
            )
        if self.resume and self.fresh:
            raise ValueError(f"{type(self).__name__}.resume and fresh are both True; expected one of the two at most")

    @property
    def budget_seconds(self) -> float | None:
        """``time_budget`` as a number."""
        return None if self.time_budget is None else seconds(self.time_budget)

    @property
    def compiled(self) -> bool:
        """Whether the step is compiled from the first iteration on."""
        return self.compile is True

    def make_device(self) -> torch.device:
        """The device of the run."""
        return device_named(self.device)

    def make_folder(self) -> None:
        """Make ``out``, if there is one, and write to it to see that it can be.

        Raises:
            ValueError: if it cannot.
        """
        if self.out is not None:
            check_folder(self.out, f"{type(self).__name__}.out")
