"""The commands ``pontryagin export`` and ``pontryagin parity``: a policy for other runtimes, and whether they agree."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from ...controllers.export import Target, export_policy, load_runtime, read_contract, weights_checksum
from ...controllers.policy import ImplicitPolicy
from ...envs.fields import whole
from ...envs.files import from_record
from ...envs.integrate import rollout
from ..checkpoint import load_policy
from ..console import PlainConsole
from .arguments import PolicyPath

LIMIT = 1e-5
"""Largest difference between two runtimes in float32 that counts as agreement."""
HELD_LIMIT = 1e-4
"""The same for a policy of the held control: a slope of 1e-6 of its scale, where the search ends, leaves u so open."""
SOLVED = 1e-6
"""Residual, in float64, at which a state has an answer to compare with."""
MOST_UNSOLVED = 0.01
"""Share of the states, at most, that has none."""


def export_command(
    checkpoint: PolicyPath, to: tuple[Target, ...], out_dir: Path | None = None, problem: str | None = None
) -> None:
    """Write a policy as files that run without the training stack, and a contract.json that says how. For example

        pontryagin export quadrotor --to onnx aoti numpy --out-dir exports/quadrotor
        pontryagin parity exports/quadrotor

    Args:
        checkpoint: the policy.
        to: onnx, aoti (AOTInductor, compiled for this CPU), numpy (one file that needs nothing but NumPy).
        out_dir: folder; exports/CHECKPOINT unless given.
        problem: module:ClassName of a policy for a problem of your own.
    """
    policy = load_policy(checkpoint, problem)
    folder = out_dir or Path("exports") / Path(checkpoint).name
    if not to:
        raise ValueError("nothing to export to; expected --to with onnx, aoti or numpy")
    console = PlainConsole()
    for target in to:
        with console.status(f"exporting to {target}"):
            contract = export_policy(policy, folder, target, checkpoint)
        file = read_contract(folder)["files"][target]
        console.print(f"{folder / file['path']}  {file['bytes'] / 1e3:.0f} kB", highlight=False, soft_wrap=True)
    console.print(contract, highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How one runtime compares with the policy in torch.

    Attributes:
        difference: largest |u - u_torch| of any control at any state where the search ends in torch, in float64.
        worst: index of that state.
        latency: median seconds of one answer for one state.
        slow: the 99th percentile of them.
        unsolved: states where it did not: there two searches may stop anywhere.
    """

    difference: float
    worst: int
    latency: float
    slow: float
    unsolved: int = 0


def parity_command(
    folder: Annotated[Path, tyro.conf.Positional],
    checkpoint: str | None = None,
    states: int = 10_000,
    seed: int = 0,
    problem: str | None = None,
    json: bool = False,
) -> None:
    """Compare every runtime in FOLDER with the policy in torch, state by state; fails above 1e-5, if held above 1e-4.

    Args:
        folder: what ``pontryagin export`` wrote.
        checkpoint: the policy; the one that was exported unless given.
        states: how many; along the policy's flights, scattered about them by as much again as the flights scatter.
        seed: of the draw.
        problem: module:ClassName of a policy for a problem of your own.
        json: print JSON instead of a table.
    """
    contract = read_contract(folder)
    source, weights = from_record(
        folder / "contract.json", lambda: (str(contract["policy"]["source"]), contract["policy"]["weights_sha256"])
    )
    if not checkpoint and not source:
        raise ValueError(f"{folder} does not say of which policy it is; expected its folder or name as --checkpoint")
    policy = load_policy(checkpoint or source, problem)
    if weights_checksum(policy) != weights:
        raise ValueError(f"{folder} is not an export of {checkpoint or source}: its weights differ")
    torch.set_num_threads(1)
    observations = scattered(policy, states, seed)
    found = {target: agreement(policy, folder, target, observations) for target in contract["files"]}
    found["torch"] = Agreement(0.0, 0, *eager_latency(policy, observations[: min(len(observations), 500)]))
    if json:
        PlainConsole().print_json(data={name: dataclasses.asdict(a) for name, a in found.items()})
    else:
        _table(folder, states, found)
    limit = HELD_LIMIT if policy.hamiltonian == "held" else LIMIT
    bad = [name for name, a in found.items() if not a.difference <= limit]
    if bad:
        raise ValueError(f"{bad} differ from torch by more than {limit:g}")


