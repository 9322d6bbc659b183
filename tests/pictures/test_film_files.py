"""Films are as small as a page wants them."""

import sys

import numpy as np
import pytest
from PIL import Image

from pontryagin.training.pictures import write_film


@pytest.mark.parametrize("most", [60_000, 20_000])
def test_a_gif_that_is_too_large_gets_fewer_colours_then_fewer_pixels(tmp_path, monkeypatch, most):
    numbers = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 320, dtype=np.uint8)[None, :, None] + np.zeros((240, 320, 3), np.uint8)
    frames = [smooth + numbers.integers(0, 12, smooth.shape, np.uint8) for _ in range(3)]
    path = write_film(frames, tmp_path / "a.gif")
    before = path.stat().st_size
    monkeypatch.setattr(sys.modules["pontryagin.training.pictures.film"], "MOST", most)
    write_film(frames, path)
    picture = Image.open(path)
    assert path.stat().st_size < before and picture.n_frames == 3
    assert path.stat().st_size <= most or picture.width <= 200


def test_no_frames_and_other_endings(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        write_film([], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="expected .gif or .mp4"):
        write_film([np.zeros((4, 4, 3), np.uint8)], tmp_path / "a.avi")
