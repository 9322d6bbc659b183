"""Paths in the plane, coloured by time, and what goes with them: for every problem whose scene is seen from the top."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import matplotlib
import matplotlib.axes
import matplotlib.cm
import matplotlib.collections
import matplotlib.colors
import numpy as np
from numpy.typing import NDArray

from ...envs.integrate import Trajectory
from ...envs.names import shown_controls
from ...envs.problem import Problem
from ...envs.scene import Scene

Array: TypeAlias = NDArray[np.floating]

INK, SOFT, ACCENT = "#1f2937", "#9ca3af", "#2563eb"
TIME = matplotlib.colors.LinearSegmentedColormap.from_list("time", matplotlib.colormaps["plasma"](np.linspace(0, 0.88)))
"""Colours of time; without the yellow end, which nobody sees on white."""
FEW = 10
"""Up to so many agents each get a line of their own; more are drawn as bands."""


@dataclasses.dataclass(frozen=True, eq=False)
class PlanePaths:
    """Where M bodies were, from B initial states, and where they should have gone.

    Attributes:
        t: ``(K + 1,)`` times.
        points: ``(K + 1, B, M, 2)`` positions.
        targets: ``(K + 1, B, P, 2)``; P = M, or 1 that all share, or any other number.
        colors: ``(M, 3)`` of the bodies, in [0, 1].
        target_colors: ``(P, 3)``.
    """

    t: Array
    points: Array
    targets: Array
    colors: Array
    target_colors: Array

    @property
    def distance(self) -> Array | None:
        """``(K + 1, B, M)`` from each body to its target; ``None`` where it is not clear which that is."""
        if self.targets.shape[2] not in (1, self.points.shape[2]):
            return None
        return np.linalg.norm(self.points - self.targets, axis=-1)

    def nearest(self, state: int) -> Array:
        """``(K + 1,)`` least distance between two bodies."""
        x = self.points[:, state]
        i, j = np.triu_indices(x.shape[1], 1)
        return np.linalg.norm(x[:, i] - x[:, j], axis=-1).min(-1)


def plane_paths(problem: Problem, trajectory: Trajectory, shown: int) -> PlanePaths | None:
    """The paths from the first ``shown`` states as ``problem.scene`` tells them; ``None`` if it is no top view."""
    t, z, u = (x.detach().cpu().numpy() for x in (trajectory.t, trajectory.z[:, :shown], trajectory.u[:, :shown]))

    def look(k: int, b: int) -> Scene | None:
        return problem.scene(float(t[k]), z[k, b], u[min(k, len(u) - 1), b])

    first = look(0, 0)
    if first is None or first.view != "top" or not len(first.bodies.points):
        return None
    scenes = [[look(k, b) for b in range(z.shape[1])] for k in range(len(t))]
    return PlanePaths(
        t=t,
        points=np.array([[s.bodies.points for s in row if s is not None] for row in scenes], float),
        targets=np.array([[s.targets.points.reshape(-1, 2) for s in row if s is not None] for row in scenes], float),
        colors=first.bodies.colors / 255,
        target_colors=first.targets.colors / 255,
    )


def draw_paths(axis: matplotlib.axes.Axes, paths: PlanePaths, state: int = 0) -> matplotlib.cm.ScalarMappable:
    """The paths from one initial state, from rings to dots; crosses are targets. Returns the colours of time."""
    points, few = paths.points[:, state], paths.points.shape[2] <= FEW
    time = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(paths.t[0], paths.t[-1]), TIME)
    width, alpha, cap = (2.2, 1.0, "round") if few else (0.9, 0.65, "butt")  # round ends of thin lines look like beads
    for path in points.transpose(1, 0, 2):
        segments = np.stack([path[:-1], path[1:]], 1)
        line = matplotlib.collections.LineCollection(
            list(segments), cmap=TIME, norm=time.norm, lw=width, alpha=alpha, capstyle=cap
        )
        line.set_array(0.5 * (paths.t[:-1] + paths.t[1:]))
        axis.add_collection(line)
    size = 42 if few else 10
    (x, y), (x_end, y_end), (x_goal, y_goal) = points[0].T, points[-1].T, paths.targets[-1, state].T
    axis.scatter(x, y, s=size, facecolors="white", edgecolors=INK, lw=1.4 if few else 0.9, zorder=3, label="start")
    axis.scatter(x_end, y_end, s=size, c=paths.colors, edgecolors="white", lw=0.6, zorder=4, label="end")
    colors = paths.target_colors
    axis.scatter(x_goal, y_goal, s=3 * size + 20, c=colors, marker="x", lw=1.6, zorder=5, label="target")
    axis.set(xlabel="x", ylabel="y", aspect="equal")
    axis.autoscale_view()
    axis.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return time


def control_kinds(problem: Problem, paths: PlanePaths) -> int:
    """How many controls each body has; all of them where they do not come in one block per body."""
    block = problem.control_block
    return block if block * paths.points.shape[2] == problem.control_dim else problem.control_dim


def draw_control(
    axis: matplotlib.axes.Axes, problem: Problem, paths: PlanePaths, trajectory: Trajectory, kind: int, state: int = 0
) -> None:
    """Control number ``kind`` of every agent, held over its step, between its bounds."""
    kinds, count = control_kinds(problem, paths), paths.points.shape[1]
    u = trajectory.u[:, :count].detach().cpu()
    low, high = (bound[kind::kinds].numpy() for bound in problem.control_bounds(u))
    values = u[..., kind::kinds].numpy()
    _spread(axis, paths, np.concatenate([values, values[-1:]]), state, step=True)
    for bound in (low.min(), high.max()):
        axis.axhline(bound, color=INK, ls="--", lw=1)
    given = problem.control_names
    name = given[kind] if len(given) == kinds else " ".join(shown_controls(problem)[kind::kinds][:2])
    many = f"of {values.shape[2]} agents, " if values.shape[2] > 1 else ""
    axis.set(xlabel="time", title=f"{name}\n{many}bounds dashed")


def draw_distances(axis: matplotlib.axes.Axes, paths: PlanePaths, state: int = 0) -> None:
    """Distance of every agent to its target, and between the two agents that are nearest to each other."""
    distance = paths.distance
    if distance is not None:
        _spread(axis, paths, distance, state)
    if paths.points.shape[2] > 1:
        axis.plot(paths.t, paths.nearest(state), color=INK, ls="--", lw=1.4, label="nearest two agents")
    axis.set(xlabel="time", title="distance to the target", yscale="log")
    if not axis.has_data():
        return
    # Agents may meet: what is below a thousandth of the picture is nothing, and must not stretch the axis.
    top = max(float(axis.dataLim.y1), 1e-9)
    axis.set_ylim(max(float(axis.dataLim.y0) / 1.5, 1e-3 * top), 1.5 * top)
    if paths.points.shape[2] > 1:
        axis.legend(framealpha=0.85, edgecolor="none", fontsize=8)


def _spread(axis: matplotlib.axes.Axes, paths: PlanePaths, values: Array, state: int, step: bool = False) -> None:
    """Values ``(K + 1, B, N)``: a line for each of few agents from one state; of many, median and quantiles of all."""
    count = values.shape[2]
    if count <= FEW:
        colors = paths.colors if count == len(paths.colors) else [ACCENT] * count
        for agent, color in enumerate(colors):
            axis.plot(paths.t, values[:, state, agent], color=color, lw=1.6, drawstyle="steps-post" if step else None)
        return
    flat = values.reshape(len(values), -1)
    for share, alpha, label in ((0.0, 0.13, "all"), (0.05, 0.3, "90 %")):
        low, high = np.quantile(flat, [share, 1 - share], axis=1)
        axis.fill_between(
            paths.t, low, high, step="post" if step else None, color=ACCENT, alpha=alpha, lw=0, label=label
        )
    style = "steps-post" if step else None
    axis.plot(paths.t, np.median(flat, 1), color=ACCENT, lw=1.6, drawstyle=style, label="median")
