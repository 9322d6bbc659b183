"""How time and memory of a training iteration grow with agents, batch, steps, states and processes.

Time is the processor's, one thread, eager; memory is what one iteration keeps for its backward pass, tensor by tensor.
Neither depends on what else the machine does. Writes results/growth/.
"""

import contextlib
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import torch
import tyro
from rich.progress import track
from torch import Tensor

from pontryagin import MultiBicycle, Problem, Quadrotor, TrainConfig
from pontryagin.envs.files import replace_file, write_json
from pontryagin.training.console import PlainConsole
from pontryagin.training.loss import make_step, path_loss
from pontryagin.training.pictures import save_figure
from pontryagin.training.train import make_value

CARD = 80e9
"""Bytes of the card for which needs are computed."""
FITTED = 3
"""The exponent is that of the largest so many sizes."""


@dataclasses.dataclass(frozen=True)
class Forces:
    """u -> -p·u - Σ cosh u, each force a block: in closed form, so that saved tensors can be counted."""

    p: Tensor

    def start(self) -> Tensor:
        return torch.zeros_like(self.p)

    def value(self, u: Tensor) -> Tensor:
        return -self.p * u - torch.cosh(u)

    def gradient(self, u: Tensor) -> Tensor:
        return -self.p - torch.sinh(u)

    def hessian(self, u: Tensor) -> Tensor:
        return -torch.cosh(u).unsqueeze(-1).unsqueeze(-1)


@dataclasses.dataclass(frozen=True)
class Masses(Problem):
    """n / 2 masses in a row, springs between them, a force on each: a state dimension to choose."""

    state_dim: int = 4
    horizon: float = 2.0
    steps: int = 10
    control_low, control_high, control_block = -5.0, 5.0, 1

    @property
    def control_dim(self) -> int:  # type: ignore[override]
        return self.state_dim // 2

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        x, v = z.chunk(2, -1)
        pull = torch.nn.functional.pad(x.diff(dim=-1), (1, 1))
        return torch.cat([v, pull.diff(dim=-1) + u], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.cosh(u).sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return (z * z).sum(-1)

    def sample_initial_state(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(batch, self.state_dim, generator=generator)

    def control_hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> Forces:
        return Forces(p.chunk(2, -1)[1])


def crowd(count: int, steps: int) -> MultiBicycle:
    """Bicycles that ride from one circle to the opposite side: they meet."""
    return MultiBicycle(count, layout="swap", steps=steps)


def iteration(problem: Problem, batch: int, repeat: int) -> dict[str, float]:
    """Processor seconds of one iteration, the least of ``repeat``, and the bytes it keeps for its backward pass."""
    own = {"agent_width": 32, "width": 0, "rank": 0} if isinstance(problem, MultiBicycle) else {"width": 64}
    config = TrainConfig(argmax_iterations=2, backtracks=2, **own)
    value = make_value(problem, config)
    step, z0 = make_step(problem, value, config), problem.sample_initial_state(batch)
    times, kept = [], {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    for k in range(repeat + 1):  # the first one warms up, and counts
        begin = time.process_time()
        counted = torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x)
        with counted if k == 0 else contextlib.nullcontext():
            loss = path_loss(problem, value, step, z0, config)
        loss.total.backward()
        times.append(time.process_time() - begin)
    weights = sum(w.numel() for w in value.parameters())
    return {"seconds": min(times[1:]), "bytes": float(sum(kept.values())), "weights": float(weights)}


SCRIPT = """
import sys, time, torch, torch.distributed as dist
dist.init_process_group("gloo")
x = torch.zeros(int(sys.argv[1]))
times = []
for _ in range(60):
    dist.barrier()
    begin = time.perf_counter()
    dist.all_reduce(x)
    times.append(time.perf_counter() - begin)
if dist.get_rank() == 0:
    print(min(times))
dist.destroy_process_group()
"""


def all_reduce(floats: int, out: Path) -> float:
    """Seconds of one all-reduce between two processes of this machine, the least of sixty."""
    script = out / ".all_reduce.py"
    replace_file(script, SCRIPT.encode())
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script), str(floats)]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    script.unlink()
    return float(done.stdout)


def exponent(x: list[float], y: list[float]) -> tuple[float, float]:
    """a and b of y = b xᵃ through the largest sizes."""
    a, b = np.polyfit(np.log(x[-FITTED:]), np.log(y[-FITTED:]), 1)
    return float(a), float(math.exp(b))


def studies(brief: bool) -> dict[str, tuple[list[int], Callable[[int], tuple[Problem, int]]]]:
    """By name: the sizes, and the problem and batch of each."""
    cut = 3 if brief else None
    return {
        "agents": ([4, 8, 16, 32, 64, 128, 256][:cut], lambda n: (crowd(n, 4), 16)),
        "batch": ([16, 64, 256, 1024, 4096, 16_384][:cut], lambda n: (Quadrotor(steps=4), n)),
        "steps": ([5, 10, 20, 40, 80, 160][:cut], lambda n: (Quadrotor(steps=n), 64)),
        "states": ([4, 16, 64, 256, 1024, 4096][:cut], lambda n: (Masses(n, steps=4), 64)),
    }


