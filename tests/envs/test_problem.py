"""Problems, the discretisation, rollouts."""

import dataclasses

import numpy as np
import pytest
import torch

from pontryagin import DoubleIntegrator, Quadrotor, make_problem, rollout
from pontryagin.envs.integrate import advance
from pontryagin.envs.quadrotor import thrust_direction


def rotation(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def test_thrust_is_the_third_column_of_the_rotation():
    yaw, pitch, roll = 0.4, -0.7, 1.1
    z = torch.tensor([[0.0, 0, 0, yaw, pitch, roll, 0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    expected = (rotation("z", yaw) @ rotation("y", pitch) @ rotation("x", roll))[:, 2]
    np.testing.assert_allclose(thrust_direction(z)[0], expected, atol=1e-12)


def test_hover_is_an_equilibrium():
    problem = Quadrotor()
    hover = torch.tensor([[problem.mass * problem.gravity, 0.0, 0.0, 0.0]])
    z0 = torch.zeros(1, 12)
    path = rollout(problem, lambda t, z: hover, z0)
    torch.testing.assert_close(path.z[-1], z0, atol=1e-6, rtol=0)
    torch.testing.assert_close(path.running_cost, torch.exp(0.5 * hover.square().sum(-1)) * 4.5)


def test_free_fall_is_exact():
    problem = Quadrotor()
    path = rollout(problem, lambda t, z: torch.zeros(len(z), 4), torch.zeros(1, 12, dtype=torch.float64))
    assert path.z[-1, 0, 2].item() == pytest.approx(-0.5 * 4.5**2)
    assert path.running_cost.item() == pytest.approx(4.5)


def test_fourth_order():
    problem = DoubleIntegrator()

    class Spring(DoubleIntegrator):
        def dynamics(self, t, z, u):
            return torch.stack([z[..., 1], -z[..., 0]], -1)

    z0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    exact = torch.tensor([np.cos(2.0), -np.sin(2.0)])
    errors = []
    for steps in (20, 40, 80):
        path = rollout(Spring(), lambda t, z: torch.zeros(1, 1, dtype=z.dtype), z0, steps)
        errors.append((path.z[-1, 0] - exact).norm().item())
    assert 14 < errors[0] / errors[1] < 18 and 14 < errors[1] / errors[2] < 18
    assert problem.steps == 20


def test_controller_is_called_once_a_step_with_time_and_state():
    calls = []

    def controller(t, z):
        calls.append((t.item(), z.shape))
        return torch.zeros(3, 1)

    path = rollout(DoubleIntegrator(), controller, torch.randn(3, 2))
    assert [round(t, 6) for t, _ in calls] == [round(0.1 * k, 6) for k in range(20)]
    assert path.t.shape == (21,) and path.z.shape == (21, 3, 2) and path.u.shape == (20, 3, 1)
    torch.testing.assert_close(path.cost, path.running_cost + path.terminal_cost)


def test_gradient_flows_through_the_rollout():
    problem = DoubleIntegrator()
    gain = torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True)
    z0 = torch.tensor([[1.0, 0.5]], dtype=torch.float64)

    def cost(k):
        return rollout(problem, lambda t, z: -(z @ k).unsqueeze(-1), z0).cost.sum()

    assert torch.autograd.gradcheck(cost, (gain,))


@pytest.mark.parametrize("problem", [Quadrotor(), DoubleIntegrator()])
def test_samples_follow_the_generator(problem):
    a, b = (problem.sample_initial_state(5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b) and a.shape == (5, problem.state_dim)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"horizon": -1.0}, "horizon"),
        ({"horizon": float("inf")}, "horizon"),
        ({"steps": 0}, "steps"),
        ({"mass": 0.0}, "mass"),
        ({"target": (1.0, 2.0)}, "target"),
        ({"initial_scale": -0.1}, "initial_scale"),
    ],
)
def test_refused_constants(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Quadrotor(**fields)


def test_refused_bounds():
    @dataclasses.dataclass(frozen=True)
    class Wrong(DoubleIntegrator):
        control_low: float = 1.0
        control_high: float = 1.0

    with pytest.raises(ValueError, match="not below"):
        Wrong()
    with pytest.raises(ValueError, match="finite"):
        Wrong(control_low=float("-inf"))


@pytest.mark.parametrize(
    ("z0", "sentence"),
    [
        (torch.zeros(4, 3), "state_dim 12"),
        (torch.zeros(12), "shape"),
        (np.zeros((4, 3)), "state_dim 12"),
        ([[0.0] * 12, [0.0] * 11], "list of no numbers"),
        ("quadrotor", "str of no numbers"),
        (np.full((4, 12), None), "ndarray of no numbers"),
        (None, "NoneType of no numbers"),
        (torch.zeros(4, 12, dtype=torch.int64), "dtype"),
        (torch.full((4, 12), float("nan")), "index 0"),
    ],
)
def test_refused_states(z0, sentence):
    with pytest.raises(ValueError, match=sentence):
        rollout(Quadrotor(), lambda t, z: torch.zeros(4, 4), z0)


def test_refused_controller_and_steps():
    with pytest.raises(ValueError, match=r"expected \(3, 1\)"):
        rollout(DoubleIntegrator(), lambda t, z: torch.zeros(3), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="steps"):
        rollout(DoubleIntegrator(), lambda t, z: torch.zeros(3, 1), torch.zeros(3, 2), steps=0)


def test_names():
    assert isinstance(make_problem("quadrotor"), Quadrotor)
    made = make_problem("pontryagin.envs.double_integrator:DoubleIntegrator")
    assert made == DoubleIntegrator()
    for wrong in ("quadcopter", "pontryagin:nothing", "no.such.module:X", "math:pi"):
        with pytest.raises(ValueError, match=wrong.split(":")[0]):
            make_problem(wrong)


def test_one_step_matches_the_rollout():
    problem = Quadrotor(steps=5)
    z0, u = torch.randn(3, 12), torch.rand(3, 4)
    z1, cost = advance(problem, torch.tensor(0.0), z0, u, problem.time_step)
    path = rollout(problem, lambda t, z: u, z0)
    assert torch.equal(path.z[1], z1) and (cost > 0).all()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"state_block": 3}, "state_block is 3; expected a divisor of state_dim 2"),
        ({"control_block": 2}, "control_block is 2; expected a divisor of control_dim 1"),
        ({"start_scale": (1.0, -1.0)}, "start_scale"),
        ({"start_scale": (1.0, 1.0, 1.0)}, "start_scale has shape"),
    ],
)
def test_refused_blocks_and_scales(fields, sentence):
    kind = type("Odd", (DoubleIntegrator,), fields)
    with pytest.raises(ValueError, match=sentence):
        kind()


