"""Scenes and the renderer: what is drawn, that it is the same each time, and that nobody needs a display."""

import numpy as np
import pytest
import torch

from pontryagin.envs import render
from pontryagin.envs.bicycle import MultiBicycle
from pontryagin.envs.drawing import CAPTION, WARMTH, Camera, draw_glow, fit_camera
from pontryagin.envs.quadrotor import thrust_direction
from pontryagin.envs.scene import GREEN, INK, Circle, Glow, Line, Scene, bicycle_scene, hue_circle, quadrotor_scene

pygame = pytest.importorskip("pygame")

HOVER = np.array([0.5, 0.0, 0.0, 0.0])
SIZE = (320, 240)


def quadrotor_at(*position, target=(2.0, 2.0, 1.0)):
    return quadrotor_scene(np.array([*position, 0.3, 0.2, -0.1, *[0.0] * 6]), HOVER, target)


def bicycles(count=5, shift=0.0):
    generator = np.random.default_rng(0)
    z = generator.normal(0, 0.5, (count, 4)) + [shift, 0, 0, 0]
    goals = generator.normal(3, 0.5, (count, 2))
    return bicycle_scene(z.ravel(), np.full(2 * count, 0.4), goals, 1.0, np.linspace(0, 1, count))


def draw(renderer, scene, time=0.0, state=(0.0, 1.0)):
    return renderer.draw(scene, time=time, horizon=2.0, cost=1.25, title="A test", state=np.array(state))


def once(scene, **arguments):
    return draw(render.Renderer("rgb_array", SIZE), scene, **arguments)


def centre_of(color, frame):
    """Mean (row, column) of the pixels near a colour, below the caption and above the bar."""
    body = frame[36:-4].astype(int)
    near = np.abs(body - color).sum(-1) < 60
    assert near.any()
    return np.argwhere(near).mean(0)


@pytest.mark.parametrize("scene", [quadrotor_at(0, 0, 0), bicycles(), None], ids=["quadrotor", "bicycles", "chart"])
def test_a_frame_is_an_image_and_the_same_each_time(scene):
    frame = once(scene)
    assert frame.shape == (240, 320, 3) and frame.dtype == np.uint8
    assert frame.flags.writeable and frame.flags.c_contiguous
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 20
    np.testing.assert_array_equal(frame, once(scene))


def test_the_body_moves_when_the_state_does():
    start, end = (centre_of(INK, once(quadrotor_at(*p))) for p in ((0, 0, 0), (1, 1, 0)))
    assert end[1] > start[1] + 30
    up = centre_of(INK, once(quadrotor_at(0, 0, 1)))
    assert up[0] < start[0] - 30


def test_the_target_moves_when_the_problem_does():
    left, right = (once(quadrotor_at(0, 0, 0, target=(x, 2.0, 1.0))) for x in (0.5, 2.0))
    assert np.abs(centre_of(GREEN, left) - centre_of(GREEN, right)).max() > 10


def test_bicycles_move_to_the_right_with_x():
    box = {"low": np.zeros(2), "high": np.ones(2)}
    frames = [once(Scene("top", **box, circles=(Circle(np.array([x, 0.5]), 0.1),))) for x in (0.2, 0.8)]
    first, second = (centre_of(INK, frame) for frame in frames)
    assert second[1] > first[1] + 50 and second[0] == pytest.approx(first[0], abs=1)
    assert (once(bicycles()) != once(bicycles(shift=0.3))).any()


def test_warmth_shows_the_interaction():
    z, goals = np.array([0.0, 0.0, 0.0, 0.1] * 2), np.full((2, 2), 3.0)
    cold, warm = (once(bicycle_scene(z, np.zeros(4), goals, 1.0, np.full(2, heat))) for heat in (0.0, 1.0))
    assert warm[..., 2].mean() < cold[..., 2].mean() - 1  # less blue
    assert warm[..., 0].mean() > cold[..., 0].mean() + 0.1  # more red


