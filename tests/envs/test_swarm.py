"""The swarm: one quadrotor each, loops over pairs, closed forms against derived ones, symmetries, a frame."""

import gymnasium
import numpy as np
import pytest
import torch

from pontryagin import solve_argmax
from pontryagin.controllers.hamiltonian import DerivedHamiltonian
from pontryagin.envs.quadrotor import Quadrotor
from pontryagin.envs.swarm import Swarm

NOW = torch.tensor(0.3, dtype=torch.float64)


def drawn(problem, batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = problem.sample_initial_state(batch, generator).double()
    z = z + 0.3 * torch.randn(z.shape, generator=generator).double()
    low, high = problem.control_bounds(z)
    u = low + (high - low) * torch.rand(batch, problem.control_dim, generator=generator).double()
    return z, u


def test_it_is_so_many_quadrotors_and_what_pairs_pay():
    problem = Swarm(3, interaction=6.0, radius=0.4)
    z, u = drawn(problem)
    each, own = problem.agents(z), u.unflatten(-1, (3, 4))
    alone = [Quadrotor(steps=45, target=tuple(x)) for x in problem.target_points.tolist()]
    moved = torch.cat([a.dynamics(NOW, each[:, i], own[:, i]) for i, a in enumerate(alone)], -1)
    torch.testing.assert_close(problem.dynamics(NOW, z, u), moved)
    spent = sum(a.running_cost(NOW, each[:, i], own[:, i]) for i, a in enumerate(alone))
    for b in range(3):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            apart = float(((each[b, i, :3] - each[b, j, :3]) ** 2).sum())
            spent[b] += 6.0 / 6 * np.exp(-apart / (2 * 0.4**2))
    torch.testing.assert_close(problem.running_cost(NOW, z, u), spent)
    torch.testing.assert_close(problem.terminal_cost(z), sum(a.terminal_cost(each[:, i]) for i, a in enumerate(alone)))
    error = torch.stack([a.terminal_error(each[:, i]) for i, a in enumerate(alone)], -1).amax(-1)
    torch.testing.assert_close(problem.terminal_error(z), error)


def test_the_coupling_is_the_hessian_of_what_pairs_pay():
    problem = Swarm(4, radius=0.5)
    z, u = drawn(problem)
    whole = torch.func.vmap(torch.func.hessian(lambda x: problem.running_cost(NOW, x[None], u[:1]).squeeze()))(z)
    parts = whole.unflatten(-1, (4, 12)).unflatten(-3, (4, 12))
    torch.testing.assert_close(problem.coupling(NOW, z), parts[:, :, :3, :, :3])
    parts[:, :, :3, :, :3] = 0
    assert (parts == 0).all(), "positions are all that others feel"


def test_its_hamiltonian_is_the_derived_one():
    problem = Swarm(3)
    z, u = drawn(problem)
    p = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).double()
    own, derived = problem.control_hamiltonian(NOW, z, p), DerivedHamiltonian(problem, NOW, z, p)
    torch.testing.assert_close(own.gradient(u), derived.gradient(u))
    torch.testing.assert_close(own.hessian(u), derived.hessian(u))
    v = u.roll(1, 0)
    change = derived.value(torch.stack([u, v])).sum(-1).diff(dim=0)
    torch.testing.assert_close(own.value(torch.stack([u, v])).sum(-1).diff(dim=0), change)
    found = solve_argmax(problem, NOW, z, p, max_iterations=30)
    single = Quadrotor()
    for i in range(3):
        part = slice(12 * i, 12 * i + 12)
        alone = solve_argmax(single, NOW, z[:, part], p[:, part], max_iterations=30).control
        torch.testing.assert_close(found.control[:, 4 * i : 4 * i + 4], alone, rtol=1e-5, atol=1e-6)


def test_moving_and_mirroring_all_changes_nothing_but_the_way_to_the_targets():
    problem = Swarm(4)
    z, u = drawn(problem)
    shifted = problem.agents(z).clone()
    shifted[..., :3] += torch.tensor([3.0, -2.0, 1.0]).double()
    torch.testing.assert_close(problem.running_cost(NOW, shifted.flatten(-2), u), problem.running_cost(NOW, z, u))
    order = [2, 0, 3, 1]
    mixed = problem.agents(z)[:, order].flatten(-2), u.unflatten(-1, (4, 4))[:, order].flatten(-2)
    torch.testing.assert_close(problem.running_cost(NOW, *mixed), problem.running_cost(NOW, z, u))


@pytest.mark.parametrize("count", [1, 2, 5, 9, 100])
def test_everyone_flies_to_another_ones_cell(count):
    problem = Swarm(count)
    cells = problem.target_cells
    assert sorted(cells) == list(range(count))
    assert count == 1 or (cells != np.arange(count)).any()
    np.testing.assert_allclose(problem.target_points[:, 2], 1.0)
    starts = problem.start_points
    apart = np.linalg.norm(starts[:, None] - starts[None], axis=-1)[~np.eye(count, dtype=bool)]
    assert count == 1 or apart.min() == pytest.approx(problem.spacing)
    z0 = problem.positions(problem.sample_initial_state(300, torch.Generator().manual_seed(0))).double()
    np.testing.assert_allclose(z0.mean(0), starts, atol=0.02)


def test_a_hundred_are_drawn():
    env = gymnasium.make("pontryagin/Swarm100-v0", render_mode="rgb_array")
    _, info = env.reset(seed=0)
    first = env.render()
    env.step(env.action_space.sample())
    assert first.shape == env.render().shape and first.std() > 10
    assert env.unwrapped.problem.state_dim == 1200 and {"min_distance", "close_pairs"} <= info.keys()
    env.close()
    assert Swarm(1).metrics(torch.zeros(2, 12)) == {}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_agents": 0}, "num_agents is 0"),
        ({"num_agents": 20_000}, "at most 10000"),
        ({"radius": 0.0}, "radius is 0.0; expected a positive"),
        ({"interaction": -1.0}, "interaction is -1.0; expected a number >= 0"),
        ({"spacing": float("nan")}, "spacing is nan"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Swarm(**fields)
