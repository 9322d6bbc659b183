"""Each disturbance does what it says, by the same random numbers for everybody, and nothing at its calm level."""

import dataclasses
import math

import pytest
import torch

from pontryagin import Crazyflie, DoubleIntegrator, MultiBicycle, Quadrotor, rollout
from pontryagin.training.benchmark.plots import robustness_figure
from pontryagin.training.benchmark.robustness import robustness
from pontryagin.training.disturbances import blown, disturbances

QUADROTOR, BICYCLES, DRONE = Quadrotor(steps=20), MultiBicycle(steps=20), Crazyflie(horizon=0.4, steps=20)


def hover(t, z):
    u = torch.zeros(len(z), 4)
    u[:, 0] = 0.5
    return u


def coast(t, z):
    return torch.zeros(len(z), z.shape[1] // 2)


def still(t, z):
    return torch.full((len(z), 4), DRONE.hover)


def starts(problem, count=6):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(0))


def fly(problem, controller, name, level, seed=0):
    case = disturbances(problem)[name].apply(problem, controller, starts(problem), level, seed)
    return rollout(case.problem, case.controller, case.z0)


@pytest.mark.parametrize(("problem", "controller"), [(QUADROTOR, hover), (BICYCLES, coast), (DRONE, still)])
@pytest.mark.parametrize("name", ["wind", "push", "delay", "noise", "starts", "mass"])
def test_the_calm_level_changes_nothing(problem, controller, name):
    calm = rollout(problem, controller, starts(problem))
    same = fly(problem, controller, name, disturbances(problem)[name].calm)
    torch.testing.assert_close(same.z, calm.z)
    torch.testing.assert_close(same.cost, calm.cost)


def test_a_push_changes_the_velocity_by_its_level_within_one_step():
    calm, pushed = rollout(QUADROTOR, hover, starts(QUADROTOR)), fly(QUADROTOR, hover, "push", 0.7)
    change = (pushed.z - calm.z)[..., 6:9].norm(dim=-1)
    assert (change[:11] == 0).all()
    torch.testing.assert_close(change[11], torch.full((6,), 0.7), rtol=1e-4, atol=1e-5)
    bicycles = (fly(BICYCLES, coast, "push", 0.7).z - rollout(BICYCLES, coast, starts(BICYCLES)).z)[11]
    torch.testing.assert_close(bicycles[:, list(blown(BICYCLES))].norm(dim=-1), torch.full((6,), 0.7))
    assert (bicycles.unflatten(-1, (5, 4))[..., 2:] == 0).all()


def test_a_heavier_drone_falls():
    height = [fly(DRONE, still, "mass", level).z[-1, :, 2] for level in (1.0, 1.2)]
    assert (height[1] < height[0] - 0.05).all()


def test_gusts_have_their_strength_and_their_memory():
    problem = Quadrotor(steps=400)
    z0 = torch.zeros(200, 12)
    case = disturbances(problem)["wind"].apply(problem, hover, z0, 0.3)
    forces = []
    rollout(case.problem, lambda t, z: (case.controller(t, z), forces.append(case.problem.force[:, 6:9]))[0], z0)
    gusts = torch.stack(forces)
    assert float(gusts.std()) == pytest.approx(0.3, rel=0.03)
    later = round(0.5 / problem.time_step)
    assert float((gusts[later:] * gusts[:-later]).mean() / 0.09) == pytest.approx(math.exp(-1), abs=0.04)


def test_lag_follows_a_step_by_its_time_constant():
    def step(t, z):
        return torch.full((len(z), 4), float(t > 0.01))

    path = fly(QUADROTOR, step, "lag", 0.5)
    expected = 1 - torch.exp(-path.t[:-1] / 0.5)
    torch.testing.assert_close(path.u[:, 0, 2], expected, atol=1e-5, rtol=1e-5)


def test_delayed_controls_are_those_of_earlier_steps_each_flight_by_its_own():
    def ramp(t, z):
        return torch.full((len(z), 4), float(t))

    late = fly(QUADROTOR, ramp, "delay", torch.tensor([[0.0], [1.0], [2.0], [3.0], [1.4], [0.4]]))
    steps = torch.tensor([0, 1, 2, 3, 1, 0])
    expected = (torch.arange(20).unsqueeze(-1) - steps).clamp_min(0) * QUADROTOR.time_step
    torch.testing.assert_close(late.u[..., 0], expected.float())


@pytest.mark.parametrize(("problem", "controller"), [(QUADROTOR, hover), (BICYCLES, coast), (DRONE, still)])
@pytest.mark.parametrize("name", ["wind", "push", "lag", "delay", "noise", "starts", "mass"])
def test_levels_may_differ_from_flight_to_flight(problem, controller, name):
    def reacting(t, z):
        return controller(t, z) + 0.01 * (1 + t) * z[:, :1]

    levels = disturbances(problem)[name].levels[:2]
    both = fly(problem, reacting, name, torch.tensor([[levels[0]], [levels[1]]]).repeat(3, 1))
    for first, level in enumerate(levels):
        one = fly(problem, reacting, name, level)
        torch.testing.assert_close(both.z[:, first::2], one.z[:, first::2], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both.cost[first::2], one.cost[first::2], rtol=1e-4, atol=1e-5)


