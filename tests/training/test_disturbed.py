"""Training under disturbances: the gradient through them, what is drawn, and that nothing is without them."""

import dataclasses
import importlib

import pytest
import torch

from pontryagin import Crazyflie, DoubleIntegrator, MultiBicycle, Quadrotor, TrainConfig, rollout, train
from pontryagin.training.direct import train_direct
from pontryagin.training.disturbances import Case, disturbances
from pontryagin.training.disturbed import Disturbed, drawn_flights, make_flights
from pontryagin.training.loss import path_loss
from pontryagin.training.train import begin, iterate, make_value

ALL = "wind=0.1,push=0.25,lag=0.1,delay=2,noise=0.02,starts=1.5,mass=0.8:1.2"
QUADROTOR, BICYCLES = Quadrotor(steps=8), MultiBicycle(num_agents=2, steps=8)
SMALL = TrainConfig(width=8, rank=2, batch=6, validation_states=4, validate_every=3, iterations=6, seed=3)


def flown(problem, value, config, seed=5):
    """The loss under what is drawn with ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    z0 = problem.sample_initial_state(8, generator).to(value.scale)
    step, z0 = drawn_flights(make_flights(problem, value, config), problem, z0, generator)
    return path_loss(problem, value, step, z0, config).total


@pytest.mark.parametrize(
    ("problem", "hamiltonian"),
    [
        (QUADROTOR, "continuous"), (BICYCLES, "continuous"), (QUADROTOR, "held"), (BICYCLES, "held"),
        (Crazyflie(horizon=0.16, steps=8), "continuous"),
    ],
)  # fmt: skip
def test_the_gradient_under_a_fixed_disturbance_is_that_of_finite_differences(problem, hamiltonian):
    config = dataclasses.replace(
        SMALL, disturb=ALL, disturb_share=1.0, hamiltonian=hamiltonian, gradient="implicit", argmax_iterations=40,
        argmax_tolerance=0.0, width=4, rank=2,
    )  # fmt: skip
    value = make_value(problem, config).double()
    weights = list(value.parameters())
    slopes = torch.autograd.grad(flown(problem, value, config), weights, allow_unused=True)
    generator = torch.Generator().manual_seed(1)
    along = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    expected = sum(float((s * d).sum()) for s, d in zip(slopes, along, strict=True) if s is not None)
    ends = []
    for sign in (1e-6, -2e-6):
        with torch.no_grad():
            for w, d in zip(weights, along, strict=True):
                w.add_(d, alpha=sign)
            ends.append(float(flown(problem, value, config)))
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected, rel=2e-4, abs=1e-7)


def test_without_a_disturbance_nothing_is_drawn_and_the_step_is_the_plain_one():
    value = make_value(QUADROTOR, SMALL)
    flights = make_flights(QUADROTOR, value, SMALL)
    generator = torch.Generator().manual_seed(0)
    before, z0 = generator.get_state(), torch.zeros(3, 12)
    step, begun = drawn_flights(flights, QUADROTOR, z0, generator)
    assert step is flights and torch.equal(begun, z0) and torch.equal(generator.get_state(), before)
    calm = dataclasses.replace(SMALL, disturb=ALL, disturb_share=1e-9)  # drawn, and met by nobody
    torch.testing.assert_close(flown(QUADROTOR, value, calm), flown(QUADROTOR, value, SMALL))


def test_flights_meet_what_the_benchmark_measures_with():
    config = dataclasses.replace(SMALL, disturb="noise=0.02:0.02", disturb_share=1.0)
    answer = lambda t, z, dt: None  # noqa: E731
    case = Disturbed(BICYCLES, config, answer, torch.device("cpu"))
    seen = []

    def watching(t, z):
        seen.append(z)
        return z[:, :4]

    z0 = BICYCLES.sample_initial_state(500, torch.Generator().manual_seed(0))
    made = case.case(Case(BICYCLES, watching, z0), torch.Generator().manual_seed(2))
    path = rollout(made.problem, made.controller, made.z0)
    assert float((torch.stack(seen) - path.z[:-1]).std()) == pytest.approx(0.02, rel=0.02)


def test_a_share_of_the_flights_meets_one_of_them_each():
    config = dataclasses.replace(SMALL, disturb="starts=3:3,mass=1.5:1.5", disturb_share=0.5)
    z0 = 1 + torch.zeros(4000, 12)
    made = Disturbed(QUADROTOR, config, lambda t, z, dt: None, torch.device("cpu")).case(
        Case(QUADROTOR, lambda t, z: z, z0), torch.Generator().manual_seed(0)
    )
    far, heavy = (made.z0[:, 0] > 2), made.problem.mass[:, 0] > 0.7
    assert float(far.float().mean()) == pytest.approx(0.25, abs=0.03) == float(heavy.float().mean())
    assert not (far & heavy).any()


@pytest.mark.parametrize("start", [train, train_direct])
def test_a_run_is_seeded_and_goes_on_where_it_stopped(tmp_path, monkeypatch, start):
    config = dataclasses.replace(SMALL, disturb=ALL)
    policy, history = start(QUADROTOR, config)
    again, _ = start(QUADROTOR, dataclasses.replace(config, out=tmp_path))
    other, _ = start(QUADROTOR, dataclasses.replace(config, disturb="noise=0.02"))
    assert all("undisturbed_cost" in row for row in history.rows)
    weights, same, unlike = (torch.cat([w.ravel() for w in p.state_dict().values()]) for p in (policy, again, other))
    assert torch.equal(weights, same) and not torch.equal(weights, unlike)
    training = importlib.import_module("pontryagin.training.train")

    def cut_short(course, config, progress, *rest):
        if progress.iteration == 4:
            raise OSError("the machine is gone")
        return iterate(course, config, progress, *rest)

    config = dataclasses.replace(config, out=tmp_path / "cut", checkpoint_seconds=1e-9)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="gone"):
        broken.setattr(training, "iterate", cut_short)
        start(QUADROTOR, config)
    resumed, _ = start(QUADROTOR, dataclasses.replace(config, resume=True))
    assert torch.equal(torch.cat([w.ravel() for w in resumed.state_dict().values()]), weights)


def test_a_gradient_steps_through_every_disturbance():
    config = dataclasses.replace(SMALL, disturb=ALL, disturb_share=1.0)
    progress = begin(BICYCLES, config, torch.device("cpu"))
    loss, size = iterate(
        BICYCLES, config, progress, make_flights(BICYCLES, progress.value, config), 0.5, torch.device("cpu")
    )
    assert loss.total.isfinite() and 0 < size < float("inf")


@pytest.mark.parametrize("start", [train, train_direct])
def test_what_the_problem_does_not_have_is_refused_before_anything_runs(start):
    with pytest.raises(ValueError, match=r"TrainConfig.disturb has 'gale'; for Quadrotor expected some of wind, push"):
        start(QUADROTOR, dataclasses.replace(SMALL, disturb="gale=1"))
    assert "mass" not in disturbances(DoubleIntegrator())
    with pytest.raises(ValueError, match="TrainConfig.disturb has 'mass'"):
        start(DoubleIntegrator(), dataclasses.replace(SMALL, disturb="mass=1.1"))


@pytest.mark.slow
def test_who_was_trained_with_noise_flies_more_cheaply_with_it_and_no_more_cheaply_without():
    problem = DoubleIntegrator()
    config = TrainConfig(width=16, depth=0, iterations=400, batch=64, learning_rate=2e-2, validate_every=200)
    noise = dataclasses.replace(config, disturb="noise=0.6:0.6", disturb_share=1.0)
    z0 = problem.sample_initial_state(1024, torch.Generator().manual_seed(9))
    cost = {}
    for name, trained_with in (("calm", config), ("noise", noise)):
        policy, _ = train_direct(problem, trained_with)
        case = disturbances(problem)["noise"].apply(problem, policy, z0, 0.6, seed=4)
        with torch.no_grad():
            cost[name] = [float(rollout(c.problem, c.controller, z0).cost.mean()) for c in
                          (Case(problem, policy, z0), case)]  # fmt: skip
    assert cost["noise"][1] < 0.97 * cost["calm"][1] and cost["noise"][0] > cost["calm"][0], cost
