"""Euler angles and torques against finite differences, and the quadrotor in MuJoCo against its model."""

import numpy as np
import pytest
import torch

from pontryagin import DoubleIntegrator, ImplicitPolicy, Quadrotor, rollout
from pontryagin.controllers.plants import euler
from pontryagin.controllers.plants.mujoco import MujocoQuadrotor, PlantMismatch, mixer
from pontryagin.controllers.plants.mujoco_model import ROTOR_HIGH
from pontryagin.controllers.plants.plant import simulate
from pontryagin.training.commands.simulate import compare, simulate_all
from pontryagin.training.pictures.side_by_side import side_by_side

ANGLES, RATES, ACCELERATIONS = (np.array(x) for x in ((0.4, -0.7, 1.1), (0.8, -0.5, 1.3), (0.6, 1.7, -0.9)))
INERTIA = np.array([0.3, 0.5, 0.9])


def along(h):
    """Angles and rates a time h later, at constant acceleration."""
    return ANGLES + h * RATES + 0.5 * h * h * ACCELERATIONS, RATES + h * ACCELERATIONS


def rates_by_difference(h0, h=1e-5):
    """ω from Rᵀ Ṙ = [ω]ₓ, by central differences."""
    before, now, after = (euler.rotation(along(h0 + k * h)[0]) for k in (-1, 0, 1))
    skew = now.T @ (after - before) / (2 * h)
    return np.array([skew[2, 1], skew[0, 2], skew[1, 0]])


def test_body_rates_are_those_of_the_rotation():
    np.testing.assert_allclose(euler.body_rates(ANGLES, RATES), rates_by_difference(0.0), atol=1e-8)
    np.testing.assert_allclose(euler.angle_rates(ANGLES, euler.body_rates(ANGLES, RATES)), RATES, atol=1e-12)


def test_torque_is_the_rate_of_the_angular_momentum():
    """In the world's axes M = d/dt (R J ω), by differences of differences: no formula of ours on the other side."""
    h = 1e-3
    momentum = [euler.rotation(along(k * h)[0]) @ (INERTIA * rates_by_difference(k * h)) for k in (-1, 1)]
    world = (momentum[1] - momentum[0]) / (2 * h)
    torque = euler.body_torque(ANGLES, RATES, ACCELERATIONS, INERTIA)
    np.testing.assert_allclose(euler.rotation(ANGLES) @ torque, world, atol=2e-5)


def test_angles_come_back_next_to_the_last_ones():
    for angles in (ANGLES, np.array([7.0, 0.3, -9.0]), np.array([0.2, 2.1, 0.4])):
        np.testing.assert_allclose(euler.angles_near(euler.rotation(angles), angles + 0.1), angles, atol=1e-9)


def test_the_state_is_read_as_it_was_written():
    plant = MujocoQuadrotor(Quadrotor())
    z0 = np.concatenate([[0.1, -0.2, 0.3], ANGLES, [1.0, 2.0, 3.0], RATES])
    plant.reset(z0)
    np.testing.assert_allclose(plant.read_state(), z0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"rotors": True, "rotor_low": -5.0}])
def test_accelerations_are_those_of_the_model(options):
    """One short step from a state that turns and moves: differences of MuJoCo's rates against f(t, z, u)."""
    problem, h = Quadrotor(), 1e-4
    plant = MujocoQuadrotor(problem, time_step=h, **options)
    z0, u = np.concatenate([np.zeros(3), ANGLES, [0.5, 0.1, -0.2], RATES]), np.array([0.9, 0.3, -0.2, 0.4])
    plant.reset(z0)
    plant.write_control(u)
    plant.advance(h)
    rates = problem.dynamics(torch.tensor(0.0), torch.tensor(z0)[None], torch.tensor(u)[None])[0].numpy()
    np.testing.assert_allclose((plant.read_state() - z0) / h, rates, atol=2e-3)


def test_gravity_mass_and_inertia_come_from_the_problem():
    plant = MujocoQuadrotor(Quadrotor(mass=0.8, gravity=2.0), mismatch=PlantMismatch(mass_error=0.5))
    assert plant.model.opt.gravity.tolist() == [0, 0, -2.0] and plant.model.body_mass[1] == pytest.approx(1.2)
    np.testing.assert_allclose(plant.model.body_inertia[1], 1.5 * plant.inertia)
    np.testing.assert_allclose(plant.inertia, 0.8 * 0.25**2 * np.array([0.25, 0.25, 0.5]))


