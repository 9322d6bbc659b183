"""Figures of trajectories, by what is in them: paths coloured by time, starts, targets, bounds, distances."""

import dataclasses

import matplotlib.collections
import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
import torch

from pontryagin import Problem, Quadrotor, evaluate
from pontryagin.envs.bicycle import STEERING, MultiBicycle
from pontryagin.envs.scene import Marks, Scene
from pontryagin.training.pictures import plots
from pontryagin.training.pictures.paths import TIME, PlanePaths, plane_paths
from pontryagin.training.pictures.plots import draw_trajectories, trajectory_figure


@dataclasses.dataclass(frozen=True)
class Boats(Problem):
    """A user's problem that says what it looks like from the top: boats after a target that drifts, or none."""

    boats: int = 2
    drift: float | None = None
    horizon: float = 2.0
    steps: int = 4
    control_low = -1.0
    control_high = 2.0

    @property
    def state_dim(self):
        return 2 * self.boats

    control_dim = state_dim

    def dynamics(self, t, z, u):
        return u

    def running_cost(self, t, z, u):
        return (u * u).sum(-1)

    def terminal_cost(self, z):
        return (z * z).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return torch.randn(batch, self.state_dim, generator=generator)

    def scene(self, t, z, u):
        bodies = Marks(z.reshape(-1, 2), np.full((self.boats, 3), 90, np.uint8))
        if self.drift is None:
            return Scene("top", np.zeros(2), np.ones(2), bodies=bodies)
        target = Marks(np.array([[self.drift * t, 0.0]]), np.zeros((1, 3), np.uint8))
        return Scene("top", np.zeros(2), np.ones(2), bodies=bodies, targets=target)


def flown(problem, states):
    """Something smooth, different for each control, inside the bounds."""
    phase = torch.linspace(0, 3, problem.control_dim)
    z0 = problem.sample_initial_state(states, torch.Generator().manual_seed(0))
    return evaluate(problem, lambda t, z: 0.3 * torch.sin(2 * t + phase).expand(len(z), -1), z0)


def path_lines(axis):
    return [c for c in axis.collections if isinstance(c, matplotlib.collections.LineCollection)]


def marked(axis, label):
    """Where the marks with this label are, ``(M, 2)``."""
    (marks,) = (c for c in axis.collections if c.get_label() == label)
    return np.asarray(marks.get_offsets())


def titled(figure, text):
    (axis,) = (a for a in figure.axes if text in a.get_title() + a.get_title(loc="left"))
    return axis


FLOCKS = {"5": MultiBicycle(), "100": MultiBicycle(100), "swap": MultiBicycle(100, layout="swap")}


@pytest.mark.parametrize("name", FLOCKS)
@pytest.mark.parametrize("states", [1, 3])
def test_every_agent_has_a_path_coloured_by_time(name, states):
    problem = FLOCKS[name]
    result = flown(problem, states)
    figure = draw_trajectories(problem, result)
    axis = titled(figure, "paths from one initial state")
    where = problem.agents(result.trajectory.z)[:, 0, :, :2].numpy()
    lines = path_lines(axis)
    assert len(lines) == problem.num_agents
    for agent, line in enumerate(lines):
        segments = np.array(line.get_segments())
        np.testing.assert_allclose(segments, np.stack([where[:-1, agent], where[1:, agent]], 1), atol=1e-6)
        assert line.get_cmap() is TIME and line.get_clim() == pytest.approx((0.0, problem.horizon))
        assert (np.diff(line.get_array()) > 0).all() and len(line.get_array()) == problem.steps
    lines[0].update_scalarmappable()
    first, last = lines[0].get_colors()[[0, -1], :3]
    assert np.abs(first - last).sum() > 0.5
    assert [a.get_ylabel() for a in figure.axes].count("time") == 1  # the colour bar
    assert axis.get_aspect() == 1.0


@pytest.mark.parametrize("name", FLOCKS)
def test_starts_ends_and_targets_are_marked(name):
    problem = FLOCKS[name]
    result = flown(problem, 2)
    axis = titled(draw_trajectories(problem, result), "paths")
    where = problem.agents(result.trajectory.z)[..., :2].numpy()
    np.testing.assert_allclose(marked(axis, "start"), where[0, 0], atol=1e-6)
    np.testing.assert_allclose(marked(axis, "end"), where[-1, 0], atol=1e-6)
    goals = problem.target_points[:1] if name == "100" else problem.target_points
    np.testing.assert_allclose(marked(axis, "target"), goals)
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    for points in (*where[:, 0], goals):
        assert (points > (left, bottom)).all() and (points < (right, top)).all()


def test_few_agents_have_a_line_each_and_bounds():
    problem = FLOCKS["5"]
    result = flown(problem, 2)
    figure = draw_trajectories(problem, result)
    for kind, name, bound in ((0, "steering (rad)\nof 5 agents", STEERING), (1, "acceleration (", 5.0)):
        *lines, low, high = titled(figure, name).lines
        assert len(lines) == 5 and (low.get_ydata()[0], high.get_ydata()[0]) == pytest.approx((-bound, bound))
        for agent, line in enumerate(lines):
            np.testing.assert_allclose(line.get_ydata()[:-1], result.trajectory.u[:, 0, 2 * agent + kind])
            assert line.get_drawstyle() == "steps-post" and line.get_xdata()[-1] == problem.horizon


