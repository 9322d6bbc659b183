"""The Crazyflie against rigid-body mechanics written another way: quaternions, levers and cross products in NumPy."""

import dataclasses
import math

import gymnasium
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pontryagin import Crazyflie, ImplicitPolicy, make_problem, rollout, solve_optimum, solve_reference
from pontryagin.controllers.argmax import solve_argmax
from pontryagin.controllers.baselines import find_equilibrium
from pontryagin.controllers.hamiltonian import DerivedHamiltonian
from pontryagin.envs.attitude import (
    attitude_quaternion,
    attitude_rate,
    quaternion_attitude,
    rotate,
    upward,
    yaw_pitch_roll,
)
from pontryagin.envs.states import draw_states

DRONE = Crazyflie()
LEVERS = DRONE.arm * np.array(
    [[1, -1, 0], [-1, -1, 0], [-1, 1, 0], [1, 1, 0]]
)  # front right, rear right, rear left, ..
SPIN = np.array([-1, 1, -1, 1])
J = np.array(DRONE.inertia)
DRAG = np.array([DRONE.drag[0], *DRONE.drag])


def vectors(angles, seed=0):
    axes = np.random.default_rng(seed).normal(size=(len(angles), 3))
    return axes / np.linalg.norm(axes, axis=-1, keepdims=True) * np.asarray(angles)[:, None]


def by_quaternions(position, quaternion, velocity, rates, forces):
    """Rates of change by Newton and Euler, with R from the quaternion x, y, z, w."""
    body = Rotation.from_quat(quaternion)
    drag = body.apply(-DRAG * body.inv().apply(velocity))
    push = body.apply([0, 0, forces.sum()])
    torque = np.cross(LEVERS, np.outer(forces, [0, 0, 1])).sum(0) + [0, 0, DRONE.thrust_to_torque * SPIN @ forces]
    turn = (torque - np.cross(rates, J * rates)) / J
    x, y, z, w = quaternion
    spin = 0.5 * np.array([[w, -z, y], [z, w, -x], [-y, x, w], [-x, -y, -z]]) @ rates
    return velocity, spin, (push + drag) / DRONE.mass - [0, 0, DRONE.gravity], turn


def flown_by_quaternions(z0, forces, duration, steps):
    state = [z0[:3], attitude_quaternion(z0[3:6]), z0[6:9], z0[9:12]]
    h = duration / steps
    for _ in range(steps):  # the midpoint rule, Richardson below
        half = [x + 0.5 * h * k for x, k in zip(state, by_quaternions(*state, forces), strict=True)]
        half[1] /= np.linalg.norm(half[1])
        state = [x + h * k for x, k in zip(state, by_quaternions(*half, forces), strict=True)]
        state[1] /= np.linalg.norm(state[1])
    return np.concatenate([state[0], quaternion_attitude(state[1]), *state[2:]])


@pytest.mark.parametrize("angle", [1e-9, 0.3, math.pi / 2, 3.0, math.radians(300)])
def test_the_attitude_vector_is_a_rotation_up_to_a_full_turn(angle):
    turns = vectors([angle] * 5)
    a = torch.from_numpy(4 * math.tan(angle / 4) * turns / angle)
    w = torch.from_numpy(vectors([1.0] * 5, 1))
    expected = Rotation.from_rotvec(turns).apply(w.numpy())
    np.testing.assert_allclose(rotate(a, w).numpy(), expected, atol=1e-12)
    torch.testing.assert_close(rotate(-a, rotate(a, w)), w)
    torch.testing.assert_close(upward(a), rotate(a, torch.tensor([0.0, 0.0, 1.0]).double().expand(5, 3)))
    short = Rotation.from_rotvec(turns).as_quat()
    np.testing.assert_allclose(
        Rotation.from_quat(attitude_quaternion(a.numpy())).apply(w.numpy()), expected, atol=1e-12
    )
    if angle < math.pi:
        np.testing.assert_allclose(quaternion_attitude(short), a.numpy(), atol=1e-12)
    yaw, pitch, roll = yaw_pitch_roll(a[0].numpy())
    np.testing.assert_allclose(Rotation.from_euler("ZYX", [yaw, pitch, roll]).apply(w[0]), expected[0], atol=1e-7)


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5, 4.0])
def test_its_rate_is_that_of_the_rotation(angle):
    """R(a + h ȧ) = R(a) exp(h [ω]×) + O(h²): rates in the body's frame."""
    a = torch.from_numpy(4 * math.tan(angle / 4) * vectors([1.0] * 4))
    rates, w, h = torch.from_numpy(vectors([2.0] * 4, 1)), torch.from_numpy(vectors([1.0] * 4, 2)), 1e-6
    turned = rotate(a, torch.from_numpy(Rotation.from_rotvec(h * rates.numpy()).apply(w.numpy())))
    torch.testing.assert_close(rotate(a + h * attitude_rate(a, rates), w), turned, atol=1e-10, rtol=0)


