"""``pontryagin compare-gradients``: the claims of the talk about memory, time, direction and cost, on any problem."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ...controllers.optimum import known_reference
from ...controllers.policy import ImplicitPolicy
from ...controllers.value import Value
from ...envs.files import A_MOMENT, alone, check_folder
from ...envs.problem import Problem
from ...envs.states import draw_states
from ..config import TrainConfig
from ..train import VALIDATION_SEED, make_value
from .compare_config import CompareConfig
from .compare_file import Result, circumstances, read_comparison, write_comparison
from .gradients import (
    gradient_errors,
    iteration_seconds,
    iterations_needed,
    line_fit,
    peak_bytes,
    saved_bytes,
)
from .race import Runner, Tell, race
from .sizes import seconds_by_size
from .variants import GRADIENTS, KINDS, Samples, Variant, samples_along_flights, steady_step


@dataclasses.dataclass
class Comparison:
    """One comparison under way: what is compared, and what has been measured so far."""

    problem: Problem
    base: TrainConfig
    config: CompareConfig
    folder: Path
    tell: Tell
    step_size: float = 1.0

    @functools.cached_property
    def first(self) -> Value:
        """The first weights, made once: a nominal start is an optimal control problem of its own."""
        return make_value(self.problem, self.base)

    @property
    def coarse(self) -> Problem:
        """The problem with the control steps of a training rollout."""
        return self.problem if self.base.steps is None else dataclasses.replace(self.problem, steps=self.base.steps)  # type: ignore[type-var]

    def trained(self) -> Value:
        """The best weights of jfb + newton in the race."""
        return ImplicitPolicy.load(self.folder, device="cpu", problem=self.problem).value

    def validation(self) -> Tensor:
        """States on which costs are compared; never trained on."""
        return draw_states(self.problem, 8 if self.config.quick else 64, VALIDATION_SEED)

    def samples(self) -> Samples:
        """Times, states and costates along the flights of the trained policy."""
        z0 = draw_states(self.problem, self.config.states, self.config.seed + 1)
        return samples_along_flights(self.problem, self.trained(), z0, hamiltonian=self.base.hamiltonian)


def compare_gradients(
    problem: Problem, base: TrainConfig, config: CompareConfig, name: str, tell: Tell = lambda share, line: None
) -> Result:
    """Measure all parts, writing ``out/name/compare.json`` after each, and return what is written.

    Args:
        problem: on which.
        base: recipe of the training, whose Hamiltonian is compared on; operator and gradient are replaced.
        config: how thoroughly.
        name: of the folder.
        tell: called with the share of the present part and a line about it.

    Raises:
        ValueError: if a setting makes no sense, another process compares in the same folder, or H has no curvature
            along the flights and no step size is given.
    """
    if not dataclasses.is_dataclass(problem):
        raise ValueError(f"{type(problem).__name__} is no dataclass; expected one, so that its steps can be changed")
    asked = config
    base = dataclasses.replace(base, seed=config.seed, out=None, resume=False, time_budget=None)
    if config.quick:
        config = config.hurried()
        steps = None if base.has_tables else min(problem.steps, 20)
        base = dataclasses.replace(base, steps=steps, compile=False, fine_share=0.0, batch=16)
    comparison = Comparison(problem, base, config, config.out / name, tell)
    check_folder(comparison.folder, "CompareConfig.out")
    file = comparison.folder / "compare.json"
    about = circumstances(problem, asked, name, base.compile)
    with alone(comparison.folder, "compare", A_MOMENT):
        result = read_comparison(file, about) if config.resume and file.exists() else {}
        for part, measure in PARTS.items():
            if part not in result:
                tell(0.0, part)
                result[part] = measure(comparison)
            comparison.step_size = result["pilot"]["step_size"]
            result["about"] = about
            write_comparison(file, result)
    return result


def _pilot(c: Comparison) -> Result:
    """A training by jfb + newton only to learn which step size suits the ascent where training leads."""
    if c.config.step_size is not None:
        return {"step_size": c.config.step_size, "given": True}
    pilot = Runner(c.problem, Variant("newton", "jfb", c.base.argmax_iterations), c.base, 1.0, False, c.first)
    states = c.validation()
    race([pilot], c.config.budget_seconds, c.config.slices, states, lambda share, line: c.tell(share, f"pilot: {line}"))
    pilot.progress.value.load_state_dict(pilot.progress.best)
    z0 = draw_states(c.problem, c.config.states, c.config.seed)
    samples = samples_along_flights(c.problem, pilot.progress.value, z0, hamiltonian=c.base.hamiltonian)
    curvature = samples.curvature(c.problem)
    low, high = (float(torch.quantile(curvature.double(), q)) for q in (0.001, 0.999))
    return {"step_size": steady_step(c.problem, samples), "curvature_low": low, "curvature_high": high, "given": False}


def _race(c: Comparison) -> Result:
    variants = [Variant("newton", g, c.base.argmax_iterations) for g in GRADIENTS]
    variants += [Variant("ascent", g, c.config.ascent_iterations) for g in GRADIENTS]
    variants.append(Variant("ascent", "jfb", c.config.ascent_iterations, jfb_steps=8))
    runners = [Runner(c.problem, v, c.base, c.step_size, watched=v.gradient == "jfb", first=c.first) for v in variants]
    race(runners, c.config.budget_seconds, c.config.slices, c.validation(), c.tell)
    value = runners[0].progress.value
    value.load_state_dict(runners[0].progress.best)
    policy = ImplicitPolicy(c.problem, value, hamiltonian=c.base.hamiltonian)
    policy.save(c.folder, {"race": runners[0].variant.record()})
    runs = [r.result() for r in runners]
    return {"budget_seconds": c.config.budget_seconds, "runs": runs, **_known_optima(c.problem, c.validation())}


def _known_optima(problem: Problem, z0: Tensor) -> Result:
    """Of how many of the states an optimum is stored that converged; what they cost, if that is so of all."""
    stored = known_reference(problem, z0)
    if stored is None:
        return {}
    known = int(stored.converged.sum())
    return {"reference_states": known, "reference_mean": float(stored.cost.mean()) if known == len(z0) else None}


def _saved(c: Comparison) -> Result:
    samples = c.samples()
    rows = []
    for kind in KINDS[:2]:
        for gradient in GRADIENTS:
            found = [saved_bytes(c.problem, Variant(kind, gradient, n), samples, c.step_size) for n in c.config.counts]
            fit = line_fit(c.config.counts, found)
            rows.append({"kind": kind, "gradient": gradient, "bytes": found, **fit})
    return {"samples": len(samples.t), "counts": list(c.config.counts), "rows": rows}


def _peak(c: Comparison) -> Result:
    rows = []
    counts = (c.config.counts[0], c.config.counts[-1])
    cases = [(k, g, n) for k in KINDS[:2] for g in GRADIENTS for n in counts]
    cases = [("ascent", g, counts[-1]) for g in GRADIENTS] if c.config.quick else cases
    short = dataclasses.replace(c.problem, steps=min(c.problem.steps, 20))  # type: ignore[type-var]
    for index, (kind, gradient, n) in enumerate(cases):
        variant = Variant(kind, gradient, n)
        bytes_ = peak_bytes(short, variant.config(c.base, c.step_size), c.config.peak_batch)
        rows.append({**variant.record(), "bytes": bytes_})
        c.tell((index + 1) / len(cases), f"peak memory, {variant.label}, {n} iterations: {bytes_ / 1e6:.0f} MB")
    return {"batch": c.config.peak_batch, "steps": short.steps, "rows": rows}


def _seconds(c: Comparison) -> Result:
    value = c.trained()
    z0 = draw_states(c.problem, c.base.batch, c.config.seed).to(value.scale)
    short = dataclasses.replace(c.problem, steps=min(c.problem.steps, 20))  # type: ignore[type-var]
    cases = [Variant(k, g, n) for k in KINDS[:2] for g in GRADIENTS for n in c.config.counts]
    c.tell(0.0, f"time of a training iteration, {len(cases)} ways in turns")
    seconds = iteration_seconds(short, value, [v.config(c.base, c.step_size) for v in cases], z0)
    rows = [{**v.record(), "seconds": x} for v, x in zip(cases, seconds, strict=True)]
    return {"batch": c.base.batch, "steps": short.steps, "compiled": False, "rows": rows}


def _errors(c: Comparison) -> Result:
    base = dataclasses.replace(c.base, adjoint_clip=None, bound_penalty=0.0, hjb_weight=0.0)
    z0 = draw_states(c.problem, c.config.states, c.config.seed + 1).double()
    many = 4 if c.config.quick else 50
    cells = [Variant(k, g, n) for k in KINDS for g in GRADIENTS for n in (3, many)]
    ladder = [
        Variant("ascent", "jfb", 4 if c.config.quick else 200, k) for k in ((1, 4) if c.config.quick else (4, 16, 64))
    ]
    found = {}
    for place, value, variants in (
        ("first weights", copy.deepcopy(c.first).double(), [v for v in cells if v.iterations == many]),
        ("trained weights", c.trained().double(), cells + ladder),
    ):
        c.tell(0.0, f"angles to the exact gradient, {place}")
        found[place] = gradient_errors(c.coarse, value, base, variants, z0, c.step_size)
    return found


def _needed(c: Comparison) -> Result:
    samples = c.samples()
    step = steady_step(c.problem, samples)
    rows = iterations_needed(c.problem, samples, step, 200 if c.config.quick else 5000)
    return {"samples": len(samples.t), "step_size": step, "rows": rows}


def _sizes(c: Comparison) -> Result:
    return {"problem": "CoupledControls", "batch": 32, "rows": seconds_by_size(c.config.sizes)}


PARTS: dict[str, Callable[[Comparison], Result]] = {
    "pilot": _pilot, "race": _race, "saved": _saved, "peak": _peak, "seconds": _seconds, "errors": _errors,
    "needed": _needed, "sizes": _sizes,
}  # fmt: skip
"""Part of the results -> how it is measured, in this order."""
