"""The command ``pontryagin simulate``: a policy in somebody else's simulator, beside the model."""

from __future__ import annotations

import json as json_
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor

from ...controllers.plants import (
    BatchedPlant,
    CommonRoadBicycles,
    CrazyflowDrone,
    HighwayBicycles,
    MujocoQuadrotor,
    Plant,
    PlantMismatch,
    simulate,
)
from ...controllers.policy import ImplicitPolicy
from ...envs.integrate import Trajectory
from ...envs.problem import Problem
from ...envs.states import draw_states
from ..checkpoint import load_policy
from ..console import PlainConsole
from ..evaluate import Evaluation, evaluate, relative_gap
from ..pictures import side_by_side, trajectory_figure, write_film
from .arguments import PolicyPath
from .evaluate import stored_optima

TIME_SCALE = 6.0
"""Seconds that a unit of time takes with cars, unless asked for otherwise."""
PlantName: TypeAlias = Literal["mujoco", "mujoco-rotors", "crazyflow", "highway", "commonroad"]


def simulate_command(
    checkpoint: PolicyPath,
    plant: PlantName,
    states: int = 32,
    seed: int = 0,
    rate: float | None = None,
    latency: float = 0.0,
    mass_error: float = 0.0,
    drag: float = 0.0,
    wind: tuple[float, float, float] = (0.0, 0.0, 0.0),
    motor_lag: float = 0.0,
    rotor_low: float = 0.0,
    time_scale: float = TIME_SCALE,
    out_dir: Path | None = None,
    video: Path | None = None,
    problem: str | None = None,
    json: bool = False,
) -> None:
    """Fly a policy, unchanged, in a simulator that is not ours, and compare with the model. For example

        pontryagin simulate quadrotor --plant mujoco --mass-error 0.1
        pontryagin simulate cars5 --plant highway --video film.gif

    Args:
        checkpoint: the policy.
        plant: mujoco (rigid body), mujoco-rotors (with four rotors and a mixer), crazyflow (the Crazyflie with rotors
            that lag, all states at once), highway (highway-env), commonroad (kinematic single track with a rate of
            steering).
        states: how many initial states are drawn from rho_0.
        seed: of the draw.
        rate: answers per unit of time; the problem's unless given.
        latency: from a question to the effect of its answer, in the problem's time.
        mass_error: of the body in MuJoCo or Crazyflow, as a share.
        drag: c of a force -c (velocity - wind) in MuJoCo.
        wind: velocity of the air in MuJoCo.
        motor_lag: time constant of the actuators in MuJoCo.
        rotor_low: least force of a rotor.
        time_scale: seconds that a unit of time takes with cars.
        out_dir: folder for the figure of the flights.
        video: a .gif or .mp4 of the first flight beside the model; nothing else is flown then.
        problem: module:ClassName of a policy for a problem of your own.
        json: print JSON instead of a table.
    """
    _check_options(rate, out_dir, video, json)
    policy = load_policy(checkpoint, problem)
    mismatch = PlantMismatch(mass_error, drag, wind, motor_lag)
    made = make_plant(policy.problem, plant, mismatch, rotor_low, time_scale)
    z0 = draw_states(policy.problem, states, seed)
    if video is not None:
        frames, _ = side_by_side(policy.problem, policy, {plant: made}, z0[:1], latency=latency, size=made.size)
        print(write_film(frames, video, fps=18, width=960))
        return
    optimum = stored_optima(policy.problem, z0)
    model = evaluate(policy.problem, policy, z0, optimum)
    flown, touched = simulate_all(policy, made, z0, rate, latency)
    result = evaluate(policy.problem, policy, z0, optimum, flown)
    figures = compare(policy.problem, model, result) | ({} if touched is None else {"flights_that_touched": touched})
    if out_dir is not None:
        trajectory_figure(policy.problem, result, out_dir / f"{plant}.png")
    _report(f"{checkpoint} in {plant}: {states} states, seed {seed}", figures, json)


def _check_options(rate: float | None, out_dir: Path | None, video: Path | None, json: bool) -> None:
    """Refuse options that nothing would heed."""
    if video is not None and (rate is not None or json or out_dir is not None):
        raise ValueError("a video is of one flight at the problem's rate; --rate, --json and --out-dir are for figures")


