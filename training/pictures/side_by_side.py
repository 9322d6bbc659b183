"""The model and somebody else's simulator on one film: the same controller from the same initial state."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...controllers.plants import Plant, simulate
from ...envs.integrate import Controller, Trajectory, rollout
from ...envs.problem import Problem
from ...envs.render import Renderer

Frame = NDArray[np.uint8]


def side_by_side(
    problem: Problem,
    controller: Controller,
    plants: dict[str, Plant],
    z0: Tensor,
    *,
    every: int = 2,
    size: tuple[int, int] = (560, 480),
    hold: int = 15,
    latency: float = 0.0,
) -> tuple[list[Frame], dict[str, Trajectory]]:
    """Frames of one flight, the analytic model on the left and each plant to the right of it, and the paths.

    Args:
        problem: the model.
        controller: flies all of them.
        plants: by the title that each gets; their frames are ``size`` large.
        z0: one initial state, ``(1, n)``.
        every: control steps between two frames.
        size: of each picture, width and height.
        hold: how often the last frame is repeated.
        latency: of ``simulate``.

    Raises:
        ValueError: if there is more than one initial state, or a picture of another size.
    """
    if z0.shape[0] != 1:
        raise ValueError(f"z0 has {len(z0)} states; expected one, (1, {problem.state_dim})")
    with torch.no_grad():
        path = rollout(problem, controller, z0)
    steps = {*range(0, problem.steps, every), problem.steps}
    moments = {round(k * problem.time_step, 6) for k in steps}
    columns = [list(path_frames(problem, path, every, size))]
    paths = {"model": path}
    for title, plant in plants.items():
        frames: list[Frame] = []
        paths[title] = simulate(
            problem, plant, controller, z0, latency=latency, watch=_camera(frames, moments, title, problem, size)
        )
        columns.append(frames)
    rows = [np.concatenate(row, axis=1) for row in zip(*columns, strict=True)]
    return rows + [rows[-1]] * hold, paths


def path_frames(
    problem: Problem, path: Trajectory, every: int, size: tuple[int, int] = (960, 720), title: str = "analytic model"
) -> Iterator[Frame]:
    """The first flight of ``path``, as it was: every ``every``-th state, and the last."""
    renderer = Renderer("rgb_array", size)
    last = len(path.u)
    for k in range(last + 1):
        z, u = path.z[k, 0].double().cpu().numpy(), path.u[min(k, last - 1), 0].double().cpu().numpy()
        frame = renderer.draw(
            problem.scene(float(path.t[k]), z, u),
            time=float(path.t[k]), horizon=problem.horizon, cost=None, title=title, state=z,
            names=problem.state_names,
        )  # fmt: skip
        if frame is not None and (k % every == 0 or k == last):
            yield frame
    renderer.close()


def _camera(
    frames: list[Frame], moments: set[float], title: str, problem: Problem, size: tuple[int, int]
) -> Callable[[float, Plant], None]:
    """A ``watch`` that keeps the frames at ``moments``, captioned."""
    renderer = Renderer("rgb_array", size)

    def keep(t: float, plant: Plant) -> None:
        if round(t, 6) in moments:
            frames.append(captioned(renderer, plant.frame(), t, problem.horizon, title))

    return keep


def captioned(renderer: Renderer, pixels: Frame, time: float, horizon: float, title: str) -> Frame:
    """A frame that somebody else drew, with the caption that our own have.

    Raises:
        ValueError: if it is not of the renderer's size.
    """
    import pygame

    width, height = renderer.size
    if pixels.shape != (height, width, 3):
        raise ValueError(f"the frame has shape {pixels.shape}; expected {(height, width, 3)}")
    surface = pygame.image.frombuffer(pixels.tobytes(), renderer.size, "RGB")
    renderer.caption(surface, time, horizon, None, title)
    flat = np.frombuffer(bytearray(pygame.image.tobytes(surface, "RGB")), np.uint8)
    return flat.reshape(height, width, 3)
