"""One policy for every target, through points, and on after the horizon."""

import dataclasses

import numpy as np
import pytest
import torch

from pontryagin import (
    ControllerPolicy,
    Crazyflie,
    DoubleIntegrator,
    ImplicitPolicy,
    LinearQuadraticRegulator,
    MultiBicycle,
    OptimalControlEnv,
    Quadrotor,
    Towards,
    ValueFunction,
    Waypoints,
    evaluate,
    rollout,
    simulate,
)
from pontryagin.envs.states import draw_states

DRONE = Crazyflie()
POINTS = [(1.0, 0.0, 0.5), (1.0, 1.0, 1.0), (-0.5, 0.5, 0.2)]


@pytest.fixture(scope="module")
def shipped():
    return ImplicitPolicy.load("quadrotor", device="cpu")


@pytest.fixture(scope="module")
def regulator():
    """Linear feedback of the hover at the target: it flies a metre well, and holds it."""
    return LinearQuadraticRegulator(DRONE)


def test_another_target_is_the_same_flight_shifted(shipped):
    there = shipped.to(target=(-1.0, 3.0, 2.0))
    assert isinstance(there, Towards) and there.problem.target == (-1.0, 3.0, 2.0)
    shift = torch.zeros(12)
    shift[:3] = torch.tensor([-3.0, 1.0, 1.0])
    z0 = draw_states(shipped.problem, 4, 0)
    with torch.no_grad():
        here, moved = rollout(shipped.problem, shipped, z0), rollout(there.problem, there, z0 + shift)
    torch.testing.assert_close(moved.cost, here.cost, rtol=1e-4, atol=0)
    torch.testing.assert_close(moved.z, here.z + shift, rtol=0, atol=1e-3)
    assert evaluate(there.problem, there, z0 + shift).success.all()
    assert (
        shipped.to("cpu") is shipped and shipped.to(dtype=torch.float32) is shipped and there(0.0, z0[0]).shape == (4,)
    )


def test_it_predicts_with_the_memory_of_the_policy(shipped):
    there = shipped.to(target=(2.0, 2.0, 3.0))
    env = OptimalControlEnv(there.problem)
    start = np.zeros(12, np.float32)
    start[2] = 2.0
    observation, _ = env.reset(options={"state": start})
    paid, done, memory = 0.0, False, None
    while not done:
        action, memory = there.predict(observation, memory)
        observation, reward, done, _, info = env.step(action)
        paid -= reward
    assert info["is_success"] and 15 < paid < 18 and memory[0].shape == (1, 2, 4)


def test_a_list_of_points_is_flown(regulator):
    tour = Waypoints(regulator, POINTS)
    assert tour.problem.horizon == 6.0 and tour.problem.steps == 300 and tour.problem.target == POINTS[-1]
    z0 = torch.zeros(2, 12, dtype=torch.float64)
    z0[1, 0] = 0.3
    path = rollout(tour.problem, tour, z0)
    for k, point in enumerate(POINTS):
        reached = (path.z[100 * (k + 1), :, :3] - torch.tensor(point)).norm(dim=-1)
        assert (reached < DRONE.success_radius).all(), (k, reached)
    leg = rollout(DRONE, regulator, z0 - torch.tensor([*POINTS[0]] + [0.0] * 9))
    torch.testing.assert_close(path.u[:100], leg.u, rtol=1e-9, atol=1e-12)  # the first leg is the policy's own flight
    observations = np.concatenate([path.z[150].numpy(), np.full((2, 1), 3.0)], -1).astype(np.float32)
    low, high = DRONE.thrust_low, DRONE.thrust_high
    action = tour.predict(observations)[0]
    np.testing.assert_allclose(low + 0.5 * (action + 1) * (high - low), path.u[150].numpy(), atol=1e-5)


def test_every_state_may_have_a_time_of_its_own(regulator):
    tour = Waypoints(regulator, POINTS, then=regulator, stay=1.0)
    z, t = (
        0.1 * torch.randn(5, 12, generator=torch.Generator().manual_seed(0)).double(),
        torch.tensor([0, 1.9, 2, 5, 6.5]),
    )
    together = tour(t, z)
    for k in range(5):
        torch.testing.assert_close(together[k], tour(float(t[k]), z[k]))


def test_after_the_horizon_nothing_is_answered_unless_it_is_said_what(regulator, shipped):
    z = torch.zeros(1, 12)
    for policy, late in ((regulator, 2.1), (shipped, 4.6), (Waypoints(regulator, POINTS), 6.1)):
        with pytest.raises(ValueError, match="expected a time in"):
            policy(late, z)
    assert torch.equal(Waypoints(regulator, POINTS)(6.0, z), Towards(regulator, POINTS[-1])(2.0, z))