def _report(title: str, figures: dict[str, float], json: bool) -> None:
    if json:
        print(json_.dumps(figures, indent=2))
        return
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:.5g}")
    PlainConsole().print(table)


def make_plant(
    problem: Problem, name: PlantName, mismatch: PlantMismatch, rotor_low: float, time_scale: float
) -> MujocoQuadrotor | CrazyflowDrone | HighwayBicycles | CommonRoadBicycles:
    """The plant called ``name``.

    Raises:
        ValueError: if it is not a plant for this problem.
        ImportError: where its extra is missing, with the line that installs it.
    """
    cars = name in ("highway", "commonroad")
    if cars and (mismatch != PlantMismatch() or rotor_low):
        raise ValueError(f"{name} has no mass_error, drag, wind, motor_lag or rotor_low; those are for mujoco")
    if not cars and time_scale != TIME_SCALE:
        raise ValueError(f"{name} flies in the problem's own time; time_scale is for highway and commonroad")
    if name == "mujoco" and rotor_low:
        raise ValueError("rotor_low is for mujoco-rotors")
    if name == "crazyflow":
        if mismatch != PlantMismatch(mass_error=mismatch.mass_error) or rotor_low:
            raise ValueError("crazyflow has no drag, wind, motor_lag or rotor_low to set; those are for mujoco")
        return CrazyflowDrone(problem, mismatch.mass_error)
    if name == "highway":
        return HighwayBicycles(problem, time_scale)
    if name == "commonroad":
        return CommonRoadBicycles(problem, time_scale)
    return MujocoQuadrotor(
        problem, rotors=name == "mujoco-rotors", rotor_low=rotor_low, mismatch=mismatch, size=(560, 480)
    )


def simulate_all(
    policy: ImplicitPolicy, plant: Plant | BatchedPlant, z0: Tensor, rate: float | None = None, latency: float = 0.0
) -> tuple[Trajectory, float | None]:
    """``simulate`` from every state, with a progress bar; and how many had cars that touched, where the plant says.

    A ``BatchedPlant`` flies all of them at once.
    """
    if isinstance(plant, CrazyflowDrone):
        return simulate(policy.problem, plant, policy, z0, rate=rate, latency=latency), None
    touches: list[bool] = []

    def watch(t: float, flying: Plant) -> None:
        if t >= policy.problem.horizon and isinstance(flying, HighwayBicycles | CommonRoadBicycles):
            touches.append(flying.touched)

    one: Callable[[Tensor], Trajectory] = lambda row: simulate(  # noqa: E731
        policy.problem, plant, policy, row, rate=rate, latency=latency, watch=watch
    )
    paths = [one(row) for row in track(z0.split(1), "flights", transient=True, console=PlainConsole(stderr=True))]
    path = Trajectory(
        paths[0].t,
        torch.cat([p.z for p in paths], 1),
        torch.cat([p.u for p in paths], 1),
        torch.cat([p.running_cost for p in paths]),
        torch.cat([p.terminal_cost for p in paths]),
    )
    return path, float(sum(touches)) if touches else None


def compare(problem: Problem, model: Evaluation, plant: Evaluation) -> dict[str, float]:
    """The figures of the plant beside those of the model, as plain numbers."""
    ratio = relative_gap(plant.cost, model.cost)
    figures = {
        "cost_model": float(model.cost.mean()),
        "cost_plant": float(plant.cost.mean()),
        "cost_ratio_of_means": float(relative_gap(plant.cost.mean(), model.cost.mean())),
        "cost_ratio_largest": float(ratio.abs().max()),
        "terminal_error_model_worst": float(model.terminal_error.max()),
        "terminal_error_mean": float(plant.terminal_error.mean()),
        "terminal_error_worst": float(plant.terminal_error.max()),
        "success_rate": float(plant.success.float().mean()),
    }
    for name, found in (("model", model.summary()), ("plant", plant.summary())):
        figures |= {f"{key}_{name}": found[key] for key in ("gap_mean", "gap_worst") if key in found}
        figures |= {key: found[key] for key in ("reference_states",) if key in found}
    for name, metric in plant.metrics.items():
        figures[f"{name}_path_min"] = float(metric.min())
    return figures
