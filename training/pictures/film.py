"""Episodes on film: GIF or MP4, headless."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...envs.environment import OptimalControlEnv
from ...envs.files import replace_file
from ...envs.problem import Problem

if TYPE_CHECKING:
    from PIL import Image

MOST = 1_000_000
"""Bytes of a GIF: pages that show it should open at once."""
COLORS, SMALLER, NARROWEST = (255, 96, 48), 0.85, 200
"""Palettes of a GIF, the next where it has more; then what it is scaled by, and the width at which it is left so."""
Predict = Callable[[np.ndarray], np.ndarray]


def film(problem: Problem, policy: Any, states: np.ndarray, every: int = 4, hold: int = 12) -> Iterable[np.ndarray]:
    """Frames ``(H, W, 3)`` of one episode from each row of ``states``, every ``every``-th step, the last one held."""
    environment = OptimalControlEnv(problem, render_mode="rgb_array")
    for state in states:
        observation, _ = environment.reset(options={"state": state})
        memory, done, count = None, False, 0
        while not done:
            action, memory = policy.predict(observation, memory)
            observation, _, done, _, _ = environment.step(action)
            frame = environment.render()
            count += 1
            if frame is not None and (done or count % every == 0):
                yield from [frame] * (hold if done else 1)
    environment.close()


def write_film(frames: Iterable[np.ndarray], path: Path, fps: int = 15, width: int | None = None) -> Path:
    """Write frames to ``path``: ``.gif`` (palette of 255 colours at most) or ``.mp4``; ``width`` scales them down.

    A GIF gets fewer colours, then fewer pixels, until it has at most MOST bytes.

    Raises:
        ValueError: on another ending, or without frames.
    """
    from PIL import Image

    if path.suffix not in (".gif", ".mp4"):
        raise ValueError(f"{path} ends in {path.suffix!r}; expected .gif or .mp4")
    pictures = [Image.fromarray(frame) for frame in frames]
    if not pictures:
        raise ValueError("no frames to write")
    shown = pictures if width is None else _scaled(pictures, width)
    for colors in COLORS:
        data = _encoded(shown, path.suffix, fps, colors)
        if path.suffix != ".gif" or len(data) <= MOST:
            break
    while path.suffix == ".gif" and len(data) > MOST and shown[0].width > NARROWEST:
        shown = _scaled(pictures, round(shown[0].width * SMALLER))
        data = _encoded(shown, path.suffix, fps, COLORS[-1])
    replace_file(path, data)
    return path


def _scaled(pictures: Sequence[Image.Image], width: int) -> list[Image.Image]:
    """All as wide as that, and as high as is even."""
    from PIL import Image

    height = round(pictures[0].height * width / pictures[0].width / 2) * 2
    return [p.resize((width, height), Image.Resampling.LANCZOS) for p in pictures]


def _encoded(pictures: list[Image.Image], suffix: str, fps: int, colors: int) -> bytes:
    """The film as a file has it."""
    import imageio
    from PIL import Image

    if suffix == ".mp4":
        with tempfile.TemporaryDirectory() as scratch:  # ffmpeg writes files alone
            imageio.mimwrite(f"{scratch}/film.mp4", [np.asarray(p) for p in pictures], fps=fps, macro_block_size=1)
            return Path(scratch, "film.mp4").read_bytes()
    palette = Image.fromarray(_palette_pixels(pictures)).quantize(colors, dither=Image.Dither.NONE)
    flat = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    drawn = io.BytesIO()
    duration = round(1000 / fps)
    flat[0].save(drawn, "GIF", save_all=True, append_images=flat[1:], duration=duration, loop=0, optimize=True)
    return drawn.getvalue()


def _palette_pixels(pictures: Sequence[Image.Image], samples: int = 12) -> np.ndarray:
    """``(1, P, 3)`` pixels to choose a palette from: the colours of a dozen frames, each by the root of its area.

    One frame lacks the colours of the others; and by area, nothing would be left for the small things one looks at.
    """
    seen = np.stack([np.asarray(p, np.uint32) for p in pictures[:: max(1, len(pictures) // samples)]])
    packed, counts = np.unique(seen @ np.array([65536, 256, 1], np.uint32), return_counts=True)
    colors = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1).astype(np.uint8)
    return np.repeat(colors, np.ceil(np.sqrt(counts)).astype(int), axis=0)[None]
