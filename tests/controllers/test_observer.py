"""The observer: late and slow controls undone, noise filtered, and found out which of them it is."""

import dataclasses

import numpy as np
import pytest
import torch

from pontryagin import (
    Channel,
    ControllerPolicy,
    ImplicitPolicy,
    MultiBicycle,
    Observer,
    Quadrotor,
    rollout,
)
from pontryagin.controllers.channel import Tables, _linearised, first_belief, remembered, seen, suspects
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.envs.integrate import advance
from pontryagin.training.agents import digest, load_controller
from pontryagin.training.disturbances import disturbances

PROBLEM = Quadrotor(steps=40)


def gentle(t, z):
    """A law that stays off the bounds, and knows the time."""
    hover = z.new_tensor([1.0, 0.0, 0.0, 0.0])
    return hover + 0.2 * torch.tanh(0.3 * z[:, [2, 3, 4, 5]]) + 0.05 * torch.as_tensor(t).to(z).reshape(-1, 1)


def starts(count=3):
    return PROBLEM.sample_initial_state(count, torch.Generator().manual_seed(0)).double()


def flown(name, level, controller, problem=PROBLEM, z0=None):
    case = disturbances(problem)[name].apply(problem, controller, starts() if z0 is None else z0, level)
    return rollout(case.problem, case.controller, case.z0)


