"""The film that compares methods: one scene, or panels."""

import numpy as np
import pytest

from pontryagin import MultiBicycle, Quadrotor
from pontryagin.training.benchmark.film import Flown, compare_frames


@pytest.mark.parametrize(("problem", "panels"), [(Quadrotor(steps=6), 1), (MultiBicycle(steps=6), 2)])
def test_one_body_shares_a_scene_and_many_get_panels(problem, panels):
    z = problem.sample_initial_state(1)[0].numpy()
    path = np.stack([z + 0.02 * k for k in range(7)])
    u = np.zeros((6, problem.control_dim))
    flown = [Flown("A", (200, 0, 0), path, u, 1.0), Flown("B", (0, 0, 200), path[:, ::1] + 0.1, u, 2.0)]
    frames = list(compare_frames(problem, flown, (path - 0.1, u), every=3, hold=2))
    assert len(frames) == 4 and np.array_equal(frames[-1], frames[-2])
    alone = list(compare_frames(problem, flown[:1], None, every=3, hold=2))
    assert frames[0].shape[0] * frames[0].shape[1] == (720 * 960 if panels == 1 else 360 * 960)
    assert not np.array_equal(frames[0].shape, alone[0].shape) or not np.array_equal(frames[-1], alone[-1])
    with pytest.raises(ValueError, match="no paths"):
        next(compare_frames(problem, []))
