"""The bicycles as cars: the change of coordinates, highway-env, commonroad's kinematic single track."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pontryagin import DoubleIntegrator, ImplicitPolicy, MultiBicycle
from pontryagin.controllers.plants.commonroad import CommonRoadBicycles
from pontryagin.controllers.plants.highway import HighwayBicycles
from pontryagin.controllers.plants.vehicles import slip, to_center, to_rear, touching
from pontryagin.envs.integrate import advance
from pontryagin.training.commands.cli import main
from pontryagin.training.commands.simulate import simulate_all

pytest.importorskip("highway_env")
pytest.importorskip("vehiclemodels")

PLANTS = (HighwayBicycles, CommonRoadBicycles)


def one_car(**fields):
    return MultiBicycle(num_agents=1, targets=((1.0, 1.0),), wheelbase=0.25, **fields)


def test_the_centre_moves_as_the_derivative_of_its_place_says():
    """to_center along the rear wheel's motion, by differences, against highway-env's right-hand side."""
    wheelbase, steering, h = 5.0, np.array([0.6, -1.2]), 1e-5
    rear = np.array([[1.0, 2.0, 0.3, 4.0], [0.0, -1.0, 2.0, -3.0]])

    def after(dt):
        x, y, heading, speed = rear.T
        turned = heading + dt * speed / wheelbase * np.tan(steering)
        middle = heading + 0.5 * dt * speed / wheelbase * np.tan(steering)
        moved = np.stack([x + dt * speed * np.cos(middle), y + dt * speed * np.sin(middle), turned, speed], -1)
        return to_center(moved, steering, wheelbase)

    slope = (after(h) - after(-h)) / (2 * h)
    _, _, heading, speed = to_center(rear, steering, wheelbase).T
    beta = slip(steering)
    expected = speed * np.stack([np.cos(heading + beta), np.sin(heading + beta), np.sin(beta) / (wheelbase / 2)])
    np.testing.assert_allclose(slope[:, :3], expected.T, atol=1e-6)
    np.testing.assert_allclose(to_rear(to_center(rear, steering, wheelbase), steering, wheelbase), rear, atol=1e-12)


def test_rectangles_touch_where_they_do():
    square = np.array([[0.0, 0.0], [2.0, 0.0]])
    assert not touching(square, np.zeros(2), 1.9, 1.0) and touching(square, np.zeros(2), 2.1, 1.0)
    assert not touching(np.array([[0, 0], [2.2, 2.2]]), np.full(2, np.pi / 4), 2.9, 2.0)
    assert touching(np.array([[0, 0], [2.2, 2.2]]), np.full(2, np.pi / 4), 3.2, 2.0)
    assert touching(np.array([[0, 0], [0, 1.4]]), np.array([0.0, np.pi / 2]), 2.0, 1.0)  # a T


@pytest.mark.parametrize("kind", PLANTS)
def test_the_state_is_read_as_it_was_written(kind):
    problem = MultiBicycle(num_agents=2)
    plant = kind(problem, time_scale=3.0)
    z0 = np.array([0.1, 0.2, 7.0, 0.5, -1.0, 2.0, -0.4, 1.5])
    plant.reset(z0)
    np.testing.assert_allclose(plant.read_state(), z0, atol=1e-12)


@pytest.mark.parametrize(("kind", "seconds", "rough"), [(HighwayBicycles, 8.0, 3e-3), (CommonRoadBicycles, 80.0, 0.02)])
def test_a_curve_is_that_of_the_model(kind, seconds, rough):
    """Steering steps from 0 to 0.3 and back while the speed rises: sharp changes of β; slow enough for a rate of δ."""
    problem = one_car()
    plant = kind(problem, time_scale=seconds)
    z = torch.tensor([[0.0, 0.0, 0.3, 0.5]], dtype=torch.float64)
    plant.reset(z[0].numpy())
    for u in ((0.3, 0.4), (-0.2, 0.4), (0.0, -0.1)):
        plant.write_control(np.array(u))
        plant.advance(0.8)
        for _ in range(80):
            z, _ = advance(problem, torch.tensor(0.0), z, torch.tensor([u], dtype=z.dtype), 0.01)
    np.testing.assert_allclose(plant.read_state(), z[0].numpy(), atol=rough)
    assert plant.read_state()[3] == pytest.approx(z[0, 3].item(), abs=2e-3)  # v, not v_c: no jump at a change of δ


def test_a_steering_rate_has_a_limit():
    plant = CommonRoadBicycles(one_car(), time_scale=1.0)
    plant.reset(np.array([0.0, 0.0, 0.0, 1.0]))
    plant.write_control(np.array([1.0, 0.0]))
    plant.advance(0.5)
    assert plant._x[0, 2] == pytest.approx(0.4 * 0.5, rel=1e-3)  # 0.4 rad/s for half a second
    plant.advance(10.0)
    assert plant._x[0, 2] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kind", PLANTS)
def test_cars_that_meet_head_on_touch(kind):
    problem = MultiBicycle(num_agents=2, wheelbase=0.25)
    plant = kind(problem, time_scale=4.0)
    plant.reset(np.array([-0.6, 0.0, 0.0, 1.0, 0.6, 0.0, np.pi, 1.0]))
    plant.write_control(np.zeros(4))
    plant.advance(0.1)
    assert not plant.touched
    plant.advance(0.5)
    assert plant.touched


@pytest.mark.parametrize("kind", PLANTS)
def test_five_cars_reach_their_targets_without_touching(kind):
    policy = ImplicitPolicy.load("cars5", device="cpu")
    problem = policy.problem
    z0 = problem.sample_initial_state(32, torch.Generator().manual_seed(0))[:4]
    path, touched = simulate_all(policy, kind(problem), z0)
    assert touched == 0
    assert problem.terminal_error(path.z[-1]).max() <= 0.2 * problem.wheelbase  # a metre, of a car of five


@pytest.mark.parametrize("kind", PLANTS)
def test_frames(kind):
    plant = kind(MultiBicycle(num_agents=3, layout="swap", wheelbase=0.25), size=(240, 240))
    plant.reset(plant.problem.sample_initial_state(1, torch.Generator().manual_seed(0))[0].double().numpy())
    frame = plant.frame()
    assert frame.shape == (240, 240, 3) and frame.dtype == np.uint8
    assert (np.ptp(frame[40:].astype(int), axis=-1) > 60).sum() > 50  # cars and targets are coloured, the ground is not


@pytest.mark.parametrize("kind", PLANTS)
def test_refused(kind):
    with pytest.raises(ValueError, match="plant for MultiBicycle; got DoubleIntegrator"):
        kind(DoubleIntegrator())
    with pytest.raises(ValueError, match="time_scale is 0"):
        kind(one_car(), time_scale=0.0)
    with pytest.raises(ValueError, match="frequency" if kind is HighwayBicycles else "servo"):
        kind(one_car(), **({"frequency": 0.0} if kind is HighwayBicycles else {"servo": 0.01}))


def test_fly_from_the_command_line(tmp_path, capsys):
    main(["simulate", "cars5", "--plant", "commonroad", "--states", "2", "--json", "--out-dir", str(tmp_path)])
    figures = json.loads(capsys.readouterr().out)
    assert figures["flights_that_touched"] == 0 and figures["terminal_error_worst"] < 0.1
    assert figures["cost_plant"] > figures["cost_model"] and (tmp_path / "commonroad.png").exists()
    main(["simulate", "cars5", "--plant", "highway", "--states", "1", "--latency", "0.05"])
    assert "terminal_error_worst" in capsys.readouterr().out
    main(["simulate", "cars5", "--plant", "highway", "--video", str(tmp_path / "film.gif")])
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames > 20 and film.size == (960, 480)
    with pytest.raises(SystemExit):
        main(["simulate", "quadrotor", "--plant", "highway"])
    assert "plant for MultiBicycle; got Quadrotor" in capsys.readouterr().err