@pytest.mark.parametrize("late", [1, 3])
def test_the_optimum_of_late_controls_is_the_policy_where_they_act(late):
    path = flown("delay", late, Observer(ControllerPolicy(PROBLEM, gentle), Channel(delay=late)))
    z = starts()
    for k in range(PROBLEM.steps):  # the first control acts until the second arrives
        t = torch.tensor(k * PROBLEM.time_step, dtype=z.dtype)
        u = gentle(t * 0, path.z[0]) if k <= late else gentle(t, z)
        z = advance(PROBLEM, t, z, u, PROBLEM.time_step)[0]
        torch.testing.assert_close(path.z[k + 1], z, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("lag", [0.05, 0.3])
def test_slow_actuators_are_asked_for_what_brings_them_there(lag):
    calm = rollout(PROBLEM, gentle, starts())
    path = flown("lag", lag, Observer(ControllerPolicy(PROBLEM, gentle), Channel(lag=lag)))
    torch.testing.assert_close(path.z, calm.z, rtol=1e-7, atol=1e-7)
    assert (flown("lag", lag, gentle).z - calm.z).abs().max() > 1e-3


def test_both_at_once_and_two_different_delays_in_one_batch():
    problem, late, lag = PROBLEM, 2, 0.1

    def fly(delay):
        case = disturbances(problem)["lag"].apply(problem, watching, starts(), lag)  # slow, then late
        case = disturbances(problem)["delay"].change(case, delay, torch.Generator())
        return rollout(case.problem, case.controller, case.z0)

    watching = Observer(ControllerPolicy(problem, gentle), Channel(delay=late, lag=lag))
    expected = flown("delay", late, Observer(ControllerPolicy(problem, gentle), Channel(delay=late)))
    torch.testing.assert_close(fly(late).z, expected.z, rtol=1e-6, atol=1e-6)


def test_the_filter_is_kalmans_on_a_linear_system():
    problem = DoubleIntegrator()
    dt, n = problem.time_step, problem.state_dim
    channel = Channel(noise=0.1, drift=0.5)
    y = torch.randn(4, 1, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    tables = Tables.of(problem, (channel,), y)
    first, going = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    u = torch.full((1, problem.control_dim), 0.3, dtype=torch.float64)
    belief = remembered(first_belief(problem, tables, torch.zeros(1).double(), y[0]), u, first)
    eye = torch.eye(n, dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    still = advance(problem, zero, eye * 0, u.expand(n, -1) * 0, dt)[0]
    transition = (advance(problem, zero, eye, u.expand(n, -1) * 0, dt)[0] - still).T.numpy()
    x, p = y[0, 0].numpy(), 0.01 * np.eye(n)
    for k in range(1, 4):
        t = torch.full((1,), k * dt, dtype=torch.float64)
        belief = remembered(seen(problem, tables, belief, t, y[k], dt), u, going)
        x = advance(problem, zero, torch.from_numpy(x)[None], u, dt)[0][0].numpy()
        p = transition @ p @ transition.T + ((0.5 * dt) ** 2 + 1e-12) * np.eye(n)
        gain = p @ np.linalg.inv(p + 0.01 * np.eye(n))
        x, p = x + gain @ (y[k, 0].numpy() - x), (np.eye(n) - gain) @ p
        np.testing.assert_allclose(belief.state[0, 0], x, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(belief.spread[0, 0, 0], p, rtol=1e-6, atol=1e-9)


def test_the_linearisation_is_by_agent_and_that_of_autograd():
    problem = MultiBicycle(num_agents=3)
    z = problem.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    z[:, 3::4] += 0.7
    u = torch.full((2, 6), 0.2, dtype=torch.float64)
    t, dt = torch.zeros(2, dtype=torch.float64), problem.time_step
    after, slope = _linearised(problem, t, z, u, dt)
    torch.testing.assert_close(after, advance(problem, t, z, u, dt)[0])
    for row in range(2):
        one = t[:1], u[row : row + 1]
        full = torch.func.jacrev(lambda x, one=one: advance(problem, one[0], x[None], one[1], dt)[0][0])(z[row])
        for i in range(3):
            part = slice(4 * i, 4 * i + 4)
            torch.testing.assert_close(slope[row, i], full[part, part], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "level", "found"),
    [("wind", 0.0, {}), ("delay", 1, {"delay": 1}), ("delay", 4, {"delay": 4}), ("lag", 0.2, {"lag": None})],
)
def test_what_is_in_the_way_is_found_out_and_nothing_costs_nothing(name, level, found):
    watching = Observer(ControllerPolicy(PROBLEM, gentle)).begin()
    path = flown(name, level, watching.__call__)
    best = [watching.channels[k] for k in watching.belief.best.tolist()]
    for channel in best:
        assert (channel.delay, channel.lag > 0) == (found.get("delay", 0), "lag" in found)
        assert channel.noise == 0.0
    if not found:
        torch.testing.assert_close(path.z, rollout(PROBLEM, gentle, starts()).z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_noise_is_filtered(level):
    watching = Observer(ControllerPolicy(PROBLEM, gentle)).begin()
    clean = rollout(PROBLEM, gentle, starts()).u
    flown("noise", level, watching.__call__)
    assert all(np.max(watching.channels[k].noise) > 0 for k in watching.belief.best.tolist())
    bare = (flown("noise", level, gentle).u - rollout(PROBLEM, gentle, starts()).u).std()
    steady = flown("noise", level, Observer(ControllerPolicy(PROBLEM, gentle))).u - rollout(PROBLEM, gentle, starts()).u
    assert steady.std() < 0.6 * bare
    assert clean.isfinite().all()


def test_predict_remembers_by_row_what_a_flight_remembers():
    z0 = starts().float()
    inner = ControllerPolicy(PROBLEM, gentle)
    watching = Observer(inner, [Channel(), Channel(delay=1)])
    path = flown("delay", 1, watching, z0=z0)
    memory, u, asked = None, None, []
    low, high = PROBLEM.control_bounds(z0)
    order = [0, 0, 1, 2, 3]  # the first answer belongs to another episode
    for number, k in enumerate(order):
        observation = torch.cat([path.z[k], path.t[k].expand(len(z0), 1)], -1).numpy()
        u, memory = watching.predict(observation, memory, np.full(len(z0), number == 1))
        asked.append(low + (torch.from_numpy(u) + 1) / 2 * (high - low))
    torch.testing.assert_close(asked[1], path.u[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(asked[2], path.u[2], rtol=1e-4, atol=1e-5)  # late by one step
    torch.testing.assert_close(asked[3], path.u[3], rtol=1e-4, atol=1e-5)
    observation = torch.cat([path.z[4], path.t[4].expand(len(z0), 1)], -1).numpy()
    mixed, _ = watching.predict(observation, memory, np.array([True, False, False]))
    going, _ = watching.predict(observation, memory)
    np.testing.assert_allclose(mixed[1:], going[1:], rtol=1e-6)
    fresh, _ = watching.predict(observation[:1])
    np.testing.assert_allclose(mixed[:1], fresh, rtol=1e-6)


def test_bicycles_bear_a_late_control():
    policy = ImplicitPolicy.load("bicycle5", device="cpu")
    z0 = policy.problem.sample_initial_state(2, torch.Generator().manual_seed(0))
    bare, observed = (flown("delay", 1, c, policy.problem, z0).cost for c in (policy, Observer(policy)))
    assert (bare > 1000).all()
    assert (observed < 16).all()


def test_a_policy_is_held_by_the_model_too_and_a_word_puts_any_agent_behind_it():
    found = load_controller("observer:quadrotor")
    assert isinstance(found, Observer)
    assert found.held_over(0.01).policy.dt == 0.01
    assert digest("observer:quadrotor") == digest("quadrotor")
    assert found(0.0, np.zeros(12, np.float32)).shape == (4,)


def test_suspects_are_of_the_size_of_the_problem():
    small = dataclasses.replace(PROBLEM, steps=3)
    assert max(c.delay for c in suspects(small)) == 2
    assert len(suspects(PROBLEM)[-1].drift) == 12
    assert max(c.lag for c in suspects(PROBLEM)) < PROBLEM.horizon


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Channel(delay=-1), "delay is -1"),
        (lambda: Channel(delay=1.5), "delay"),
        (lambda: Channel(lag=-0.1), "lag is -0.1"),
        (lambda: Channel(noise=(0.1, -0.1)), "noise is"),
        (lambda: Channel(drift=float("nan")), "drift"),
        (lambda: Observer(gentle), "without a problem"),
        (lambda: Observer(ControllerPolicy(PROBLEM, gentle), []), "expected one Channel or more"),
        (lambda: Observer(ControllerPolicy(PROBLEM, gentle), [0.1]), "expected one Channel or more"),
        (lambda: Observer(ControllerPolicy(PROBLEM, gentle), Channel(delay=40)), "delay is 40"),
        (lambda: Observer(ControllerPolicy(PROBLEM, gentle), Channel(noise=(0.1, 0.2))), r"noise or drift has \[2\]"),
    ],
)
def test_nonsense_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