def test_the_scale_at_the_start_fades():
    """p is as sensitive as start_scale says at t = 0 and as state_scale says at T."""
    from pontryagin import ValueFunction

    problem = type("Swift", (DoubleIntegrator,), {"start_scale": (1.0, 0.1)})()
    value = ValueFunction(problem, 4, seed=0)
    for weight in value.parameters():
        weight.data.zero_()
    value.linear.data[1] = 1.0
    z = torch.zeros(1, 2)
    early, late = (value.gradient(t, z)[1][0] for t in (0.0, problem.horizon))
    torch.testing.assert_close(early, torch.tensor([0.0, 10.0]))
    torch.testing.assert_close(late, torch.tensor([0.0, 1.0]), atol=0.01, rtol=0)


@pytest.mark.parametrize("names", ["angle", ("angle (rad)",), ("a", "b", "c"), (1, 2), ("", "b"), 3])
def test_names_are_one_for_each_state(names):
    with pytest.raises(ValueError, match=r"Named.state_names is .*expected 2 texts such as 'angle \(rad\)'"):
        dataclasses.dataclass(frozen=True)(type("Named", (DoubleIntegrator,), {"state_names": names}))()


def test_names_and_units_as_declared_by_agent_or_numbered():
    from pontryagin import CoupledControls, MultiBicycle
    from pontryagin.envs.names import control_labels, shown_controls, shown_states, state_labels

    assert state_labels(Quadrotor())[::6] == [("x", "length"), ("x_rate", "length/time")]
    assert control_labels(MultiBicycle(2))[2] == ("steering_1", "rad") and len(state_labels(MultiBicycle(2))) == 8
    assert shown_states(MultiBicycle(2))[4:6] == ["x_1 (length)", "y_1 (length)"]
    assert state_labels(CoupledControls(size=2)) == [("z0", ""), ("z1", "")]
    assert shown_controls(CoupledControls(size=2)) == ["$u_{1}$", "$u_{2}$"]


def test_an_infinite_bound_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"control_high is inf; expected finite numbers: .*take more than is ever"):
        dataclasses.dataclass(frozen=True)(type("Free", (DoubleIntegrator,), {"control_high": np.inf}))()