def test_noise_reaches_the_controller_and_not_the_plant():
    seen = []

    def watching(t, z):
        seen.append(z)
        return hover(t, z)

    path = fly(QUADROTOR, watching, "noise", 0.05)
    torch.testing.assert_close(path.z, rollout(QUADROTOR, hover, starts(QUADROTOR)).z)
    assert float((torch.stack(seen) - path.z[:-1]).std()) == pytest.approx(0.05, rel=0.1)


def test_other_masses_and_wheelbases_reach_the_plant():
    tilted = starts(QUADROTOR)
    for level in (0.8, 1.2):
        case = disturbances(QUADROTOR)["mass"].apply(QUADROTOR, hover, tilted, level)
        f, g = (p.dynamics(torch.zeros(()), tilted, hover(0, tilted)) for p in (case.problem, QUADROTOR))
        torch.testing.assert_close(f[:, 6:8] * level, g[:, 6:8])
        bicycles = disturbances(BICYCLES)["mass"].apply(BICYCLES, coast, starts(BICYCLES), level).problem
        assert bicycles.wheelbase == pytest.approx(level * 0.05)
    assert "mass" not in disturbances(DoubleIntegrator())


def test_starts_lie_further_from_their_mean():
    near, far = starts(QUADROTOR), fly(QUADROTOR, hover, "starts", 3.0).z[0]
    torch.testing.assert_close(far.norm(dim=-1) / near.norm(dim=-1), torch.full((6,), 3.0), rtol=0.1, atol=0.1)
    headings = fly(BICYCLES, coast, "starts", 3.0).z[0].unflatten(-1, (5, 4))[..., 2:]
    torch.testing.assert_close(headings, torch.full_like(headings, 0.1))


@pytest.mark.parametrize("name", ["wind", "push", "noise"])
def test_everybody_meets_the_same_numbers(name):
    level = disturbances(QUADROTOR)[name].levels[-1]
    seen = []

    def reacting(t, z):
        return hover(t, z) + 0.1 * z[:, :1]

    for controller, seed in ((reacting, 0), (reacting, 0), (reacting, 1)):
        seen.append(fly(QUADROTOR, controller, name, level, seed).z)
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_robustness_has_a_row_per_level_and_bears_what_is_not_finite():
    z0 = starts(QUADROTOR)
    path = rollout(QUADROTOR, hover, z0)

    def fragile(t, z):
        if z.abs().max() > path.z.abs().max() + 0.1:
            raise ValueError("the state is far out")
        return hover(t, z)

    found = robustness(QUADROTOR, fragile, z0)
    assert set(found) == set(disturbances(QUADROTOR))
    mass = [row["level"] for row in found["mass"]]
    assert mass == sorted(mass) == [0.8, 0.9, 1.0, 1.1, 1.2]
    calm = float(path.cost.double().mean())
    assert found["wind"][0]["cost_mean"] == found["mass"][2]["cost_mean"] == pytest.approx(calm, rel=1e-5)
    assert found["push"][-1] == {
        "level": 1.0, "cost_mean": None, "cost_median": None, "terminal_error_mean": None, "success_rate": 0.0
    }  # fmt: skip


def test_the_figure_bears_a_disturbance_under_which_nobody_has_a_mean_cost():
    lost = [{"level": level, "cost_mean": cost, "success_rate": 0.0} for level, cost in ((0.0, None), (1.0, 1e30))]
    told = [{"level": level, "cost_mean": 1.0 + level, "success_rate": 1.0} for level in (0.0, 1.0)]
    figure = robustness_figure(QUADROTOR, "quadrotor", {"sac": [{"robustness": {"wind": lost, "push": told}}]})
    scales = {axis.get_title(): axis.get_yscale() for axis in figure.axes}
    assert scales == {"wind": "linear", "push": "log"}
    figure.canvas.draw()


def test_success_is_that_of_the_problem():
    near = dataclasses.replace(QUADROTOR, target=(0.0, 0.0, 0.0))
    rows = robustness(near, hover, torch.zeros(4, 12))["push"]
    assert rows[0]["success_rate"] == 1.0 and rows[-1]["success_rate"] == 0.0


def test_who_remembers_within_an_episode_does_so_in_each_disturbed_one():
    begun = []

    class Remembers:
        def __call__(self, t, z):
            pytest.fail("an episode was to begin")

        def begin(self):
            begun.append(self)
            return hover

    told = robustness(QUADROTOR, Remembers(), starts(QUADROTOR))
    assert len(begun) == 1 + sum(len(kind.levels) for kind in disturbances(QUADROTOR).values())
    assert told == robustness(QUADROTOR, hover, starts(QUADROTOR))
