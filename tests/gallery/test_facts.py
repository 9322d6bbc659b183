"""Each problem of the gallery is the one that its source states: equilibria, invariants, exact solutions."""

import gymnasium
import numpy as np
import pytest
import torch

from pontryagin import rollout
from pontryagin.envs.gallery import (
    Burgers,
    CartPole,
    Dubins,
    Epidemic,
    Goddard,
    Harvest,
    MinFuel,
    Pendulum,
    ReactionDiffusion,
    Reactor,
    Rocket,
    VanDerPol,
)
from pontryagin.envs.gallery.goddard import Ascent
from pontryagin.envs.gallery.reaction_diffusion import SIDE, WIDTH

NOW = torch.zeros((), dtype=torch.float64)


def drawn(problem, count=5):
    return problem.sample_initial_state(count, torch.Generator().manual_seed(0)).double()


def held(*u):
    """A controller that plays these numbers."""
    return lambda t, z: torch.tensor(u, dtype=z.dtype).expand(len(z), -1)


def test_pendulum_is_gymnasiums():
    env, problem = gymnasium.make("Pendulum-v1").unwrapped, Pendulum()
    env.reset(seed=0)
    for angle, rate, torque in ((0.1, -0.5, 1.5), (3.0, 1.0, -2.0), (-2.0, 0.3, 0.7)):
        env.state = np.array([angle, rate])
        _, reward, *_ = env.step(np.array([torque]))
        z, u = torch.tensor([[angle, rate]]).double(), torch.tensor([[torque]]).double()
        assert (env.state[1] - rate) / env.dt == pytest.approx(problem.dynamics(NOW, z, u)[0, 1].item(), rel=1e-6)
        smooth = problem.running_cost(NOW, z, u).item() + angle**2 - 2 * (1 - np.cos(angle))
        assert -reward == pytest.approx(smooth, rel=1e-6)
    assert problem.torque < 15 / 3, "too weak to lift it from the side"


def test_pendulum_conserves_energy_without_torque():
    path = rollout(Pendulum(steps=400), held(0.0), drawn(Pendulum()))
    energy = 0.5 * path.z[..., 1] ** 2 + 15 * torch.cos(path.z[..., 0])
    torch.testing.assert_close(energy, energy[:1].expand_as(energy), rtol=0, atol=1e-5)


def test_cartpole_conserves_energy_and_momentum():
    path = rollout(CartPole(steps=400), held(0.0), drawn(CartPole()))
    _, angle, speed, rate = path.z.unbind(-1)
    swing = 0.5 * rate  # l θ̇
    momentum = 1.3 * speed + 0.3 * swing * angle.cos()
    energy = 0.65 * speed**2 + 0.3 * (speed * swing * angle.cos() + 0.5 * swing**2) - 0.3 * 9.81 * 0.5 * angle.cos()
    for kept in (momentum, energy):
        torch.testing.assert_close(kept, kept[:1].expand_as(kept), rtol=0, atol=1e-6)


def test_cartpole_force_does_its_work():
    path = rollout(CartPole(steps=400), held(2.0), drawn(CartPole()))
    _, angle, speed, rate = path.z.unbind(-1)
    momentum = 1.3 * speed + 0.15 * rate * angle.cos()
    torch.testing.assert_close(momentum[-1] - momentum[0], torch.full((5,), 4.0).double(), rtol=1e-6, atol=1e-6)


def test_dubins_turns_on_a_circle_and_goes_straight_for_nothing():
    path = rollout(Dubins(), held(2.0), torch.zeros(1, 3, dtype=torch.float64))
    assert ((path.z[..., :2] - torch.tensor([0.0, 0.5])).norm(dim=-1) - 0.5).abs().max() < 1e-6
    straight = rollout(Dubins(obstacles=0.0), held(0.0), torch.tensor([[-0.5, 0.0, 0.0]]).double())
    assert straight.cost.item() < 1e-20


def test_van_der_pol_repels_inside_its_cycle_of_amplitude_two():
    path = rollout(VanDerPol(horizon=40.0, steps=4000), held(0.0), torch.tensor([[0.01, 0.0]]).double())
    assert path.z[-1000:, 0, 1].max().item() == pytest.approx(2.0086, abs=1e-3)


def test_epidemic_adds_up_and_dies_out():
    problem = Epidemic()
    z, u = drawn(problem), torch.full((5, 1), 0.4).double()
    f = problem.dynamics(NOW, z, u)
    immune = z[:, 3] - z[:, :3].sum(-1)
    expected = 0.1 * z[:, 2] - 0.5 * immune + 0.4 * z[:, 0]  # g I - d R + u S
    torch.testing.assert_close(f[:, 3] - f[:, :3].sum(-1), expected)
    healthy = torch.tensor([[1050.0, 0.0, 0.0, 1000.0]]).double()  # b N = d S
    assert problem.dynamics(NOW, healthy, torch.zeros(1, 1).double())[0, :3].abs().max() < 1e-9