def test_a_flight_is_that_of_a_rigid_body():
    z0 = draw_states(DRONE, 3, 1).double()
    generator = torch.Generator().manual_seed(2)
    forces = DRONE.hover * (1 + 0.05 * torch.rand(3, 4, generator=generator, dtype=torch.float64))
    duration = 20 * DRONE.time_step
    problem = dataclasses.replace(DRONE, horizon=duration, steps=20)
    end = rollout(problem, lambda t, z: forces, z0).z[-1]
    for k in range(3):
        coarse, fine = (flown_by_quaternions(z0[k].numpy(), forces[k].numpy(), duration, n) for n in (200, 400))
        np.testing.assert_allclose(end[k].numpy(), fine + (fine - coarse) / 3, rtol=1e-4, atol=1e-5)


def test_energy_and_angular_momentum():
    """The work of motors and drag changes the energy; R J ω stays as it is while all motors pull alike."""
    z = draw_states(DRONE, 4, 3).double()
    z[:, 9:] *= 5
    forces = DRONE.hover * torch.tensor([[0.9, 1.3, 1.1, 0.8]], dtype=torch.float64).expand(4, 4)
    inertia = torch.tensor(DRONE.inertia, dtype=torch.float64)

    def energy(z):
        kinetic = DRONE.mass * z[:, 6:9].square().sum(-1) + (inertia * z[:, 9:12].square()).sum(-1)
        return 0.5 * kinetic + DRONE.mass * DRONE.gravity * z[:, 2]

    h, t = 1e-6, torch.zeros(())
    rate = DRONE.dynamics(t, z, forces)
    change = (energy(z + h * rate) - energy(z - h * rate)) / (2 * h)
    slow = rotate(-z[:, 3:6], z[:, 6:9])
    torque = inertia * DRONE.angular_acceleration(forces)
    drag = torch.from_numpy(DRAG)
    power = forces.sum(-1) * slow[:, 2] - (drag * slow.square()).sum(-1) + (torque * z[:, 9:12]).sum(-1)
    torch.testing.assert_close(change, power, rtol=1e-7, atol=1e-9)
    alike = torch.full((4, 4), 0.15, dtype=torch.float64)
    path = rollout(dataclasses.replace(DRONE, horizon=1.0), lambda t, z: alike, z)
    momentum = [rotate(y[:, 3:6], inertia * y[:, 9:12]) for y in path.z]
    torch.testing.assert_close(momentum[-1], momentum[0], rtol=1e-5, atol=0)
    assert (path.z[-1, :, 3:6] - path.z[0, :, 3:6]).norm(dim=-1).min() > 1  # while it turns


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_lag"])
def test_hover_holds_and_costs_nothing(name):
    problem = make_problem(name)
    z, u = find_equilibrium(problem)
    torch.testing.assert_close(u, torch.full((4,), problem.hover, dtype=torch.float64))
    assert z[:12].abs().max() < 1e-9 and problem.running_cost(torch.zeros(()), z[None], u[None]) < 1e-12
    path = rollout(problem, lambda t, y: u.expand(1, 4), z[None])
    assert path.cost < 1e-9 and path.z.sub(z).abs().max() < 1e-7
    for k in range(4):  # nothing cheaper beside it
        moved = u.clone()
        moved[k] *= 1.01
        assert problem.running_cost(torch.zeros(()), z[None], moved[None]) > 1e-5
    assert len(problem.state_names) == problem.state_dim and all(name.endswith(")") for name in problem.state_names)


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_lag"])
def test_its_hamiltonian_is_quadratic_in_the_forces(name):
    problem = make_problem(name)
    z = draw_states(problem, 5, 0).double()
    p = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u = torch.rand(5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 0.15
    t = torch.zeros((), dtype=torch.float64)
    closed, derived = problem.control_hamiltonian(t, z, p), DerivedHamiltonian(problem, t, z, p)
    torch.testing.assert_close(closed.gradient(u), derived.gradient(u))
    torch.testing.assert_close(closed.hessian(u), derived.hessian(u))
    hover = torch.full_like(u, problem.hover)
    rise = [h.value(u) - h.value(hover) for h in (closed, derived)]
    torch.testing.assert_close(*rise)
    assert closed.gradient(closed.start()).abs().max() < 1e-9
    assert closed.value(u.expand(3, 5, 4)).shape == (3, 5, 1)


def test_rotors_that_lag():
    problem = make_problem("crazyflie_lag")
    z0 = draw_states(problem, 2, 0).double()
    asked = torch.tensor([0.12, 0.11, 0.1, 0.12], dtype=torch.float64)
    path = rollout(problem, lambda t, z: asked.expand(2, 4), z0)
    decay = torch.exp(-15.1 * path.t[:, None, None]).expand(-1, 2, 1)
    torch.testing.assert_close(path.z[:, :, 12:], asked + decay * (problem.hover - asked), rtol=1e-3, atol=0)
    body = problem.dynamics(torch.zeros(()), z0, asked.expand(2, 4))[:, :12]
    hover = torch.full((2, 4), problem.hover, dtype=torch.float64)
    torch.testing.assert_close(body, DRONE.dynamics(torch.zeros(()), z0[:, :12], hover), rtol=1e-6, atol=1e-6)


def test_it_starts_within_its_box():
    z0 = draw_states(DRONE, 4000, 0)
    angle = 4 * torch.atan(z0[:, 3:6].norm(dim=-1) / 4)
    for size, most in ((z0[:, :3].abs(), 2), (angle, math.pi / 4), (z0[:, 6:9].abs(), 1), (z0[:, 9:].abs(), 1)):
        assert 0.99 * most < size.max() <= most + 1e-6
    assert make_problem("crazyflie_lag").sample_initial_state(3)[:, 12:].unique().tolist() == [pytest.approx(0.1063894)]
    assert DRONE.metrics(z0)["tilt"].max() <= math.pi / 4 + 1e-4


@pytest.mark.slow  # a minute, most of it the compiler's
def test_ipopt_and_the_descent_agree():
    pytest.importorskip("casadi")
    z0 = draw_states(DRONE, 1, 4).double()
    ours, theirs = solve_optimum(DRONE, z0), solve_reference(DRONE, z0)
    assert ours.converged.all() and theirs.converged.all()
    torch.testing.assert_close(ours.cost, theirs.cost, rtol=1e-5, atol=0)
    assert (DRONE.terminal_error(ours.z[-1]) < 0.005).all()


def test_the_env_pays_what_rollout_says_and_draws_it():
    env = gymnasium.make("pontryagin/Crazyflie-v0", render_mode="rgb_array")
    observation, _ = env.reset(seed=2)
    generator, paid, done = torch.Generator().manual_seed(0), 0.0, False
    actions = 0.2 * torch.rand(100, 4, generator=generator) - 0.1
    steps = iter(actions.numpy())
    while not done:
        observation, reward, done, _, info = env.step(next(steps))
        paid -= reward
    low, high = DRONE.thrust_low, DRONE.thrust_high
    table = low + 0.5 * (actions + 1) * (high - low)
    path = rollout(DRONE, lambda t, z: table[round(float(t) / DRONE.time_step)][None], draw_states(DRONE, 1, 2))
    assert paid == pytest.approx(float(path.cost), rel=1e-5) and info["tilt"] >= 0
    assert env.render().std() > 1
    env.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [("mass", 0.0), ("inertia", (1.0, 2.0)), ("target", "here"), ("rotor_lag", -1.0), ("thrust_high", 0.1),
     ("initial_angle", 4.0), ("drag", (0.1, -0.1)), ("initial_speed", float("nan"))],
)  # fmt: skip
def test_what_is_no_drone_is_refused(field, value):
    with pytest.raises(ValueError, match=f"Crazyflie.*{field}"):
        Crazyflie(**{field: value})


