"""The observer in other loops than ours: another rhythm, simulators, planners, rows that begin anew, bad memories."""

import numpy as np
import pytest
import torch
from test_observer import PROBLEM, gentle, starts

import pontryagin
from pontryagin import Channel, ControllerPolicy, Observer, Quadrotor, Waypoints, rollout, simulate
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.envs.integrate import advance


@pytest.mark.parametrize("steps", [20, 80])
def test_another_rhythm_of_answers_is_noticed(steps):
    observer = Observer(ControllerPolicy(PROBLEM, gentle))
    bare, observed = (rollout(PROBLEM, c, starts(), steps=steps).z for c in (gentle, observer))
    torch.testing.assert_close(observed, bare, rtol=0, atol=1e-12)


class Model:
    """The model as a plant."""

    def __init__(self, problem):
        self.problem = problem

    def reset(self, z0):
        self.z, self.t = torch.as_tensor(z0).unsqueeze(0), 0.0

    def read_state(self):
        return self.z[0].numpy().copy()

    def write_control(self, u):
        self.u = torch.as_tensor(u).unsqueeze(0)

    def advance(self, dt):
        for _ in range(4):
            self.z = advance(self.problem, torch.tensor(self.t), self.z, self.u, dt / 4)[0]
            self.t += dt / 4


def test_a_plant_that_asks_more_often_and_points_on_the_way():
    problem = Quadrotor(steps=10, horizon=1.0)
    inner = ControllerPolicy(problem, gentle)
    z0 = starts(1)
    rate = 2 * problem.steps / problem.horizon
    bare, observed = (simulate(problem, Model(problem), c, z0, rate=rate).z for c in (inner, Observer(inner)))
    torch.testing.assert_close(observed, bare, rtol=0, atol=1e-7)
    looked = []

    class Counted(Observer):
        def _look(self, *given):
            looked.append(1)
            return super()._look(*given)

    tour = Waypoints(Counted(inner, Channel(delay=1)), [(0.1, 0.0, 0.0)])
    simulate(tour.problem, Model(tour.problem), tour, z0)
    assert len(looked) == problem.steps - 1  # all answers but the first know the last


def test_the_rows_of_a_planner_keep_their_places():
    problem = DoubleIntegrator()
    planner = pontryagin.RecedingHorizon(problem, every=4)
    z = problem.sample_initial_state(3, torch.Generator().manual_seed(0)).numpy()
    answers = []
    for controller in (ControllerPolicy(problem, planner), Observer(ControllerPolicy(problem, planner), Channel())):
        memory = None
        for k in range(3):
            t = np.full((3, 1), k * problem.time_step, np.float32)
            _, memory = controller.predict(np.concatenate([z, t], -1), memory)
        t = np.array([[0.0], [3 * problem.time_step], [3 * problem.time_step]], np.float32)
        answers.append(controller.predict(np.concatenate([z, t], -1), memory, np.array([True, False, False]))[0])
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)


def test_a_second_flight_begins_anew():
    observer = Observer(ControllerPolicy(PROBLEM, gentle), Channel(noise=0.05)).begin()
    rollout(PROBLEM, observer.__call__, starts())
    again = rollout(PROBLEM, observer.__call__, starts() + 0.3).z
    torch.testing.assert_close(again[1], rollout(PROBLEM, gentle, starts() + 0.3).z[1])


def test_what_is_believed_to_act_is_what_can():
    observer = Observer(ControllerPolicy(PROBLEM, lambda t, z: z.new_full((len(z), 4), 50.0)), Channel(delay=1)).begin()
    u = observer(0.0, starts())
    assert (u <= PROBLEM.control_bounds(u)[1]).all()
    assert (observer.belief.acting == u.unsqueeze(1)).all()


def test_modules_of_another_precision_and_no_states_at_all():
    law = torch.nn.Sequential(torch.nn.Linear(12, 4, dtype=torch.float64))

    class Law(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = law

        def forward(self, t, z):
            return self.net(z)

    inner = ControllerPolicy(PROBLEM, Law())
    observation = np.zeros((2, 13), np.float32)
    np.testing.assert_allclose(Observer(inner).predict(observation)[0], inner.predict(observation)[0], atol=1e-6)
    observer = Observer(ControllerPolicy(PROBLEM, gentle))
    assert rollout(PROBLEM, observer, starts()[:0]).z.shape == (41, 0, 12)
    nothing, memory = observer.predict(np.zeros((0, 13), np.float32))
    assert nothing.shape == (0, 4) and memory is None


def test_numbers_of_numpy_and_the_memory_of_another():
    inner = ControllerPolicy(PROBLEM, gentle)
    assert Channel(noise=np.full(12, 0.1)) == Channel(noise=(0.1,) * 12)
    assert hash(Channel(noise=[0.1] * 12)) and Observer(inner, Channel(noise=np.float32(0.5))).channels[0].noise == 0.5
    _, memory = Observer(inner, [Channel(), Channel(delay=1)]).predict(np.zeros((1, 13), np.float32))
    other = Observer(inner, [Channel(), Channel(delay=4)])
    with pytest.raises(ValueError, match="state is of another observer"):
        other.predict(np.zeros((1, 13), np.float32), memory)