def test_many_agents_are_bands_around_their_median():
    problem = FLOCKS["100"]
    result = flown(problem, 3)
    axis = titled(
        draw_trajectories(problem, result, shown=2), "acceleration (length/time^2)\nof 100 agents, bounds dashed"
    )
    (median,) = (line for line in axis.lines if line.get_label() == "median")
    accelerations = result.trajectory.u[:, :2, 1::2].flatten(1).numpy()
    np.testing.assert_allclose(median.get_ydata()[:-1], np.median(accelerations, 1), atol=1e-6)
    outer = axis.collections[0].get_datalim(axis.transData)
    assert (outer.y0, outer.y1) == pytest.approx((accelerations.min(), accelerations.max()), abs=1e-5)


def test_distances_to_the_targets_and_between_the_nearest():
    problem = FLOCKS["5"]
    result = flown(problem, 2)
    z = result.trajectory.z[:, :1]
    axis = titled(draw_trajectories(problem, result), "distance")
    *lines, nearest = axis.lines
    for agent, line in enumerate(lines):
        expected = problem.position_errors(z)[:, 0, agent].norm(dim=-1)
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-4)
    np.testing.assert_allclose(nearest.get_ydata(), problem.metrics(z[:, 0])["min_distance"], rtol=1e-4)


@pytest.mark.parametrize("boats, drift", [(1, None), (1, 0.5), (3, None), (3, 0.5)])
def test_any_problem_seen_from_the_top_gets_the_figure(boats, drift, tmp_path):
    problem = Boats(boats, drift)
    result = flown(problem, 2)
    figure = draw_trajectories(problem, result)
    axis = titled(figure, "paths")
    assert len(path_lines(axis)) == boats and len(marked(axis, "target")) == (drift is not None)
    # control_block is not the size of one boat's: each control has a picture of its own, up to four.
    assert sum("bounds" in a.get_title() for a in figure.axes) == min(2 * boats, 4)
    assert trajectory_figure(problem, result, tmp_path / "made" / "figure.png").stat().st_size > 1000


def test_a_heavy_picture_is_made_light(tmp_path, monkeypatch):
    figure = matplotlib.figure.Figure()
    figure.subplots().imshow(np.random.default_rng(0).random((200, 200)), cmap="viridis", interpolation="bilinear")
    monkeypatch.setattr(plots, "HEAVY", 10**9)
    whole = plots.save_figure(figure, tmp_path / "whole.png")
    monkeypatch.setattr(plots, "HEAVY", 1_000)
    light = plots.save_figure(figure, tmp_path / "light.png")
    assert light.stat().st_size < 0.6 * whole.stat().st_size
    before, after = (matplotlib.image.imread(path)[..., :3] for path in (whole, light))
    assert before.shape == after.shape and np.abs(before - after).mean() < 0.01


def test_a_target_that_moves_is_followed():
    problem = Boats(1, 0.5)
    result = flown(problem, 1)
    paths = plane_paths(problem, result.trajectory, 1)
    target = np.stack([0.5 * result.trajectory.t.numpy(), np.zeros(5)], -1)
    expected = np.linalg.norm(result.trajectory.z[:, 0].numpy() - target, axis=-1)
    np.testing.assert_allclose(paths.distance[:, 0, 0], expected, rtol=1e-5)
    unclear = PlanePaths(paths.t, np.zeros((5, 1, 3, 2)), np.zeros((5, 1, 2, 2)), np.zeros((3, 3)), np.zeros((2, 3)))
    assert unclear.distance is None


def test_only_so_many_states_are_looked_at():
    problem = FLOCKS["5"]
    paths = plane_paths(problem, flown(problem, 4).trajectory, 3)
    assert paths.points.shape == (problem.steps + 1, 3, 5, 2)


def test_other_problems_keep_the_figure_of_states(pendulum, tmp_path):
    for problem in (Quadrotor(steps=12), pendulum):
        result = flown(problem, 2)
        assert plane_paths(problem, result.trajectory, 2) is None
        figure = draw_trajectories(problem, result)
        assert [a.get_title() for a in figure.axes[:3]] == ["paths", "controls: mean and range", "states: mean"]
        assert not path_lines(figure.axes[0])


def test_a_bound_is_dotted_where_it_is_near(pendulum):
    z0 = pendulum.sample_initial_state(2, torch.Generator().manual_seed(0))
    wave = torch.tensor([0.0, 1.0])
    result = evaluate(pendulum, lambda t, z: (wave * (t < 0.5)).expand(len(z), -1), z0)
    axis = draw_trajectories(pendulum, result).axes[1]
    dotted = [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == ":"]
    assert dotted == [pendulum.control_high]


def test_the_title_counts_the_states():
    for states, words in ((1, "1 initial state,"), (3, "3 initial states,")):
        figure = draw_trajectories(FLOCKS["5"], flown(FLOCKS["5"], states))
        assert words in figure.get_suptitle() and "MultiBicycle" in figure.get_suptitle()