@pytest.mark.parametrize("wide", [1.0, 3.0])
def test_float32_finds_its_controls_to_rounding(wide):
    """Of torques large terms cancel: by slope - Q u in float32 two of three searches never ended, 6e-7 away."""
    policy = ImplicitPolicy.load("crazyflie", device="cpu")
    z, t = wide * draw_states(DRONE, 128, 3), torch.tensor(0.02)
    with torch.no_grad():
        p = policy.value.gradient(t, z)[1]
        fine = solve_argmax(DRONE, *(x.double() for x in (t, z, p)), max_iterations=50, tolerance=1e-12)
        found = solve_argmax(DRONE, t, z, p)
        low, high = DRONE.control_bounds(z)
        inside = ((found.control > low) & (found.control < high)).all(-1)
        assert fine.converged.all() and found.converged[inside].all() and bool(inside.all()) == (wide == 1.0)
        torch.testing.assert_close(found.control.double(), fine.control, rtol=0, atol=4e-7)
        alone = [int(policy.solve(0.02, row.unsqueeze(0)).iterations) for row in z]
    assert max(alone) <= 4  # a search ends where T(u) = u, whatever rounding leaves of the slope


def test_its_hamiltonian_is_the_derived_one_far_from_the_maximiser_too():
    generator = torch.Generator().manual_seed(0)
    z, p = draw_states(DRONE, 16, 0).double(), torch.randn(16, 12, generator=generator, dtype=torch.float64)
    derived = DerivedHamiltonian(DRONE, torch.tensor(0.1), z, p)
    own = [DRONE.control_hamiltonian(torch.tensor(0.1), x, q) for x, q in ((z, p), (z.float(), p.float()))]
    low, high = DRONE.control_bounds(z)
    for u in (low.expand(16, 4), high.expand(16, 4), torch.zeros(16, 4).double()):
        true = derived.gradient(u)
        torch.testing.assert_close(own[0].gradient(u), true, rtol=1e-9, atol=1e-9)
        assert ((own[1].gradient(u.float()).double() - true).abs() / (1 + true.abs())).max() < 1e-4
