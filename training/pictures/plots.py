"""Figures for people who look before they read; matplotlib, headless."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from PIL import Image

from ...envs.files import replace_file
from ...envs.names import shown_controls, shown_states
from ...envs.problem import Problem
from ..checkpoint import History
from ..evaluate import Evaluation
from .paths import ACCENT, INK, SOFT, PlanePaths, control_kinds, draw_control, draw_distances, draw_paths, plane_paths

HEAVY = 150_000
"""Bytes of a PNG above which it is written in few colours."""


def trajectory_figure(problem: Problem, result: Evaluation, path: Path, shown: int = 16) -> Path:
    """``draw_trajectories`` of the first ``shown`` initial states, to ``path``."""
    return save_figure(draw_trajectories(problem, result, shown), path)


def draw_trajectories(problem: Problem, result: Evaluation, shown: int = 16) -> matplotlib.figure.Figure:
    """What happened from the first ``shown`` initial states.

    Where the scene of the problem is seen from the top: the path of every agent from the first state, coloured by time,
    and the controls, the distances to the targets and the argmax residual over time. Otherwise the first two states,
    the controls, all states, and the residual.
    """
    paths = plane_paths(problem, result.trajectory, shown)
    figure = _state_figure(problem, result, shown) if paths is None else _path_figure(problem, result, paths)
    cost = f"J = {float(result.cost.mean()):.3f} ± {float(result.cost.std(correction=0)):.3f}"
    states = "1 initial state" if len(result.cost) == 1 else f"{len(result.cost)} initial states"
    figure.suptitle(f"{type(problem).__name__}: {states}, {cost}", color=INK, fontsize=14)
    return figure


def history_figure(history: History, path: Path, optimum: float | None = None) -> Path:
    """Validation cost over wall time, logarithmic, with the optimum as a line where it is known."""
    figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    minutes = np.array(history.column("seconds")) / 60
    axis.semilogy(minutes, history.column("cost"), color=SOFT, lw=1, label="training batch")
    axis.semilogy(minutes, history.column("validation_cost"), color=ACCENT, lw=2, label="validation")
    if optimum is not None:
        axis.axhline(optimum, color=INK, ls="--", lw=1, label=f"open-loop optimum {optimum:.2f}")
    axis.set(xlabel="wall time (minutes)", ylabel="cost J", title="Training through the implicit argmax")
    axis.legend(frameon=False)
    tidy(figure)
    return save_figure(figure, path)


def curves_figure(
    curves: dict[str, tuple[Sequence[float], Sequence[float], str]], path: Path, across: str, up: str, log: bool = False
) -> Path:
    """Lines over a logarithmic axis: by label, x, y and matplotlib's format; ``log`` makes x logarithmic, too."""
    figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for label, (x, y, form) in curves.items():
        axis.plot(x, y, form, ms=4, label=label)
    axis.set(xscale="log" if log else "linear", yscale="log", xlabel=across, ylabel=up)
    if log:
        ticks = next(iter(curves.values()))[0]
        axis.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axis.legend(frameon=False)
    tidy(figure)
    return save_figure(figure, path)


def _path_figure(problem: Problem, result: Evaluation, paths: PlanePaths) -> matplotlib.figure.Figure:
    kinds = min(control_kinds(problem, paths), 4)
    rows = (kinds + 3) // 2
    figure = matplotlib.figure.Figure(figsize=(16, 7.6), layout="constrained")
    halves = figure.add_gridspec(1, 2, width_ratios=(7.6, 8.4))
    plane, side = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    axis = plane.subplots()
    time = draw_paths(axis, paths)
    axis.set_title("paths from one initial state", loc="left", pad=24)  # the legend is below, also of narrow planes
    axes = side.subplots(rows, 2, squeeze=False).ravel()
    for kind in range(kinds):
        draw_control(axes[kind], problem, paths, result.trajectory, kind)
    draw_distances(axes[kinds], paths)
    _residuals(axes[kinds + 1], paths.t, result)
    for unused in axes[kinds + 2 :]:
        unused.remove()
    tidy(figure)
    plane.colorbar(time, ax=axis, label="time", shrink=0.6, aspect=35)
    return figure


