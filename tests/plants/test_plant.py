"""The loop around other people's simulators, on a plant that is the model itself."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from conftest import Pendulum

from pontryagin import (
    CommonRoadBicycles,
    DoubleIntegrator,
    HighwayBicycles,
    ImplicitPolicy,
    MujocoQuadrotor,
    MultiBicycle,
    Quadrotor,
    ValueFunction,
    evaluate,
    rollout,
    solve_reference,
)
from pontryagin.controllers.export.export import onnx_bytes
from pontryagin.controllers.optimum import expand_agents
from pontryagin.controllers.plants.plant import simulate, timetable
from pontryagin.controllers.value import ExpandedValue
from pontryagin.envs.extras import optional
from pontryagin.envs.integrate import advance
from pontryagin.training.pictures.plots import trajectory_figure


class Model:
    """The model as a plant: RK4 with a step of its own."""

    def __init__(self, problem, step=0.01):
        self.problem, self.step = problem, step

    def reset(self, z0):
        self.z, self.t, self.log = torch.as_tensor(z0).unsqueeze(0), 0.0, []

    def read_state(self):
        return self.z[0].numpy().copy()

    def write_control(self, u):
        self.u = torch.as_tensor(u).unsqueeze(0)
        self.log.append((self.t, u.copy()))

    def advance(self, dt):
        count = max(1, round(dt / self.step))
        for _ in range(count):
            self.z, _ = advance(self.problem, torch.tensor(self.t), self.z, self.u, dt / count)
            self.t += dt / count

    def frame(self):
        return np.zeros((4, 4, 3), np.uint8)


def feedback(problem):
    gain = torch.linspace(-1, 1, problem.state_dim * problem.control_dim).reshape(problem.state_dim, -1)
    return lambda t, z: (z @ gain.to(z)).clamp(*problem.control_bounds(z))


def test_without_latency_it_is_the_rollout(pendulum):
    """Same grid, same controls; the running cost depends on z here, so Simpson's rule is at work."""
    z0, controller = pendulum.sample_initial_state(3).double(), feedback(pendulum)
    path, model = simulate(pendulum, Model(pendulum), controller, z0), rollout(pendulum, controller, z0)
    torch.testing.assert_close(path.t, model.t)
    torch.testing.assert_close(path.z, model.z, atol=1e-5, rtol=0)
    torch.testing.assert_close(path.u, model.u, atol=1e-5, rtol=0)
    torch.testing.assert_close(path.cost, model.cost, atol=1e-4, rtol=0)  # Simpson's rule on eight coarse steps


def test_the_rate_is_the_controllers_not_the_plants():
    problem, calls = DoubleIntegrator(), []

    def controller(t, z):
        calls.append(round(float(t), 6))
        return -z[:, :1]

    path = simulate(problem, Model(problem, 0.003), controller, torch.tensor([[1.0, 0.0]]), rate=3.0)
    assert calls == [round(k / 3, 6) for k in range(6)]  # two units of time
    assert path.u.shape == (6, 1, 1) and path.z.shape == (7, 1, 2)
    torch.testing.assert_close(path.u[1], -path.z[1][:, :1])


def test_latency_holds_the_old_control_until_the_answer_arrives():
    problem, plant = DoubleIntegrator(), Model(DoubleIntegrator())
    path = simulate(problem, plant, lambda t, z: 1 + t.reshape(1, 1), torch.zeros(1, 2), rate=2.0, latency=0.7)
    effects = [(round(t, 6), round(float(u[0]), 6)) for t, u in plant.log]
    assert effects == [(0.0, 0.0), (0.7, 1.0), (1.2, 1.5), (1.7, 2.0)]  # what was asked at 1.5 comes too late
    assert path.t.tolist() == pytest.approx([0, 0.5, 0.7, 1.0, 1.2, 1.5, 1.7, 2.0])
    assert path.u[:, 0, 0].tolist() == pytest.approx([0, 0, 1, 1, 1.5, 1.5, 2])
    z, acceleration = path.z[-1, 0], 1 * 0.5 + 1.5 * 0.5 + 2 * 0.3
    assert z[1].item() == pytest.approx(acceleration, abs=1e-5)
    assert path.running_cost.item() == pytest.approx(0.5 * (1 * 0.5 + 1.5**2 * 0.5 + 2**2 * 0.3), abs=1e-5)


def test_the_timetable_merges_what_falls_together():
    plan = timetable(1.0, 4.0, 0.25)
    assert plan.times == (0.0, 0.25, 0.5, 0.75, 1.0) and plan.applies == (-1, 0, 1, 2) and all(plan.asks)