@torch.no_grad()
def scattered(policy: ImplicitPolicy, states: int, seed: int) -> NDArray[np.float32]:
    """``(states, n + 1)`` observations along flights of ``policy``, as far again from them as the flights are apart."""
    states, seed = whole(states, "states"), whole(seed, "seed", 0)
    problem, generator = policy.problem, torch.Generator().manual_seed(seed)
    flights = max(2, min(100, states))
    path = rollout(problem, policy, problem.sample_initial_state(flights, generator))
    moments = torch.randint(len(path.u), (-(-states // flights),), generator=generator)
    z = path.z[moments]
    z = z + z.std(1, keepdim=True) * torch.randn(z.shape, generator=generator)
    t = path.t[moments].reshape(-1, 1, 1).expand(*z.shape[:2], 1)
    return torch.cat([z, t], -1).flatten(0, 1)[:states].numpy()


def agreement(policy: ImplicitPolicy, folder: Path, target: str, observations: NDArray[np.float32]) -> Agreement:
    """Run one export on every observation, one at a time."""
    batch = torch.from_numpy(observations)
    fine = copy.deepcopy(policy).double()
    fine.tolerance = max(fine.tolerance, SOLVED)
    with torch.no_grad():
        expected = policy.solve(batch[:, -1], batch[:, :-1]).control.numpy()
        solved = fine.solve(batch[:, -1].double(), batch[:, :-1].double()).converged.numpy()
    solved = solved | (policy.max_iterations == 0)
    run, times, apart = load_runtime(folder, target), [], []
    for row in observations[:50]:
        run(row)
    rows = track(observations, f"{target:6}", transient=True, console=PlainConsole(stderr=True), update_period=0.5)
    for row, u in zip(rows, expected, strict=True):
        begin = time.perf_counter()
        answer = run(row)
        times.append(time.perf_counter() - begin)
        apart.append(float(np.abs(answer - u).max()))
    if (~solved).mean() > MOST_UNSOLVED:
        raise ValueError(
            f"at {(~solved).sum()} of {len(solved)} states the search in torch ran out of iterations; expected answers "
            "to compare"
        )
    worst = int(np.argmax(np.where(solved, np.nan_to_num(apart, nan=np.inf), -1.0)))
    slow = float(np.quantile(times, 0.99))
    return Agreement(apart[worst], worst, statistics.median(times), slow, int((~solved).sum()))


def eager_latency(policy: ImplicitPolicy, observations: NDArray[np.float32]) -> tuple[float, float]:
    """Median and 99th percentile of the seconds of ``policy.predict``."""
    times = []
    for row in observations:
        begin = time.perf_counter()
        policy.predict(row)
        times.append(time.perf_counter() - begin)
    return statistics.median(times), float(np.quantile(times, 0.99))


def _table(folder: Path, states: int, found: dict[str, Agreement]) -> None:
    table = Table(title=f"{folder}: {states} states, one at a time, one thread", title_justify="left")
    for heading in ("runtime", "largest difference", "at state", "median, µs", "99 %, µs"):
        table.add_column(heading, justify="left" if heading == "runtime" else "right")
    for name, a in found.items():
        apart: Any = ("-", "-") if name == "torch" else (f"{a.difference:.1e}", str(a.worst))
        table.add_row(name, *apart, f"{1e6 * a.latency:.0f}", f"{1e6 * a.slow:.0f}")
    PlainConsole(least=80).print(table)
    unsolved = max(a.unsolved for a in found.values())
    if unsolved:
        print(f"left out of the difference: {unsolved} states where the search in torch ran out of iterations")