def _state_figure(problem: Problem, result: Evaluation, shown: int) -> matplotlib.figure.Figure:
    t = result.trajectory.t.cpu().numpy()
    z, u = (x[:, :shown].cpu().numpy() for x in (result.trajectory.z, result.trajectory.u))
    figure = matplotlib.figure.Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    _plane(problem, axes[0, 0], z)
    _controls(problem, axes[0, 1], t, u)
    _states(problem, axes[1, 0], t, z)
    _residuals(axes[1, 1], t, result)
    tidy(figure)
    return figure


def _plane(problem: Problem, axis: matplotlib.axes.Axes, z: np.ndarray) -> None:
    """The paths in the first two states, from a dot to a cross."""
    columns = (0, min(1, z.shape[2] - 1))
    for i in range(z.shape[1]):
        axis.plot(z[:, i, columns[0]], z[:, i, columns[1]], lw=1.2, alpha=0.8)
    axis.plot(z[0, :, columns[0]], z[0, :, columns[1]], "o", color=INK, ms=3, label="start")
    axis.plot(z[-1, :, columns[0]], z[-1, :, columns[1]], "x", color="crimson", ms=7, label="end")
    names = shown_states(problem)
    axis.set(xlabel=names[columns[0]], ylabel=names[columns[1]], title="paths")
    axis.legend(frameon=False)


def _controls(problem: Problem, axis: matplotlib.axes.Axes, t: np.ndarray, u: np.ndarray) -> None:
    """Mean control over the states and its range; bounds dotted where they are near."""
    edges = [bound.numpy() for bound in problem.control_bounds(torch.zeros(()))]
    margin = 0.1 * float(np.ptp(u))
    for edge in np.unique(np.concatenate(edges)):
        if u.min() - margin <= edge <= u.max() + margin:
            axis.axhline(edge, color=INK, ls=":", lw=1)
    for j, name in enumerate(shown_controls(problem)[:8]):
        line = axis.step(t[:-1], u[:, :, j].mean(1), where="post", label=name)[0]
        low, high = u[:, :, j].min(1), u[:, :, j].max(1)
        axis.fill_between(t[:-1], low, high, step="post", color=line.get_color(), alpha=0.15, lw=0)
    axis.set(xlabel="time", title="controls: mean and range")
    axis.legend(frameon=False, ncols=2)


def _states(problem: Problem, axis: matplotlib.axes.Axes, t: np.ndarray, z: np.ndarray) -> None:
    for j, name in enumerate(shown_states(problem)[:12]):
        axis.plot(t, z[:, :, j].mean(1), lw=1.5, label=name)
    axis.set(xlabel="time", title="states: mean")
    axis.legend(frameon=False, ncols=3, fontsize=8)


def _residuals(axis: matplotlib.axes.Axes, t: np.ndarray, result: Evaluation) -> None:
    if result.residual is None:
        cost = result.cost.numpy().astype(float)
        apart = np.ptp(cost) > 1e-6 * (1 + np.abs(cost).max())  # of equal costs there is one bin
        axis.hist(cost, bins=24 if apart else 1, color=ACCENT)
        axis.set(xlabel="cost J", title="cost over the initial states")
        return
    residual = np.maximum(result.residual.numpy(), 1e-9)
    axis.semilogy(t[:-1], residual.max(1), color=ACCENT, lw=1.5, label="largest")
    axis.semilogy(t[:-1], np.median(residual, 1), color=SOFT, lw=1.5, label="median")
    axis.set(xlabel="time", title="argmax residual: relative slope of H in u")
    axis.legend(frameon=False)


def tidy(figure: matplotlib.figure.Figure) -> None:
    """Fewer lines; before there is a colour bar, which needs its own."""
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)


def save_figure(figure: matplotlib.figure.Figure, path: Path, dpi: int = 130) -> Path:
    """Write a figure in the format that the name says: whole, or not at all; a heavy PNG in 256 colours."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi, format=path.suffix.removeprefix("."))
    heavy = path.suffix == ".png" and len(drawn.getvalue()) > HEAVY
    replace_file(path, in_few_colours(drawn.getvalue()) if heavy else drawn.getvalue())
    return path


def in_few_colours(png: bytes) -> bytes:
    """The same picture in 256 colours: a third of the bytes."""
    few = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(few, "PNG", optimize=True)
    return few.getvalue()


def plain_ticks(axis: matplotlib.axis.Axis, steps: tuple[int, ...] = (1, 2, 5)) -> None:
    """Numbers instead of powers of ten, on a logarithmic axis."""
    axis.set_major_locator(matplotlib.ticker.LogLocator(10, subs=steps))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