def halo(count, strength):
    """(red, green, blue) along a row through the halo of so many bodies at one point; its radius is 40 pixels."""
    canvas = pygame.Surface((480, 320), 0, 32)
    canvas.fill((255, 255, 255))
    camera = Camera(np.array([[1.0, 0.0], [0.0, -1.0]]), np.zeros(2), 40.0, np.array([240.0, 160.0]), False)
    draw_glow(canvas, camera, Glow(np.zeros((count, 2)), 1.0, np.full(count, strength)))
    return pygame.surfarray.array3d(canvas)[:, 160].astype(int)


def test_a_halo_has_the_colour_of_its_strength_and_fades():
    for strength, color in zip((0.0, 0.5, 1.0), WARMTH, strict=True):
        row = halo(1, strength)
        np.testing.assert_allclose(row[240], color, atol=6)
        assert (np.diff(row[240:].sum(-1)) >= 0).all() and row[240 + 160].sum() >= 3 * 255 - 2


def test_the_halo_of_a_crowd_reaches_hardly_further_than_that_of_one():
    half = [
        np.abs(row[240:] - 255).sum(-1) > 0.5 * np.abs(row[240] - 255).sum() for row in (halo(1, 1.0), halo(50, 1.0))
    ]
    alone, crowd = (int(inside.sum()) for inside in half)
    assert 35 < alone <= crowd < 1.5 * alone


@pytest.mark.parametrize(
    "problem", [MultiBicycle(), MultiBicycle(100), MultiBicycle(100, layout="swap")], ids=["5", "100", "swap"]
)
def test_bicycles_fit_their_stage(problem):
    z = problem.sample_initial_state(1, torch.Generator().manual_seed(0))[0].numpy()
    scene = problem.scene(0.0, z, np.zeros(problem.control_dim))
    camera = fit_camera("top", scene.low, scene.high, (960, 720))
    points = np.concatenate([line.points for line in scene.lines] + [problem.target_points])
    pixels, _ = camera.project(points)
    assert (pixels > (0, 720 * CAPTION)).all() and (pixels < (960, 720)).all()
    frames = [line.points for line in scene.lines if line.color != INK][: problem.num_agents]
    lengths = camera.scale * np.linalg.norm([ends[1] - ends[0] for ends in frames], axis=-1)
    np.testing.assert_allclose(lengths, lengths[0])
    assert 12 < lengths[0] < 40


def test_the_stage_holds_the_starts():
    z, goal = np.array([0.0, 0.0, 0.0, 0.1]), np.zeros((1, 2))
    near, far = (bicycle_scene(z, np.zeros(2), goal, 1.0, np.zeros(1), starts=s) for s in (None, [[-8.0, 0.0]]))
    assert near.low[0] > -2 and far.low[0] < -8
    assert np.ptp(far.lines[-1].points, 0).max() > 4 * np.ptp(near.lines[-1].points, 0).max()


@pytest.mark.parametrize("count", [5, 30])
def test_only_the_front_wheel_is_steered(count):
    z, u = np.zeros((count, 4)), np.zeros((count, 2))
    z[:, 2], u[:, 0] = np.linspace(-2, 2, count), np.linspace(-1, 1, count)[::-1]
    scene = bicycle_scene(z.ravel(), u.ravel(), np.ones((1, 2)), 1.0, np.zeros(count))
    wheels = [line.points for line in scene.lines if line.color == INK]
    along = np.array([ends[1] - ends[0] for ends in wheels]).reshape(2, count, 2)
    angles = np.arctan2(along[..., 1], along[..., 0])
    np.testing.assert_allclose(angles, [z[:, 2], z[:, 2] + u[:, 0]], atol=1e-12)


def test_thrust_arrow_is_the_direction_of_the_dynamics():
    z = np.array([0.1, -0.2, 0.3, 0.7, -0.4, 0.9, *[0.0] * 6])
    arrow = quadrotor_scene(z, HOVER, (2, 2, 1)).lines[4].points
    direction = (arrow[1] - arrow[0]) / np.linalg.norm(arrow[1] - arrow[0])
    np.testing.assert_allclose(direction, thrust_direction(torch.from_numpy(z)).numpy(), atol=1e-12)


