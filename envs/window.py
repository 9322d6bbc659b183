"""Windows on the screen, one for each renderer: closing one leaves the others open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pygame

_OPEN: list[Window] = []
"""They share one queue of events, and SDL's display until the last is closed."""


def check_pygame() -> None:
    """Import pygame, or say what to do about it.

    Raises:
        ImportError: if pygame is missing, or if only the empty folder of a removed distribution is left of it.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # the greeting would end up in the output of scripts
    try:
        import pygame
    except ImportError as error:
        raise ImportError("rendering needs pygame, which is missing: run `pip install pygame-ce`") from error
    if not hasattr(pygame, "Surface"):
        raise ImportError(
            "pygame is installed but broken: pygame and pygame-ce share one folder, and removing either empties it; "
            "run `pip uninstall -y pygame pygame-ce && pip install pygame-ce`"
        )


def check_display() -> None:
    """Start SDL's display, or say that nothing would be seen.

    Raises:
        OSError: if there is no screen to open a window on, and no driver was asked for by ``SDL_VIDEODRIVER``.
        ImportError: if pygame is missing or broken.
    """
    check_pygame()
    import pygame

    try:
        pygame.display.init()
        unseen = pygame.display.get_driver() in ("offscreen", "dummy") and not os.environ.get("SDL_VIDEODRIVER")
    except pygame.error:
        unseen = True
    if unseen:
        pygame.display.quit()
        raise OSError(
            "there is no display to open a window on; expected a screen, or render_mode='rgb_array' "
            "(pontryagin play .. --video film.gif)"
        )


class Window:
    """A window of its own, which keeps to ``fps``.

    Raises:
        OSError: if there is no display.
        ImportError: if pygame stands where pygame-ce is expected.
    """

    def __init__(self, size: tuple[int, int], fps: float) -> None:
        import pygame

        if not hasattr(pygame, "Window"):
            raise ImportError(
                "a window needs pygame-ce; run `pip uninstall -y pygame pygame-ce && pip install pygame-ce`"
            )
        check_display()
        self.fps, self.closed = fps, False
        """Whether the user closed it."""
        self._window = pygame.Window("pontryagin", size)
        self._clock = pygame.time.Clock()
        _OPEN.append(self)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self._window.size

    def show(self, frame: pygame.Surface) -> None:
        """Draw, wait until it is time for the next frame, and heed the buttons of all windows."""
        import pygame

        self._window.get_surface().blit(frame, (0, 0))
        self._window.flip()
        self._clock.tick(self.fps)
        for event in pygame.event.get():
            for window in _OPEN:
                its_own = event.type == pygame.WINDOWCLOSE and getattr(event, "window", None) is window._window
                window.closed = window.closed or its_own or event.type == pygame.QUIT

    def close(self) -> None:
        """Once."""
        import pygame

        _OPEN.remove(self)
        if pygame.display.get_init():
            self._window.destroy()
        if not _OPEN:
            pygame.display.quit()
