"""Drawing in world coordinates: a camera, and the ground, glow, trails and shapes it puts on a pygame surface."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .scene import GREY, Array, Circle, Color, Glow, Line, Scene

if TYPE_CHECKING:
    import pygame

PAPER: Color = (251, 251, 249)
RULE: Color = (222, 226, 232)
WARMTH = np.array([[230, 232, 250], [255, 228, 194], [250, 184, 136]], float)
"""Colours of the glow at strengths 0, ½ and 1; the canvas is multiplied by them."""
CAPTION = 0.14
"""Share of the frame, at the top, that the caption has for itself."""
FAR = 4.0
"""Widths of the frame beyond which nothing is drawn: pygame's coordinates are integers, and its polygons slow."""
OLDEST = 0.22
"""Strength of the oldest part of a trail; the newest has 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """(right, down, depth) = axes (x - origin), pixels = offset + scale · (right, down) / depth (top: / 1)."""

    axes: Array
    origin: Array
    scale: float
    offset: Array
    perspective: bool

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels ``(K, 2)`` and depth ``(K,)`` of points ``(K, d)``; NaN behind the camera."""
        seen = (points - self.origin) @ self.axes.T
        if not self.perspective:
            return self.offset + self.scale * seen, np.ones(len(points))
        depth = np.where(seen[:, 2] > 0.05, seen[:, 2], np.nan)
        return self.offset + self.scale * seen[:, :2] / depth[:, None], depth


@dataclasses.dataclass(frozen=True, eq=False)
class Label:
    """A few characters centred at a pixel of the canvas."""

    text: str
    position: Array
    color: Color = GREY


def fit_camera(view: str, low: Array, high: Array, size: tuple[int, int]) -> Camera:
    """The closest camera that keeps the box [low, high] inside a frame of this size, clear of caption and edges."""
    width, height = size
    inner = np.array([[0.06 * width, (CAPTION + 0.01) * height], [0.94 * width, 0.93 * height]])
    offset, center = inner.mean(0), 0.5 * (low + high)
    if view == "top":
        scale = float(((inner[1] - inner[0]) / np.maximum(high - low, 1e-6)).min())
        return Camera(np.array([[1.0, 0.0], [0.0, -1.0]]), center, scale, offset, False)
    azimuth, elevation = np.radians((-58.0, 17.0))
    toward = -np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    axes = np.stack([right, np.cross(toward, right), toward])
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), -1).reshape(-1, 3)
    seen, scale = (corners - center) @ axes.T, 1.5 * width
    for _ in range(6):
        # offset + scale r / (distance + depth) lies in [inner] for every corner: linear in the distance.
        room = np.where(seen[:, :2] > 0, inner[1] - offset, offset - inner[0])
        distance = float((scale * np.abs(seen[:, :2]) / room - seen[:, 2:]).max())
        pixels = scale * seen[:, :2] / (seen[:, 2:] + distance)
        offset = inner.mean(0) - 0.5 * (pixels.min(0) + pixels.max(0))
    return Camera(axes, center - distance * toward, scale, offset, True)


