"""Each problem of the gallery is drawn, under the names of its states and controls."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pontryagin import OptimalControlEnv, evaluate, make_problem
from pontryagin.envs import gallery
from pontryagin.envs.catalog import PROBLEMS
from pontryagin.envs.registration import ENVIRONMENTS
from pontryagin.training.pictures.plots import draw_trajectories

NAMES = [name for name, (kind, _) in PROBLEMS.items() if kind.__name__ in gallery.__all__]
CHARTS = {"van_der_pol", "epidemic", "reactor", "harvest", "min_fuel"}
"""Those without a picture: their states over time."""


def test_files_are_short():
    files = [path for path in Path(gallery.__file__).parent.glob("*.py") if path.stem != "scenes"]
    assert len(files) == 14 and max(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= 80


def test_all_twelve_have_a_name_and_an_id():
    assert len(NAMES) == len(gallery.__all__) == 12
    for name in NAMES:
        kind = PROBLEMS[name][0].__name__
        assert ENVIRONMENTS[f"pontryagin/{kind}-v0"] == name


@pytest.mark.parametrize("name", NAMES)
def test_scene_and_figure(name):
    pytest.importorskip("pygame")
    problem = make_problem(name)
    env = OptimalControlEnv(problem, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    for _ in range(5):
        env.step(np.full(problem.control_dim, 0.3, np.float32))
    assert (first != env.render()).any() and first.std() > 1
    z = problem.sample_initial_state(1, torch.Generator().manual_seed(0))[0].numpy()
    scene = problem.scene(0.0, z, np.zeros(problem.control_dim))
    assert (scene is None) == (name in CHARTS)
    low, _ = problem.control_bounds(torch.zeros(()))
    result = evaluate(problem, lambda t, z: low.expand(len(z), -1).to(z), torch.from_numpy(z)[None].repeat(2, 1))
    figure = draw_trajectories(problem, result)
    texts = " ".join(text.get_text() for axis in figure.get_axes() for text in [axis.title, axis.xaxis.label, *(
        axis.get_legend().get_texts() if axis.get_legend() else ())])  # fmt: skip
    texts += " ".join(axis.get_title() for sub in figure.subfigs for axis in sub.get_axes())
    if problem.control_names:
        assert problem.control_names[0] in texts
    if problem.state_names and name in CHARTS:
        assert problem.state_names[0] in texts
