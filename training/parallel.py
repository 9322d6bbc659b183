"""One training on several processes: torchrun's, or those of any group of ``torch.distributed`` that is there."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..envs.compiling import device_named
from .console import Said

T = TypeVar("T")
PATIENCE = datetime.timedelta(hours=12)
"""What a process waits for another that is alive: the optima that a run begins at are the first one's work. One that
is gone is noticed at once, by its connection or by torchrun."""
GONE = (
    "another process of this run is gone; what it says stands above. The run can go on from its last checkpoint, on "
    "any number of processes: --resume"
)


class Gone(ConnectionError):
    """Another process of the run has ended before its time."""


@dataclasses.dataclass(frozen=True)
class Team:
    """This process among those that train together."""

    rank: int
    count: int

    @property
    def leads(self) -> bool:
        """Whether it is the one that speaks and writes."""
        return self.rank == 0

    def rows(self, batch: int, name: str = "batch") -> slice:
        """Its rows of a batch that is the same for all of them, whatever their number.

        Raises:
            ValueError: if there is not one for each.
        """
        if batch < self.count:
            raise ValueError(f"TrainConfig.{name} is {batch} on {self.count} processes; expected one for each at least")
        return slice(self.rank * batch // self.count, (self.rank + 1) * batch // self.count)


def team() -> Team:
    """Alone, unless a group of processes has been joined."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team(0, 1)


@contextlib.contextmanager
def joined(device: str) -> Iterator[Team]:
    """As one of torchrun's processes, where it started this one: gloo on the CPU, NCCL between GPUs.

    A group that is there already is taken as it is, and left as it was. All but the first keep their warnings to
    themselves.

    Raises:
        ValueError: if there are more processes on this machine than GPUs.
    """
    begun = dist.is_available() and dist.is_torchelastic_launched() and not dist.is_initialized()
    if begun and int(os.environ["WORLD_SIZE"]) > 1:
        backend = "gloo"
        if device_named(device).type == "cuda":
            torch.cuda.set_device(own_device(device, int(os.environ["WORLD_SIZE"])))
            backend = "cpu:gloo,cuda:nccl"
        with _together():
            dist.init_process_group(backend, timeout=PATIENCE)
    try:
        with warnings.catch_warnings():
            if not team().leads:
                warnings.simplefilter("ignore")
            yield team()
    finally:
        if begun and dist.is_initialized():
            dist.destroy_process_group()


def own_device(device: str, count: int) -> torch.device:
    """The device called ``device``; of several GPUs that of this one of ``count`` processes.

    Raises:
        ValueError: if there are more processes on this machine than GPUs.
    """
    found = device_named(device)
    if count == 1 or found.type != "cuda" or found.index is not None:
        return found
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        raise ValueError(
            f"process {local} of this machine has no GPU of its own: there are {torch.cuda.device_count()}; expected "
            "as many as processes (torchrun --nproc-per-node), or --device cpu"
        )
    return torch.device("cuda", local)


def from_first(work: Callable[[], T]) -> T:
    """What ``work`` returns on the first process, for all of them: it runs there alone.

    Raises:
        ValueError: what it raises there, everywhere.
    """
    if team().count == 1:
        return work()
    told: list[object] = [None, None]
    refused: Exception | None = None
    if team().leads:
        try:
            told = [None, work()]
        except Exception as error:  # the others wait, whatever it is
            refused, told = error, [str(error) or type(error).__name__, None]
    with _together():
        dist.broadcast_object_list(told)
    if refused is not None:
        raise refused
    if told[0] is not None:
        raise Said(told[0])
    return cast(T, told[1])


def gathered(mine: list[T]) -> list[T]:
    """The lists of all processes as one: item k is that of process k modulo their number."""
    if team().count == 1:
        return mine
    parts: list[list[T]] = [[] for _ in range(team().count)]
    with _together():
        dist.all_gather_object(parts, mine)
    most = max(len(part) for part in parts)
    return [part[k] for k in range(most) for part in parts if k < len(part)]


def summed(x: Tensor) -> Tensor:
    """The sum over the processes, in place; the same to the last bit on each."""
    if team().count > 1:
        with _together():
            dist.all_reduce(x)
    return x


def share_gradient(model: nn.Module, share: float, figures: Iterable[Tensor | float]) -> list[Tensor]:
    """Σ share · gradient and Σ figures over the processes, in one all-reduce; returns the figures.

    ``share`` is that of this process in the batch, so that the gradient of its mean becomes that of the whole one's.
    A weight without a gradient counts as 0: which weights a process reaches may not decide what is sent.
    """
    weights = [w for w in model.parameters() if w.requires_grad]
    like = weights[0]
    parts = [share * (torch.zeros_like(w) if w.grad is None else w.grad).reshape(-1) for w in weights]
    told = [torch.as_tensor(x, dtype=like.dtype, device=like.device).reshape(1) for x in figures]
    flat = summed(torch.cat([*parts, *told]))
    for w, part in zip(weights, flat.split([*(w.numel() for w in weights), len(told)]), strict=False):
        w.grad = part.view_as(w)
    return list(flat[-len(told) :].unbind()) if told else []


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Around what all do at once.

    Raises:
        Gone: if one of them has ended.
    """
    try:
        yield
    except RuntimeError as error:  # torch knows several kinds
        raise Gone(f"{GONE} ({str(error).splitlines()[0][:200]})") from error