def main(out_dir: Path = Path("results/growth"), repeat: int = 3, brief: bool = False) -> dict[str, Any]:
    """Measure, fit, draw, and compute what larger machines could do.

    Args:
        out_dir: where the figure and the data go.
        repeat: measurements of each size, of which the least counts.
        brief: only the smallest sizes.
    """
    torch.set_num_threads(1)
    out_dir.mkdir(parents=True, exist_ok=True)
    console, figures = PlainConsole(), {}
    for name, (sizes, make) in studies(brief).items():
        rows = []
        for n in track(sizes, f"{name:10}", console=console, transient=True):
            rows.append(iteration(*make(n), repeat))
            console.print(f"{name} {n}: {rows[-1]['seconds']:.4f} s, {rows[-1]['bytes'] / 1e6:.1f} MB", highlight=False)
        fits = {key: exponent([float(n) for n in sizes], [row[key] for row in rows]) for key in ("seconds", "bytes")}
        plain = {k: {"exponent": a, "factor": b} for k, (a, b) in fits.items()}
        figures[name] = {"sizes": sizes, "rows": rows, "fits": plain}
    figures["processes"] = processes(repeat, out_dir, brief)
    figures["needs"] = needs(figures)
    write_json(out_dir / "growth.json", figures)
    save_figure(draw(figures), out_dir / "growth.png")
    console.print(json.dumps(figures["needs"], indent=2))
    return figures


def processes(repeat: int, out: Path, brief: bool) -> dict[str, Any]:
    """What each of P processes spends on its rows of a batch of 512, and the sum between two; efficiency by both."""
    batch = 32 if brief else 512
    rows = {count: iteration(Quadrotor(steps=10), batch // count, repeat) for count in (1, 2, 4, 8)}
    sent = all_reduce(int(rows[1]["weights"]), out)
    seconds = {str(count): row["seconds"] + (sent if count > 1 else 0.0) for count, row in rows.items()}
    shares = {count: seconds["1"] / (int(count) * x) for count, x in seconds.items()}
    return {
        "batch": batch,
        "seconds": {str(k): v for k, v in seconds.items()},
        "all_reduce": sent,
        "efficiency": shares,
    }


def needs(figures: dict[str, Any]) -> dict[str, float]:
    """By the fits: how far one card goes, and from which batch on two processes are worth it."""
    batch, agents, step = (figures[k]["fits"]["bytes"] for k in ("batch", "agents", "steps"))
    quadrotor = batch["factor"] * (160 / 4) ** step["exponent"]  # bytes of a batch of one, 160 steps
    rows = [row["bytes"] / 16 / 4 for row in figures["agents"]["rows"]]  # of one step of one flight
    pairs, alone, _ = np.polyfit(figures["agents"]["sizes"][-FITTED:], rows[-FITTED:], 2)  # exact: agents and pairs

    flight = np.poly1d([60 * pairs, 60 * alone, 0])

    def most(flights: int) -> float:
        return float((math.sqrt(alone**2 + 4 * pairs * CARD / flights / 60) - alone) / (2 * pairs))

    sizes, seconds = figures["batch"]["sizes"], [row["seconds"] for row in figures["batch"]["rows"]]
    local = np.diff(np.log(seconds)) / np.diff(np.log(sizes))  # halving a batch takes 2 ** -local of its time
    good = [n for n, a in zip(sizes[1:], local, strict=True) if 2**a / 2 >= 0.8]
    return {
        "largest batch of quadrotors on one card": (CARD / quadrotor) ** (1 / batch["exponent"]),
        "GB of a batch of 65,536 quadrotors": quadrotor * 65_536 ** batch["exponent"] / 1e9,
        "GB of a batch of 64 of a hundred agents": float(64 * flight(100)) / 1e9,
        "GB of a batch of 64 of a thousand agents": float(64 * flight(1000)) / 1e9,
        "most agents on one card, batch 8": most(8),
        "most agents on one card, batch 1": most(1),
        "batch from which two processes reach 80 %": float(good[0]) if good else math.inf,
    }


def draw(figures: dict[str, Any]) -> matplotlib.figure.Figure:
    """A panel each: seconds and megabytes, with the fitted exponents."""
    figure = matplotlib.figure.Figure(figsize=(15, 3.4), layout="constrained")
    axes = figure.subplots(1, 5)
    for axis, name in zip(axes, ("agents", "batch", "steps", "states"), strict=False):
        found = figures[name]
        for key, unit, scale, color in (("seconds", "s", 1.0, "C0"), ("bytes", "MB", 1e-6, "C1")):
            a = found["fits"][key]["exponent"]
            axis.loglog(found["sizes"], [scale * r[key] for r in found["rows"]], "o-", color=color, ms=4,
                        label=f"{unit}, exponent {a:.2f}")  # fmt: skip
        axis.set_title(f"{name}: time grows as n^{found['fits']['seconds']['exponent']:.1f}", fontsize=10)
        axis.set_xlabel(name)
        axis.legend(frameon=False, fontsize=8)
    share = figures["processes"]["efficiency"]
    axes[-1].plot([int(k) for k in share], [100 * v for v in share.values()], "o-")
    axes[-1].set_ylim(0, 110)
    axes[-1].set_xlabel("processes (efficiency in %)")
    axes[-1].set_title(f"batch {figures['processes']['batch']} on two processes: {share['2']:.0%}", fontsize=10)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
