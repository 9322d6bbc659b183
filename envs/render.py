"""Scenes into pixels, in a window or as an ``rgb_array``: trails, caption, and a chart where there is no scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .drawing import (
    PAPER,
    RULE,
    Label,
    draw_glow,
    draw_ground,
    draw_shapes,
    draw_trails,
    fit_camera,
    half_ribbon,
    target_shapes,
    ticks,
)
from .scene import BLUE, GREY, INK, Array, Color, Scene, hue_circle
from .window import Window, check_pygame

if TYPE_CHECKING:
    import pygame

OVERSAMPLING, CROWD = (3, 2), 100
"""Shapes are drawn so many times larger and averaged down, for smooth edges: fewer times from ``CROWD`` lines on."""
TRAIL_MOMENTS = 400
"""A trail keeps the last so many positions."""
TRAIL_FADE = 0.6
"""Share of the horizon over which a trail fades."""


class Renderer:
    """Draws one moment at a time and remembers the episode: where the bodies were, the states, what was in view.

    The same calls give the same pixels. Positions far out of the frame are left out, not followed.

    Args:
        render_mode: ``human`` shows a window and keeps to ``fps``; ``rgb_array`` opens no display.
        size: width and height of the frame in pixels.
        fps: frames per second of the window.

    Raises:
        ImportError: if pygame is missing or broken, with the command that mends it.
        ValueError: for another render mode.
    """

    def __init__(self, render_mode: str, size: tuple[int, int] = (960, 720), fps: float = 30) -> None:
        if render_mode not in ("human", "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}; expected 'human' or 'rgb_array'")
        check_pygame()
        self.render_mode, self.size, self.fps = render_mode, size, fps
        self.window_closed = False
        """Whether the user closed the window: ``draw`` does nothing from then on."""
        self._window: Window | None = None
        self._words: dict[tuple[str, int, Color], pygame.Surface] = {}
        self.clear()

    def clear(self) -> None:
        """Begin a new episode: forget the trails, the chart and what was in view."""
        self._times: list[float] = []
        self._states: list[Array] = []
        self._bodies: list[Array] = []
        self._box: Array | None = None
        self._room: Array | None = None

    def close(self) -> None:
        """Close the window, if there is one. Closing twice is fine."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def draw(
        self,
        scene: Scene | None,
        *,
        time: float,
        horizon: float,
        cost: float | None,
        title: str,
        state: Array,
        names: Sequence[str] = (),
    ) -> NDArray[np.uint8] | None:
        """Draw a moment. Drawing the same time again replaces it.

        Args:
            scene: what to draw; ``None`` draws the components of the state over time.
            time: t.
            horizon: T, in the same unit.
            cost: cost so far; ``None`` leaves the word out.
            title: what is seen, in a few words.
            state: ``(n,)``, for the chart.
            names: of the states, for its legend; numbers unless given.

        Returns:
            The frame, ``(height, width, 3)``, or ``None`` in human mode.
        """
        if self.window_closed:
            return None
        import pygame

        self._remember(scene, time, state)
        scale = OVERSAMPLING[scene is not None and len(scene.lines) >= CROWD]
        canvas = pygame.Surface((scale * self.size[0], scale * self.size[1]), 0, 32)
        canvas.fill(PAPER)
        labels = self._draw_chart(canvas, horizon, names) if scene is None else self._draw_scene(canvas, scene, horizon)
        frame = pygame.transform.smoothscale(canvas, self.size)
        for label in labels:
            word = self._word(label.text, 0.028, label.color)
            frame.blit(word, word.get_rect(center=(label.position / scale).tolist()))
        self.caption(frame, time, horizon, cost, title)
        if self.render_mode == "human":
            self._show(frame)
            return None
        pixels = np.frombuffer(bytearray(pygame.image.tobytes(frame, "RGB")), np.uint8)
        return pixels.reshape(self.size[1], self.size[0], 3)

    def _remember(self, scene: Scene | None, time: float, state: Array) -> None:
        if self._times and time == self._times[-1]:
            for history in (self._times, self._states, self._bodies):
                del history[-1:]
        self._times.append(time)
        self._states.append(np.array(state, float))
        if scene is None:
            return
        self._bodies.append(np.array(scene.bodies.points, float))
        box = np.array([scene.low, scene.high], float)
        if self._box is None or self._room is None:
            self._box = box
            # What runs away is followed this far and no further: the rest would shrink to a dot.
            self._room = box + np.array([[-1.0], [1.0]]) * (box[1] - box[0])
        low = np.minimum(self._box[0], box[0]).clip(self._room[0])
        high = np.maximum(self._box[1], box[1]).clip(None, self._room[1])
        self._box = np.stack([low, high])

    def _draw_scene(self, canvas: pygame.Surface, scene: Scene, horizon: float) -> list[Label]:
        assert self._box is not None
        low, high = self._box
        camera = fit_camera(scene.view, low, high, canvas.get_size())
        labels = draw_ground(canvas, camera, low, high)
        bodies = np.array(self._bodies[-TRAIL_MOMENTS:])
        times = np.array(self._times[-len(bodies) :])
        draw_trails(canvas, camera, bodies, (times[-1] - times) / (TRAIL_FADE * horizon), scene.bodies.colors)
        if scene.glow is not None and scene.view == "top":
            draw_glow(canvas, camera, scene.glow)
        lines, circles = target_shapes(scene, float(low[-1]))
        draw_shapes(canvas, camera, [*lines, *scene.lines], [*circles, *scene.circles])
        return labels

    def _draw_chart(self, canvas: pygame.Surface, horizon: float, names: Sequence[str]) -> list[Label]:
        """The components of the state over time; the range of values grows with them."""
        import pygame

        times, states = np.array(self._times), np.array(self._states)
        start = np.array([0.0, min(states.min(), 0.0)])
        end = np.array([max(horizon, times[-1]), max(states.max(), start[1] + 1e-3)])
        size = np.array(canvas.get_size())
        hair, pen = max(round(size[1] / 720), 1), 2.6 * size[1] / 720

        def place(t: Array | float, value: Array | float) -> Array:
            where = (np.stack(np.broadcast_arrays(t, value), -1) - start) / (end - start)
            return size * (np.array([0.08, 0.9]) + np.array([0.87, -0.68]) * where)

        labels: list[Label] = []
        for value in ticks(start[1], end[1]):
            ends = place(np.array([start[0], end[0]]), value)
            pygame.draw.line(canvas, GREY if value == 0 else RULE, ends[0], ends[1], hair)
            labels.append(Label(f"{value:g}", ends[0] - size * (0.028, 0)))
        for t in ticks(start[0], end[0]):
            ends = place(t, np.array([start[1], end[1]]))
            pygame.draw.line(canvas, RULE, ends[0], ends[1], hair)
            labels.append(Label(f"{t:g}", ends[0] + size * (0, 0.025)))
        colors: list[Color] = [(r, g, b) for r, g, b in hue_circle(states.shape[1]).tolist()]
        for i, color in enumerate(colors):
            path = place(times, states[:, i])
            pieces = np.stack([np.vstack([path[:1], path[:-1]]), path], 1)
            offset = half_ribbon(pieces.reshape(-1, 2), np.arange(pieces.size // 2) // 2, pen).reshape(pieces.shape)
            for piece in np.concatenate([pieces + offset, (pieces - offset)[:, ::-1]], 1):
                pygame.draw.polygon(canvas, color, piece)
            for joint in path:
                pygame.draw.circle(canvas, color, joint, pen / 2)
            pygame.draw.circle(canvas, color, path[-1], 1.6 * pen)
        return labels + legend(names or [f"z{i + 1}" for i in range(len(colors))], colors, size)

    def caption(self, frame: pygame.Surface, time: float, horizon: float, cost: float | None, title: str) -> None:
        """Words, and along the lower edge a bar for the time gone by."""
        import pygame

        width, height = frame.get_size()
        left = round(0.04 * width)
        frame.blit(self._word(title, 0.056, INK), (left, round(0.035 * height)))
        second = round(0.097 * height)
        frame.blit(self._word(f"t = {time:.2f} / {horizon:.2f}", 0.036, GREY), (left, second))
        if cost is not None:
            frame.blit(self._word(f"cost = {cost:.4g}", 0.036, GREY), (left + round(0.16 * width), second))
        bar = max(round(0.007 * height), 2)
        done = round(width * min(max(time / horizon, 0.0), 1.0))
        pygame.draw.rect(frame, RULE, (0, height - bar, width, bar))
        pygame.draw.rect(frame, BLUE, (0, height - bar, done, bar))

    def _word(self, text: str, height: float, color: Color) -> pygame.Surface:
        """The text as an image; ``height`` is a share of the frame's."""
        import pygame

        key = (text, round(height * self.size[1]), color)
        if key not in self._words:
            pygame.font.init()
            if len(self._words) > 500:
                self._words.clear()
            self._words[key] = pygame.font.Font(None, key[1]).render(text, True, color)
        return self._words[key]

    def _show(self, frame: pygame.Surface) -> None:
        if self._window is None:
            self._window = Window(self.size, self.fps)
        self._window.show(frame)
        if self._window.closed:
            self.window_closed = True
            self.close()


def legend(names: Sequence[str], colors: Sequence[Color], size: Array) -> list[Label]:
    """The first twelve names in a row that ends at the right edge, each as wide as its letters ask for."""
    widths = [0.022 + 0.009 * len(name) for name in names[:12]]
    right = 0.97 - np.cumsum([0.0, *widths[::-1]])
    middles = (0.5 * (right[:-1] + right[1:]))[::-1]
    return [Label(n, size * (x, 0.17), c) for n, x, c in zip(names, middles, colors, strict=False)]
