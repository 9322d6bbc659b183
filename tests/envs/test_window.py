"""The window, and what is said where pygame or a display is missing."""

import sys
import types

import numpy as np
import pytest
from test_render import SIZE, bicycles, draw, quadrotor_at

from pontryagin.envs import render
from pontryagin.envs.scene import hue_circle

pygame = pytest.importorskip("pygame")


def test_rgb_array_opens_no_display():
    pygame.display.quit()
    renderer = render.Renderer("rgb_array", SIZE)
    draw(renderer, quadrotor_at(0, 0, 0))
    assert not pygame.display.get_init()
    renderer.close()
    renderer.close()
    assert draw(renderer, None, time=1.0).shape == (240, 320, 3)


def test_a_window_opens_and_its_close_button_works(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    renderer = render.Renderer("human", SIZE, fps=1000)
    assert draw(renderer, bicycles()) is None
    assert renderer._window.size == SIZE
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    draw(renderer, bicycles(), time=0.1)
    assert renderer.window_closed and not pygame.display.get_init()
    assert draw(renderer, bicycles(), time=0.2) is None and not pygame.display.get_init()
    renderer.close()
    renderer.close()


def test_closing_a_window_twice_is_fine_and_it_can_open_again(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    renderer = render.Renderer("human", SIZE, fps=1000)
    for _ in range(2):
        draw(renderer, None)
        assert pygame.display.get_init()
        renderer.close()
        renderer.close()
        assert not pygame.display.get_init()


def test_a_broken_or_missing_pygame_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", types.ModuleType("pygame"))
    with pytest.raises(ImportError, match="pip uninstall -y pygame pygame-ce && pip install pygame-ce"):
        render.Renderer("rgb_array")
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ImportError, match="pip install pygame-ce"):
        render.Renderer("rgb_array")


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="'ansi'"):
        render.Renderer("ansi")


def test_colours_are_told_apart():
    colors = hue_circle(5).astype(int)
    gaps = np.abs(colors[:, None] - colors).sum(-1)[np.triu_indices(5, 1)]
    assert colors.shape == (5, 3) and gaps.min() > 60
