"""Crazyflow as a plant: coordinates, units and rotors against the model, many worlds at once."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from pontryagin import (
    Crazyflie,
    CrazyflowDrone,
    LinearQuadraticRegulator,
    Quadrotor,
    Waypoints,
    make_problem,
    rollout,
    simulate,
)
from pontryagin.envs.states import draw_states

pytest.importorskip("crazyflow", reason='pip install "pontryagin[crazyflow]", which no other extra brings')

DRONE, LAG = Crazyflie(), make_problem("crazyflie_lag")


@pytest.fixture(scope="module")
def plant():
    return CrazyflowDrone(DRONE)


@pytest.mark.parametrize("problem", [DRONE, LAG])
def test_states_go_in_and_come_out(problem):
    z0 = draw_states(problem, 4, 0).double().numpy()
    plant = CrazyflowDrone(problem)
    plant.reset(z0)
    np.testing.assert_allclose(plant.read_state(), z0, atol=2e-6)
    plant.advance(0.01)
    plant.reset(z0[::-1].copy())
    np.testing.assert_allclose(plant.read_state(), z0[::-1], atol=2e-6)


def fallen(acceleration, drag, t):
    """How far something falls that air holds back: z̈ = acceleration - drag ż."""
    return acceleration * (t / drag - (1 - np.exp(-drag * t)) / drag**2)


def test_hover_stays(plant):
    path = simulate(DRONE, plant, lambda t, z: torch.full((3, 4), DRONE.hover).double(), torch.zeros(3, 12).double())
    assert path.z[..., :2].abs().max() < 1e-4 and path.z[..., 3:6].abs().max() < 1e-4
    lighter = 9.81 * (DRONE.mass / 0.0434 - 1)  # crazyflow's is 0.02 g heavier than drone-models'
    torch.testing.assert_close(path.z[-1, :, 2], torch.full((3,), fallen(lighter, 0.57, 2)).double(), atol=5e-4, rtol=0)


def test_it_is_the_model_where_rotors_follow_at_once():
    """Forces that are held long enough: the rotors are there, and the difference is crazyflow's own constants."""
    forces = LAG.hover * torch.tensor([[1.02, 1.0, 1.03, 1.01], [1.0, 1.01, 1.0, 1.02]], dtype=torch.float64)
    problem = dataclasses.replace(LAG, horizon=0.6, steps=30)
    z0 = draw_states(LAG, 2, 1).double()
    z0[:, 12:] = forces
    flown = simulate(problem, CrazyflowDrone(problem), lambda t, z: forces, z0)
    model = rollout(problem, lambda t, z: forces, z0)
    for states, most in ((slice(0, 3), 0.01), (slice(3, 6), 0.02), (slice(6, 9), 0.03), (slice(9, 12), 0.1)):
        assert (flown.z - model.z)[..., states].abs().max() < most, states
    assert (model.z[-1] - z0)[:, 9:12].abs().max() > 0.5  # it turned


def test_rotors_lag():
    plant = CrazyflowDrone(LAG)
    plant.reset(np.append(np.zeros(12), np.full(4, LAG.hover))[None])
    plant.write_control(np.full((1, 4), 0.15))
    forces = []
    for _ in range(10):
        plant.advance(0.02)
        forces.append(plant.read_state()[0, 12])
    done = (np.array(forces) - LAG.hover) / (0.15 - LAG.hover)
    model = 1 - np.exp(-0.02 * np.arange(1, 11) / LAG.rotor_lag)
    assert np.abs(done - model).max() < 0.15 and done[-1] > 0.9


def test_a_heavier_one_falls_and_each_may_weigh_otherwise():
    plant = CrazyflowDrone(DRONE, mass_error=np.array([-0.1, 0.0, 0.1]))
    problem = dataclasses.replace(DRONE, horizon=0.5, steps=25)
    path = simulate(problem, plant, lambda t, z: torch.full((3, 4), DRONE.hover).double(), torch.zeros(3, 12).double())
    mass = 0.0434 * np.array([0.9, 1.0, 1.1])
    expected = fallen(9.81 * (DRONE.mass / mass - 1), 0.02477 / mass, 0.5)
    np.testing.assert_allclose(path.z[-1, :, 2].numpy(), expected, atol=3e-3)
    with pytest.raises(ValueError, match="3 shares; expected 2"):
        plant.reset(np.zeros((2, 12)))


def test_a_tour_in_sixteen_worlds(plant):
    """Linear feedback about hover, four points, in dynamics it was not made for."""
    points = [(0.5, 0.0, 0.5), (0.5, 0.5, 1.0), (0.0, 0.5, 0.5), (0.0, 0.0, 0.0)]
    tour = Waypoints(LinearQuadraticRegulator(DRONE), points, then="again", stay=1.0)
    z0 = 0.2 * draw_states(DRONE, 16, 0).double()
    path = simulate(tour.problem, plant, tour, z0)
    for k, point in enumerate(points):
        assert ((path.z[100 * (k + 1), :, :3] - torch.tensor(point)).norm(dim=-1) < 0.05).all()
    assert path.z.shape == (451, 16, 12) and (tour.problem.terminal_error(path.z[-1]) < 0.05).all()


def test_what_it_cannot_fly_is_refused(plant):
    for make, said in (
        (lambda: CrazyflowDrone(Quadrotor()), "flies a Crazyflie; got a Quadrotor"),
        (lambda: CrazyflowDrone(DRONE, mass_error=-1.0), "shares above -1"),
        (lambda: CrazyflowDrone(DRONE, height=0.0), "positive number of metres"),
        (lambda: CrazyflowDrone(DRONE, freq=0), "freq is 0"),
        (lambda: plant.advance(0.0013), "steps of 0.002 s"),
    ):
        with pytest.raises(ValueError, match=said):
            make()


def test_where_scipy_was_there_first_that_is_a_sentence(monkeypatch):
    from pontryagin.controllers.plants import crazyflow

    def refuse(module, extra):
        raise RuntimeError("scipy has already been imported")

    monkeypatch.setattr(crazyflow, "optional", refuse)
    with pytest.raises(ImportError, match="set SCIPY_ARRAY_API=1 in the environment"):
        CrazyflowDrone(DRONE)


def test_the_command(tmp_path, capsys):
    from pontryagin import ImplicitPolicy, ValueFunction
    from pontryagin.training.commands.cli import main

    ImplicitPolicy(DRONE, ValueFunction(DRONE, 4, seed=0)).save(tmp_path)
    words = ["simulate", str(tmp_path), "--plant", "crazyflow", "--states", "3"]
    main([*words, "--mass-error", "0.1", "--json"])
    assert json.loads(capsys.readouterr().out)["cost_plant"] > 0
    with pytest.raises(SystemExit):
        main([*words, "--drag", "0.1"])
    assert "those are for mujoco" in capsys.readouterr().err