def test_evaluate_and_plot_take_the_path(tmp_path, pendulum):
    z0, controller = pendulum.sample_initial_state(3), feedback(pendulum)
    path = simulate(pendulum, Model(pendulum), controller, z0, latency=0.03)
    result = evaluate(pendulum, controller, z0, flown=path)
    assert torch.equal(result.cost, path.cost) and result.trajectory is path
    assert trajectory_figure(pendulum, result, tmp_path / "figure.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="expected paths from z0"):
        evaluate(pendulum, controller, z0 + 1, flown=path)


def test_a_policy_reports_its_residual_along_a_path_flown_elsewhere(policy, short_quadrotor):
    z0 = short_quadrotor.sample_initial_state(2)
    path = simulate(short_quadrotor, Model(short_quadrotor, 0.1), policy, z0)
    here, there = (evaluate(short_quadrotor, policy, z0, flown=p) for p in (None, path))
    assert there.residual.shape == here.residual.shape and there.residual.max() < 1e-5


@dataclasses.dataclass
class Deaf:
    """A policy that is not told how long its answers are held."""

    policy: ImplicitPolicy

    def __call__(self, t, z):
        return self.policy(t, z)


def test_a_held_policy_is_told_for_how_long():
    """phi is exact at twice the rate: the answers are argmin c + phi there, and cheaper than those for the own rate."""
    problem, twice = DoubleIntegrator(steps=10), DoubleIntegrator(steps=20)
    z0 = torch.tensor([[2.0, -1.0], [1.0, 1.0]]).double()
    value = ExpandedValue(twice, expand_agents(twice, solve_reference(twice, z0[:1]))).double()
    policy = ImplicitPolicy(problem, value, hamiltonian="held", tolerance=1e-12)
    told, deaf = (simulate(problem, Model(problem), p, z0, rate=10.0) for p in (policy, Deaf(policy)))
    torch.testing.assert_close(told.cost, solve_reference(twice, z0).cost, rtol=1e-5, atol=0)
    assert (told.cost < deaf.cost - 1e-3).all()
    for k in (0, 13, 19):
        grid = torch.linspace(-20, 20, 40_001, dtype=torch.float64).unsqueeze(-1)
        after, cost = advance(problem, told.t[k], told.z[k, :1].expand(len(grid), -1), grid, 0.1)
        brute = grid[(cost + value(told.t[k] + 0.1, after)).argmin()]
        assert (told.u[k, 0] - brute).abs() <= 1e-3


def test_a_last_answer_is_held_to_the_end(monkeypatch):
    problem, spans = DoubleIntegrator(), []
    policy = ImplicitPolicy(problem, ValueFunction(problem, 4, seed=0), hamiltonian="held")
    over = ImplicitPolicy.held_over
    monkeypatch.setattr(ImplicitPolicy, "held_over", lambda self, dt: (spans.append(dt), over(self, dt))[1])
    simulate(problem, Model(problem), policy, torch.zeros(1, 2), rate=1.25)
    assert spans == pytest.approx([0.8, 0.8, 0.4]) and policy.dt == problem.time_step
    with pytest.raises(ValueError, match="positive, finite time"):
        policy.held_over(0.0)


def test_watch_sees_every_moment():
    problem, seen = DoubleIntegrator(), []
    simulate(problem, Model(problem), lambda t, z: -z[:, :1], torch.zeros(1, 2), watch=lambda t, plant: seen.append(t))
    assert len(seen) == problem.steps + 1 and seen[-1] == problem.horizon


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"rate": 0.0}, "rate is 0.0"), ({"latency": -0.1}, "latency is -0.1"), ({"latency": 5.0}, "latency is 5.0")],
)
def test_refused_options(options, sentence):
    problem = DoubleIntegrator()
    with pytest.raises(ValueError, match=sentence):
        simulate(problem, Model(problem), lambda t, z: z[:, :1], torch.zeros(1, 2), **options)


def test_refused_answers_and_states(pendulum):
    with pytest.raises(ValueError, match=r"expected \(1, 2\)"):
        simulate(pendulum, Model(pendulum), lambda t, z: z[0], torch.zeros(1, 2))
    with pytest.raises(ValueError, match="flight 1 reached"):
        z0 = torch.tensor([[0.0, 0.0], [1e30, 1e30]], dtype=torch.float64)
        wild = dataclasses.make_dataclass("Wild", [], bases=(Pendulum,), frozen=True)()
        type(wild).dynamics = lambda self, t, z, u: z**3
        simulate(wild, Model(wild), lambda t, z: torch.zeros(1, 2), z0)


def test_controls_that_are_not_finite_are_refused_and_others_clipped(pendulum):
    z0 = pendulum.sample_initial_state(1)
    with pytest.raises(ValueError, match="finite controls"):
        simulate(pendulum, Model(pendulum), lambda t, z: z.new_full((1, pendulum.control_dim), float("nan")), z0)
    path = simulate(pendulum, Model(pendulum), lambda t, z: z.new_full((1, pendulum.control_dim), 1e6), z0)
    high = pendulum.control_bounds(z0)[1]
    assert torch.equal(path.u[-1, 0], high)  # charged for what the plant was given


def test_a_missing_extra_is_an_error_with_the_line_that_installs_it():
    with pytest.raises(ImportError, match=r'pip install "pontryagin\[highway\]"'):
        optional("no_such_simulator.road", "highway")


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("mujoco", "mujoco", lambda: MujocoQuadrotor(Quadrotor())),
        ("highway_env.vehicle.kinematics", "highway", lambda: HighwayBicycles(MultiBicycle())),
        ("vehiclemodels.parameters_vehicle2", "highway", lambda: CommonRoadBicycles(MultiBicycle())),
        ("onnx", "export", lambda: onnx_bytes(ImplicitPolicy.load("cars5", device="cpu"))),
    ],
)
def test_each_plant_and_export_says_what_to_install(module, extra, make, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'pip install "pontryagin\[{extra}\]"'):
        make()