def test_trails_grow_and_clear_forgets_them():
    renderer = render.Renderer("rgb_array", SIZE)
    draw(renderer, quadrotor_at(0, 0, 0), time=0.0)
    with_trail = draw(renderer, quadrotor_at(1, 1, 0.5), time=1.0)
    renderer.clear()
    without = draw(renderer, quadrotor_at(1, 1, 0.5), time=1.0)
    assert (with_trail != without).any(-1).sum() > 50
    np.testing.assert_array_equal(without, once(quadrotor_at(1, 1, 0.5), time=1.0))


def test_drawing_the_same_time_again_changes_nothing():
    renderer = render.Renderer("rgb_array", SIZE)
    for scene in (bicycles(), None):
        renderer.clear()
        for time in (0.0, 0.1):
            frame = draw(renderer, scene, time=time)
        np.testing.assert_array_equal(frame, draw(renderer, scene, time=0.1))


def test_without_a_scene_the_state_is_charted():
    renderer = render.Renderer("rgb_array", SIZE)
    for time in np.linspace(0, 1, 11):
        frame = draw(renderer, None, time=time, state=(np.cos(time), -1.0))
    flat, rise = (centre_of(color, frame) for color in hue_circle(2)[::-1].astype(int))
    assert flat[0] > rise[0] + 45  # -1 lies below the cosine; older pygame-ce draws the line a little higher
    assert (frame != once(None, time=1.0, state=(np.cos(1.0), -1.0))).any()


@pytest.mark.parametrize("far", [1e3, 1e9, -1e9])
def test_what_runs_away_is_left_out(far):
    renderer = render.Renderer("rgb_array", SIZE)
    for time, x in enumerate((0.0, far, far / 2)):
        assert draw(renderer, quadrotor_at(x, -x, x), time=float(time)) is not None
    renderer.clear()
    for time, shift in enumerate((0.0, far)):
        assert draw(renderer, bicycles(shift=shift), time=float(time)) is not None


@pytest.mark.parametrize("view, d", [("top", 2), ("perspective", 3)])
def test_the_camera_keeps_the_box_in_the_frame(view, d):
    for low, high in ((np.zeros(d), np.ones(d)), (np.full(d, -30.0), np.arange(1.0, d + 1))):
        camera = fit_camera(view, low, high, (960, 720))
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), -1).reshape(-1, d)
        pixels, depth = camera.project(corners)
        assert (depth > 0).all() and (pixels > 0).all() and (pixels < (960, 720)).all()
        assert np.ptp(pixels, axis=0).max() > 400  # and fills it
        origin, above = camera.project(np.array([np.zeros(d), 0.1 * np.eye(d)[-1]]))[0]
        assert above[1] < origin[1]


def test_near_shapes_hide_far_ones():
    low, high = np.zeros(3), np.ones(3)
    camera = fit_camera("perspective", low, high, SIZE)
    middle, toward = np.full(3, 0.5), camera.axes[2]
    red, blue = (200, 30, 30), (30, 30, 200)
    for near, far in ((red, blue), (blue, red)):
        spots = (Circle(middle - 0.3 * toward, 0.1, near), Circle(middle + 0.3 * toward, 0.1, far))
        x, y = (camera.project(middle[None])[0][0]).round().astype(int)
        for order in (spots, spots[::-1]):
            frame = once(Scene("perspective", low, high, circles=order))
            np.testing.assert_allclose(frame[y, x], near, atol=3)


def test_a_line_may_have_many_points():
    turn = np.linspace(0, 6, 50)
    line = Line(np.stack([np.cos(turn), np.sin(turn)], -1), (200, 30, 30), 6.0)
    low, high = np.full(2, -1.0), np.full(2, 1.0)
    assert (once(Scene("top", low, high, (line,))) != once(Scene("top", low, high))).any()