def test_reactor_stands_still_where_klatt_and_engell_say():
    """With their inflow of 104.9 °C; the published digits are few, and moving to rest leaves them as they are."""
    problem = Reactor(inflow=104.9, horizon=2.0, steps=2000)
    published = torch.tensor([[2.14, 1.09, 114.2, 112.9]]).double()
    path = rollout(problem, held(14.19, -1113.5), published)
    assert problem.dynamics(NOW, path.z[-1], path.u[-1]).abs().max() < 1e-3
    torch.testing.assert_close(path.z[-1], published, rtol=2e-3, atol=0)


def test_harvest_is_exact_at_its_switch():
    problem = Harvest()
    z0 = drawn(problem)
    path = rollout(problem, lambda t, z: torch.full((5, 1), float(t < 4 - 1e-9)).double(), z0)
    torch.testing.assert_close(path.cost, -z0[:, 0] * np.exp(4.0), rtol=1e-5, atol=0)


def test_min_fuel_is_exact_from_rest_at_a_distance():
    bang_off_bang = lambda t, z: torch.tensor([[float(t > 3.45), float(t < 0.45)]]).double()  # noqa: E731
    path = rollout(MinFuel(), bang_off_bang, torch.tensor([[1.75, 0.0]]).double())
    assert path.z[-1].abs().max() < 1e-9 and path.cost.item() == pytest.approx(4 - np.sqrt(16 - 7.0))


def test_reaction_diffusion_modes_and_equilibria():
    place = (torch.arange(SIDE).double() + 0.5) / SIDE
    problem = ReactionDiffusion(reaction=0.0)
    for k, other in ((0, 0), (1, 0), (2, 3)):
        wave = torch.cos(np.pi * k * place)[:, None] * torch.cos(np.pi * other * place)
        rate = 1 - 0.2 * 4 / WIDTH**2 * sum(np.sin(np.pi * i / (2 * SIDE)) ** 2 for i in (k, other))
        f = problem.dynamics(NOW, wave.reshape(1, -1), torch.zeros(1, 4).double())
        torch.testing.assert_close(f, rate * wave.reshape(1, -1), rtol=0, atol=1e-12)
    for level in (-1.0, 0.0, 1.0):
        flat = torch.full((1, 64), level).double()
        assert ReactionDiffusion().dynamics(NOW, flat, torch.zeros(1, 4).double()).abs().max() < 1e-12


def test_reaction_diffusion_forces_quarters():
    f = ReactionDiffusion().dynamics(NOW, torch.zeros(1, 64).double(), torch.tensor([[1.0, 2.0, 3.0, 4.0]]).double())
    corners = f.reshape(SIDE, SIDE)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == [1.0, 2.0, 3.0, 4.0] and f.sum() == 16 * 10


@pytest.mark.parametrize("points", [32, 64])
def test_burgers_follows_cole_and_hopf(points):
    problem = Burgers(points=points, viscosity=0.1, steps=800)
    x = problem.places(NOW)

    def exact(t):
        e = np.exp(-(np.pi**2) * 0.1 * t)
        return 2 * np.pi * 0.1 * e * torch.sin(np.pi * x) / (2 + e * torch.cos(np.pi * x))

    path = rollout(problem, held(*[0.0] * 4), exact(0.0)[None])
    assert (path.z[-1, 0] - exact(1.0)).abs().max() < 1.5e-4 * (32 / points) ** 2


def test_burgers_conserves_the_sum_of_squares_without_viscosity():
    problem = Burgers(viscosity=0.0)
    z = drawn(problem)
    assert (z * problem.dynamics(NOW, z, torch.zeros(5, 4).double())).sum(-1).abs().max() < 1e-10


def test_goddard_falls_freely_and_weighs_what_it_burns():
    path = rollout(Ascent(), held(0.0), torch.tensor([[1.5, 0.0, 1.0]]).double())  # high up, where there is no air
    height, speed, _ = path.z[:, 0].unbind(-1)
    energy = 0.5 * speed**2 - 1 / height
    torch.testing.assert_close(energy, energy[:1].expand_as(energy), rtol=0, atol=1e-9)
    problem = Goddard()
    burnt = rollout(problem, held(1.0, 0.2), torch.tensor([[1.0, 0.0, 1.0]]).double())
    assert burnt.z[-1, 0, 2].item() == pytest.approx(0.6) and problem.duration(burnt).item() == pytest.approx(0.2)


def test_rocket_hovers_and_has_a_mirror():
    problem = Rocket()
    still = torch.tensor([[1.0, 2.0, 0.0, 0.0, 0.0, 0.0]]).double()
    hover = rollout(problem, held(1.0, 0.0), still)
    torch.testing.assert_close(hover.z[-1], still)
    assert hover.running_cost.item() == pytest.approx(5 * np.exp(0.5))
    mirror = torch.tensor([-1.0, 1, -1, -1, 1, -1]).double()
    z0 = drawn(problem)
    left, right = rollout(problem, held(1.1, 0.3), z0), rollout(problem, held(1.1, -0.3), z0 * mirror)
    torch.testing.assert_close(left.z * mirror, right.z)
    torch.testing.assert_close(left.cost, right.cost)