def test_rotors_keep_the_torque_where_they_cannot_reverse():
    plant = MujocoQuadrotor(Quadrotor(), rotors=True)
    plant.reset(np.zeros(12))
    plant.write_control(np.array([0.0, 0.1, 0.8, -0.5]))
    forces = plant.actuators()
    assert forces.min() == 0 and forces.max() < ROTOR_HIGH
    thrust, *torque = mixer() @ forces
    np.testing.assert_allclose(torque, plant.inertia * [-0.5, 0.8, 0.1], atol=1e-12)  # angles 0: roll, pitch, yaw
    assert thrust > 0


def test_drag_wind_and_lag_do_what_they_say():
    """With drag c the velocity tends to the wind as e^{-ct/m}; a lag delays the thrust."""
    problem = Quadrotor(gravity=1e-9)
    drifting = MujocoQuadrotor(problem, mismatch=PlantMismatch(drag=0.25, wind=(1.0, 0.0, 0.0)))
    drifting.reset(np.zeros(12))
    drifting.advance(2.0)
    assert drifting.read_state()[6] == pytest.approx(1 - np.exp(-0.25 * 2.0 / 0.5), abs=2e-3)
    lagging = MujocoQuadrotor(problem, mismatch=PlantMismatch(motor_lag=0.4))
    lagging.reset(np.zeros(12))
    lagging.write_control(np.array([1.0, 0, 0, 0]))
    lagging.advance(0.8)
    assert lagging.read_state()[8] == pytest.approx((0.8 - 0.4 * (1 - np.exp(-2))) / 0.5, rel=0.01)


def test_the_controller_flies_mujoco_as_it_flies_the_model():
    """Four of the 32 flights of the demo: cost within 2 %, error at most 0.05; 10 % heavier, at most 0.2."""
    policy = ImplicitPolicy.load("quadrotor", device="cpu")
    problem = policy.problem
    z0 = problem.sample_initial_state(32, torch.Generator().manual_seed(0))[:4]
    model = rollout(problem, policy, z0)
    exact = simulate(problem, MujocoQuadrotor(problem), policy, z0)
    torch.testing.assert_close(exact.cost, model.cost, rtol=1e-3, atol=0)
    assert problem.terminal_error(exact.z[-1]).max() <= 0.05
    heavy = simulate(problem, MujocoQuadrotor(problem, mismatch=PlantMismatch(mass_error=0.1)), policy, z0)
    assert problem.terminal_error(heavy.z[-1]).max() <= 0.2 and (heavy.cost > exact.cost).all()


@pytest.mark.slow
def test_all_32_flights():
    from pontryagin import evaluate

    policy = ImplicitPolicy.load("quadrotor", device="cpu")
    problem, z0 = policy.problem, policy.problem.sample_initial_state(32, torch.Generator().manual_seed(0))
    model = evaluate(problem, policy, z0)
    for mass_error, error in ((0.0, 0.05), (0.1, 0.2), (-0.1, 0.2)):
        plant = MujocoQuadrotor(problem, mismatch=PlantMismatch(mass_error))
        result = evaluate(problem, policy, z0, flown=simulate_all(policy, plant, z0)[0])
        figures = compare(problem, model, result)
        assert figures["terminal_error_worst"] <= error
        assert mass_error or abs(figures["cost_ratio_of_means"]) <= 0.02


def test_frames_beside_the_model():
    problem = Quadrotor(steps=6)
    size = (160, 120)
    plant = MujocoQuadrotor(problem, size=size)
    hover = torch.tensor([[0.5, 0.0, 0.0, 0.0]])
    z0 = torch.zeros(1, 12)
    frames, paths = side_by_side(problem, lambda t, z: hover, {"MuJoCo": plant}, z0, every=4, size=size, hold=1)
    plant.close()
    plant.close()
    assert [f.shape for f in frames] == [(120, 320, 3)] * 4 and set(paths) == {"model", "MuJoCo"}
    right = frames[0][20:-2, 160:].astype(int)
    assert right.std() > 10 and (np.ptp(right, axis=-1) > 60).any()  # a scene, with something coloured in it


def test_refused():
    for options, sentence in (
        ({"mass_error": -1.0}, "mass_error is -1.0"), ({"drag": -0.1}, "drag is -0.1"), ({"wind": (1.0,)}, "wind"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            PlantMismatch(**options)
    with pytest.raises(ValueError, match="plant for Quadrotor; got DoubleIntegrator"):
        MujocoQuadrotor(DoubleIntegrator())
    with pytest.raises(ValueError, match="time_step is 0"):
        MujocoQuadrotor(Quadrotor(), time_step=0.0)
