"""A plant that makes many flights at once does what one does that makes them one by one."""

import numpy as np
import pytest
import torch

from pontryagin import Quadrotor, simulate
from pontryagin.envs.integrate import advance


class Fleet:
    """The model as a plant, all flights at once."""

    batched = True

    def __init__(self, problem):
        self.problem = problem

    def reset(self, z0):
        self.z, self.t = torch.as_tensor(z0), 0.0

    def read_state(self):
        return self.z.numpy().copy()

    def write_control(self, u):
        self.u = torch.as_tensor(u)

    def advance(self, dt):
        count = max(1, round(dt / 0.01))
        for _ in range(count):
            self.z, _ = advance(self.problem, torch.tensor(self.t), self.z, self.u, dt / count)
            self.t += dt / count


class Alone(Fleet):
    """The same, one by one."""

    batched = False

    def reset(self, z0):
        super().reset(z0[None])

    def read_state(self):
        return super().read_state()[0]

    def write_control(self, u):
        super().write_control(u[None])


def feedback(t, z):
    gain = torch.linspace(-1, 1, 48, dtype=z.dtype).reshape(12, 4)
    return 0.5 + 0.3 * torch.tanh(z @ gain)


@pytest.mark.parametrize("latency", [0.0, 0.03])
def test_a_batched_plant_flies_all_at_once(latency):
    problem = Quadrotor(steps=20)
    z0 = problem.sample_initial_state(5, torch.Generator().manual_seed(0)).double()
    seen = []
    alone = simulate(problem, Alone(problem), feedback, z0, latency=latency)
    fleet = simulate(
        problem,
        Fleet(problem),
        feedback,
        z0,
        latency=latency,
        watch=lambda t, plant: seen.append(len(plant.z)),
    )
    for name in ("t", "z", "u", "running_cost", "terminal_cost"):
        torch.testing.assert_close(getattr(fleet, name), getattr(alone, name), rtol=1e-9, atol=1e-12)
    assert set(seen) == {5}


def test_a_batched_plant_that_fails_says_in_which_flight():
    class Torn(Fleet):
        def read_state(self):
            z = super().read_state()
            z[3, 1] = np.nan if self.t > 0.5 else z[3, 1]
            return z

    problem = Quadrotor(steps=20)
    with pytest.raises(ValueError, match=r"(?s)flight 3 reached the state .* in Torn; expected 12 finite numbers"):
        simulate(problem, Torn(problem), feedback, problem.sample_initial_state(5))