def ticks(low: float, high: float, count: int = 7) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in [low, high], at most about ``count`` of them."""
    rough = (high - low) / count
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough)
    return [float(round(k * step, 12)) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def draw_ground(canvas: pygame.Surface, camera: Camera, low: Array, high: Array) -> list[Label]:
    """A grid at round coordinates, and its labels: all over the frame from the top, round the box in perspective."""
    import pygame

    labels, segments = [], []
    size = np.array(canvas.get_size())
    if not camera.perspective:
        for k in (0, 1):
            slope = camera.scale * camera.axes[k, k]
            reach = camera.origin[k] + (np.array([0, size[k]]) - camera.offset[k]) / slope
            for value in ticks(reach.min(), reach.max()):
                ends = np.array([[0, CAPTION * size[1]], size])
                ends[:, k] = camera.offset[k] + slope * (value - camera.origin[k])
                if ends[0, 1] < CAPTION * size[1]:
                    continue
                segments.append(ends)
                edge = np.array([0.02, 0.97]) * size
                edge[k] = ends[0, k]
                labels += [Label(f"{value:g}", edge)] if edge[0] > 0.01 * size[0] and edge[1] < 0.98 * size[1] else []
    else:
        (x0, y0, z0), (x1, y1, z1) = low, high
        floor = camera.project(np.array([[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0]]))[0]
        pygame.draw.polygon(canvas, (244, 245, 247), floor)
        # Along each axis a rule bends from the ground up a wall behind, or round the two walls behind.
        bends = [
            ([x0, y0, z0], [x0, y1, z0], [x0, y1, z1]),
            ([x1, y0, z0], [x0, y0, z0], [x0, y0, z1]),
            ([x0, y0, z0], [x0, y1, z0], [x1, y1, z0]),
        ]
        for k, bend in enumerate(bends):
            for value in ticks(low[k], high[k]):
                points = np.array(bend)
                points[:, k] = value
                pixels = camera.project(points)[0]
                segments += [pixels[:2], pixels[1:]]
                away = (pixels[0] - pixels[1]) / np.linalg.norm(pixels[0] - pixels[1])
                labels.append(Label(f"{value:g}", pixels[0] + 0.022 * size[0] * away))
    for ends in segments:
        pygame.draw.line(canvas, RULE, ends[0], ends[1], max(round(size[1] / 720), 1))
    return labels


def draw_glow(canvas: pygame.Surface, camera: Camera, glow: Glow) -> None:
    """Multiply the canvas by halos the colour of the mean strength, Σ s_i k_i / Σ k_i with k_i = exp(-|x - c_i|²/2r²).

    Their density is k (2 - k) with k = (Σ k_i⁸)^⅛, about the largest k_i, so that a crowd reaches no further than one.
    """
    import pygame

    size, coarse = canvas.get_size(), 16
    centers, reach = camera.project(glow.centers)[0] / coarse, camera.scale * glow.radius / coarse
    pixels = [np.arange(length // coarse)[:, None] + 0.5 for length in size]
    across, down = (np.exp(-0.5 * ((pixels[k] - centers[:, k]) / reach) ** 2) for k in (0, 1))
    # k_i is a factor in x times one in y. einsum, not @: threads would cost such small matrices more than they save.
    near = np.einsum("xi,yi->xy", across, down)
    mean = np.einsum("xi,yi,i->xy", across, down, glow.strength.clip(0, 1)) / np.maximum(near, 1e-9)
    largest = (np.einsum("xi,yi->xy", across**8, down**8) ** 0.125).clip(0, 1)[..., None]
    color = np.stack([np.interp(mean, (0, 0.5, 1), channel) for channel in WARMTH.T], -1)
    color = 255 + (color - 255) * largest * (2 - largest)
    small = pygame.Surface(mean.shape, 0, canvas)
    pygame.surfarray.blit_array(small, np.rint(color).astype(np.uint8))
    canvas.blit(pygame.transform.smoothscale(small, size), (0, 0), special_flags=pygame.BLEND_RGB_MULT)


def draw_trails(canvas: pygame.Surface, camera: Camera, history: Array, age: Array, colors: NDArray[np.uint8]) -> None:
    """Where the bodies have been, ``(P, M, d)``, oldest first; ``age (P,)`` in [0, 1] makes them pale."""
    import pygame

    moments, bodies = history.shape[:2]
    if moments < 2 or not bodies:
        return
    points = np.concatenate(history.transpose(1, 0, 2))
    limit = FAR * canvas.get_width()
    pixels = np.nan_to_num(camera.project(points)[0], nan=limit).clip(-limit, limit)
    pen = (3.0 if bodies <= 10 else 1.3) * canvas.get_height() / 720
    offset = half_ribbon(pixels, np.repeat(np.arange(bodies), moments), pen)
    left, right = ((pixels + side * offset).reshape(bodies, moments, 2) for side in (1, -1))
    paper, stride = np.array(PAPER), 2 if bodies <= 10 else 5
    for start in range(0, moments - 1, stride):
        shade = paper + max(1 - age[start], OLDEST) * (colors - paper)
        part = slice(start, start + stride + 1)
        outlines = np.concatenate([left[:, part], right[:, part][:, ::-1]], 1)
        for outline, color in zip(outlines, shade.tolist(), strict=True):
            pygame.draw.polygon(canvas, color, outline)


def half_ribbon(pixels: Array, path: NDArray[np.integer], width: Array | float) -> Array:
    """From each point ``(K, 2)`` to the left edge of a ribbon of this width along its ``path (K,)``, mitred at bends.

    pygame's own thick lines are thinner the more they slant; its polygons cover their border, hence the 0.7.
    """
    step = np.where((path[1:] == path[:-1])[:, None], np.diff(pixels, axis=0), 0.0)
    normal = np.stack([-step[:, 1], step[:, 0]], -1) / np.maximum(np.hypot(*step.T), 1e-9)[:, None]
    bend = np.pad(normal, ((1, 0), (0, 0))) + np.pad(normal, ((0, 1), (0, 0)))
    # Where sides with normals a, b meet, the edge lies width (a + b)/|a + b|² away; capped from right angles on, which
    # also makes it width a/2 at an end, where b = 0.
    return bend * ((np.asarray(width) - 0.7) / np.maximum((bend**2).sum(-1), 2.0))[:, None]


def target_shapes(scene: Scene, ground: float) -> tuple[list[Line], list[Circle]]:
    """A ring with a cross from the top; in perspective a ball, and a line down to a ring on the ground."""
    lines, circles, r = [], [], scene.target_radius
    points, colors = scene.targets.points, [(c[0], c[1], c[2]) for c in scene.targets.colors.tolist()]
    if scene.view == "top":
        for point, color in zip(points, colors, strict=True):
            circles.append(Circle(point, r, color, 0.0, 1.5))
            lines += [Line(point + 0.4 * r * np.array([[-1, -k], [1, k]]), color, 1.5) for k in (1, -1)]
        return lines, circles
    for point, color in zip(points, colors, strict=True):
        foot = np.array([*point[:2], ground])
        lines.append(Line(np.stack([foot, point]), color, 1.4))
        circles += [Circle(foot, r * k, color, 0.15, 1.4, np.eye(3)[:2]) for k in (0.6, 1.2)]
        circles += [Circle(point, r, color, 0.2, 1.8), Circle(point, 0.45 * r, color)]
    return lines, circles


def draw_shapes(canvas: pygame.Surface, camera: Camera, lines: list[Line], circles: list[Circle]) -> None:
    """Lines with round ends, and circles; the far ones first, and in the given order where they are equally far."""
    import pygame

    shapes: list[Line | Circle] = [*lines, *circles]
    if not shapes:
        return
    turn = np.linspace(0, 2 * np.pi, 48 if len(circles) < 50 else 20, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], -1)
    facing = ring @ camera.axes[:2]
    points = [line.points for line in lines]
    points += [c.center + c.radius * (facing if c.axes is None else ring @ c.axes) for c in circles]
    sizes = np.array([len(p) for p in points])
    ends = np.cumsum(sizes)
    starts = ends - sizes
    pixels, depth = camera.project(np.concatenate(points))
    far = np.add.reduceat(depth, starts) / sizes
    shown = (np.abs(pixels) < FAR * canvas.get_width()).all(1)  # False behind the camera, where pixels are NaN
    shown = np.logical_and.reduceat(shown, starts)
    pens = np.array([shape.width for shape in shapes]) * canvas.get_height() / 720
    offset = half_ribbon(pixels, np.repeat(np.arange(len(shapes)), sizes), np.repeat(pens, sizes))
    order = np.argsort(-far, kind="stable")
    for i in order[shown[order]].tolist():
        shape, part = shapes[i], slice(starts[i], ends[i])
        path = pixels[part]  # pygame reads arrays; lists of lists would keep the garbage collector busy
        if isinstance(shape, Line):
            sides = np.concatenate([path + offset[part], (path - offset[part])[::-1]])
            pygame.draw.polygon(canvas, shape.color, sides)
            for point in path:
                pygame.draw.circle(canvas, shape.color, point, pens[i] / 2)
            continue
        if shape.fill >= 1:
            pygame.draw.polygon(canvas, shape.color, path)
        elif shape.fill > 0:
            _wash(canvas, path, (*shape.color, round(255 * shape.fill)))
        if shape.width:
            pygame.draw.lines(canvas, shape.color, True, path, max(round(pens[i]), 1))


def _wash(canvas: pygame.Surface, outline: Array, color: tuple[int, int, int, int]) -> None:
    """A polygon one can see through."""
    import pygame

    (left, top), (right, bottom) = outline.min(0).tolist(), outline.max(0).tolist()
    box = pygame.Rect(left - 1, top - 1, right - left + 3, bottom - top + 3).clip(canvas.get_rect())
    layer = pygame.Surface(box.size, pygame.SRCALPHA)
    pygame.draw.polygon(layer, color, outline - box.topleft)
    canvas.blit(layer, box)