@pytest.mark.parametrize("then", ["again", "regulator"])
def test_it_stays_where_it_went(then, regulator):
    tour = Waypoints(regulator, POINTS[:1], then="again" if then == "again" else regulator, stay=3.0)
    path = rollout(tour.problem, tour, torch.zeros(1, 12, dtype=torch.float64))
    assert tour.problem.horizon == 5.0 and len(path.u) == 250
    away = tour.problem.terminal_error(path.z[100:, 0])
    assert away.max() < DRONE.success_radius and away[-1] < 0.01
    torch.testing.assert_close(path.u[-1, 0], torch.full((4,), DRONE.hover).double(), atol=1e-3, rtol=0)


def test_what_follows_may_be_another_controller(shipped):
    """A quadrotor that is flown by the implicit policy, and held by a constant thrust and a damper afterwards."""
    asked = []

    def damper(t, z):
        asked.append((float(t), float(z[0, 0])))
        return torch.cat([torch.full_like(z[:, :1], 99.0), -z[:, 3:6] - z[:, 9:12]], -1)

    tour = Waypoints(shipped, [(0.0, 0.0, 1.0)], then=damper, stay=4.5)
    with torch.no_grad():
        path = rollout(tour.problem, tour, torch.zeros(1, 12))
    assert len(asked) == 160 and asked[0][0] == 0 and asked[-1][0] == pytest.approx(4.5 * 159 / 160, rel=1e-4)
    assert asked[0][1] == pytest.approx(2.0 + float(path.z[160, 0, 0]), rel=1e-5)  # as if the target were its own
    assert (path.u[160:, 0, 0] == 3).all()  # within the bounds


def test_a_tour_flies_in_a_plant(regulator):
    class Model:
        """The model itself, on its own step, as somebody else's simulator."""

        def reset(self, z0):
            self.z = torch.from_numpy(z0)[None]

        def read_state(self):
            return self.z[0].numpy()

        def write_control(self, u):
            self.u = torch.from_numpy(u)[None]

        def advance(self, dt):
            slice_ = dataclasses.replace(DRONE, horizon=dt, steps=1)
            self.z = rollout(slice_, lambda t, z: self.u, self.z).z[-1]

    tour = Waypoints(regulator, POINTS[:2], then="again", stay=0.5)
    path = simulate(tour.problem, Model(), tour, torch.zeros(1, 12).double())
    assert (tour.problem.terminal_error(path.z[-1]) < DRONE.success_radius).all() and path.t[-1] == 4.5


def test_a_held_policy_is_told_for_how_long():
    """In a plant that asks half as often as the problem does, at another target."""
    value = ValueFunction(DRONE, 4, seed=0)
    policy = ImplicitPolicy(DRONE, value, max_iterations=1, hamiltonian="held").double()
    z = torch.zeros(1, 12).double()
    tour = Waypoints(policy, POINTS, then="again", stay=1.0)
    assert [leg.policy.dt for leg in tour.held_over(0.04).legs] == [0.04] * 3
    assert tour.held_over(0.04).after.dt == 0.04 and policy.dt == 0.02
    plain, longer = (policy.held_over(dt).to(target=POINTS[0])(0.0, z) for dt in (0.02, 0.04))
    torch.testing.assert_close(policy.to(target=POINTS[0]).held_over(0.04)(0.0, z), longer)
    assert not torch.equal(plain, longer)


@dataclasses.dataclass(frozen=True)
class Windy(Crazyflie):
    def dynamics(self, t, z, u):
        return super().dynamics(t, z, u) + 0.1 * z.narrow(-1, 0, 1)


@dataclasses.dataclass(frozen=True)
class Tidal(Crazyflie):
    def dynamics(self, t, z, u):
        return super().dynamics(t, z, u) + 0.1 * torch.as_tensor(t).sin()


def test_what_cannot_be_shifted_is_refused(regulator):
    def still(problem):
        return ControllerPolicy(problem, lambda t, z: z.new_full((len(z), problem.control_dim), 0.1))

    for make, said in (
        (lambda: Towards(still(DoubleIntegrator()), (0.0,)), "no target that could be moved"),
        (lambda: Towards(still(MultiBicycle()), (0.0, 1.0)), "no target that could be moved"),
        (lambda: Towards(still(Windy()), (1.0, 0.0, 0.0)), "depends on where it is"),
        (lambda: Waypoints(still(Tidal()), [(1.0, 0.0, 0.0)]), "depends on the time"),
        (lambda: Towards(lambda t, z: z, (0.0, 0.0, 0.0)), "without a problem"),
        (lambda: Towards(regulator, (0.0, 1.0)), "expected 3 finite coordinates"),
        (lambda: Towards(regulator, (0.0, 1.0, float("nan"))), "expected 3 finite coordinates"),
        (lambda: Waypoints(regulator, []), "expected one target or more"),
        (lambda: Waypoints(regulator, POINTS, then="again"), "expected both or neither"),
        (lambda: Waypoints(regulator, POINTS, stay=1.0), "expected both or neither"),
        (lambda: Waypoints(regulator, POINTS, then="again", stay=0.03), "multiple of the control step"),
        (lambda: Waypoints(regulator, POINTS, then="hover", stay=1.0), "callable"),
    ):
        with pytest.raises(ValueError, match=said):
            make()
    Towards(still(Quadrotor()), (0.0, 0.0, 0.0))
