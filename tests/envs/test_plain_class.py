"""Problems whose class is no dataclass, or has more than its fields: checked all the same, and stored or refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pontryagin import (
    CoupledControls,
    ImplicitPolicy,
    OptimalControlEnv,
    OptimalControlVectorEnv,
    Problem,
    ValueFunction,
    rollout,
    solve_optimum,
)
from pontryagin.envs.checking import check_functions
from pontryagin.envs.record import problem_record


class Cart(Problem):
    """A double integrator, as somebody would write it who has not heard of dataclasses."""

    state_dim, control_dim, horizon, steps = 2, 1, 1.0, 10
    control_low, control_high = -5.0, 5.0

    def dynamics(self, t, z, u):
        return torch.cat([z[..., 1:], u], -1)

    def running_cost(self, t, z, u):
        return 0.5 * (u * u).sum(-1)

    def terminal_cost(self, z):
        return 5.0 * (z * z).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return torch.randn(batch, 2, generator=generator)


DECLARED = {
    "control_low .* is not below": {"control_low": 5.0, "control_high": -5.0},
    r"horizon is -2\.0": {"horizon": -2.0},
    "steps is 0": {"steps": 0},
    "control_low is .*expected finite numbers: actions are scaled": {"control_low": -np.inf},
    r"control_low has shape \(2,\)": {"control_low": (-1.0, -1.0)},
    "state_names": {"state_names": ("a",)},
    "state_scale is .*expected positive": {"state_scale": (1.0, -1.0)},
}


@pytest.mark.parametrize("sentence", DECLARED)
def test_what_a_plain_class_declares_is_checked_where_it_is_used(sentence):
    made = type("Wrong", (Cart,), DECLARED[sentence])()
    for use in (
        check_functions,
        lambda p: solve_optimum(p, torch.ones(1, 2)),
        OptimalControlEnv,
        OptimalControlVectorEnv,
    ):
        with pytest.raises(ValueError, match=sentence):
            use(made)


def test_a_number_of_steps_may_be_numpys_and_not_a_float():
    with pytest.raises(ValueError, match=r"steps is 10\.0; expected a positive integer"):
        check_functions(type("Ten", (Cart,), {"steps": 10.0})())
    made = type("Ten", (Cart,), {"steps": np.int64(10)})()
    check_functions(made)
    assert made.steps == 10 and isinstance(made.steps, int)
    assert problem_record(made)["parameters"] == {}


def test_numpys_integers_in_fields_that_properties_are_made_of():
    made = CoupledControls(size=np.int64(4), steps=np.int32(8))
    assert (made.state_dim, made.control_dim, made.steps) == (4, 4, 8)
    assert {type(n) for n in (made.size, made.state_dim, made.control_dim, made.steps)} == {int}

    class Two(Cart):
        @property
        def state_dim(self):
            return np.int64(2)

    check_functions(Two())


class Summed(Cart):
    def running_cost(self, t, z, u):
        return 0.5 * (u * u).sum()


class Column(Cart):
    def running_cost(self, t, z, u):
        return 0.5 * u * u


class Number(Cart):
    def running_cost(self, t, z, u):
        return 0.5


class Narrow(Cart):
    def dynamics(self, t, z, u):
        return u


class Flat(Cart):
    def terminal_cost(self, z):
        return (z * z).sum()


@pytest.mark.parametrize(
    ("kind", "method"),
    [(Summed, "running_cost"), (Column, "running_cost"), (Number, "running_cost"), (Narrow, "dynamics"),
     (Flat, "terminal_cost")],
)  # fmt: skip
def test_what_would_be_broadcast_is_refused_in_flight(kind, method):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\.{method} returned .*expected"):
        rollout(kind(), lambda t, z: z[:, :1], torch.randn(3, 2))
    for make in (OptimalControlEnv, OptimalControlVectorEnv):
        with pytest.raises(ValueError, match=rf"{kind.__name__}\.{method} returned"):
            make(kind())


def test_noise_at_the_end_is_refused():
    class Noisy(Cart):
        def terminal_cost(self, z):
            return super().terminal_cost(z) + torch.rand(len(z)).to(z)

    with pytest.raises(ValueError, match=r"Noisy\.terminal_cost returned two things for the same z"):
        check_functions(Noisy())


def test_a_cost_that_breaks_late_is_refused():
    class Late(Cart):
        def running_cost(self, t, z, u):
            return super().running_cost(t, z, u) + torch.log(torch.as_tensor(0.8) - t).to(z)

    with pytest.raises(ValueError, match=r"Late\.running_cost is not finite"):
        check_functions(Late())


class Heavy(Cart):
    def __init__(self, mass=1.0):
        self.mass = mass

    def dynamics(self, t, z, u):
        return torch.cat([z[..., 1:], u / self.mass], -1)


class Needy(Cart):
    def __init__(self, mass):
        self.mass = mass


@dataclasses.dataclass(frozen=True)
class Derived(Cart):
    mass: float = 1.0
    inverse: float = dataclasses.field(init=False, default=1.0)


def _policy(problem):
    return ImplicitPolicy(problem, ValueFunction(problem, width=4))


def test_a_class_with_arguments_is_stored_as_it_would_be_made_or_refused(tmp_path):
    _policy(Heavy()).save(tmp_path / "usual")
    assert ImplicitPolicy.load(tmp_path / "usual", "cpu").problem.mass == 1.0
    changed = Cart()
    changed.horizon = 2.0
    derived = Derived(2.0)
    object.__setattr__(derived, "inverse", 0.5)
    wrong = ((Heavy(5.0), "mass is 5.0"), (Needy(1.0), "do not make it again"), (changed, "horizon is 2.0"))
    for problem, sentence in (*wrong, (derived, "inverse is 0.5")):
        with pytest.raises(ValueError, match=rf"cannot be stored.*{sentence}.*dataclass"):
            _policy(problem).save(tmp_path / "other")
    assert problem_record(Derived(2.0))["parameters"] == {"mass": 2.0}


@dataclasses.dataclass(frozen=True)
class Matrices(Cart):
    a: torch.Tensor = dataclasses.field(default_factory=lambda: torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    b: np.ndarray = dataclasses.field(default_factory=lambda: np.array([[0.0], [1.0]]))

    def dynamics(self, t, z, u):
        return z @ self.a.to(z).T + u @ torch.from_numpy(self.b).to(z).T


def test_fields_come_back_as_what_they_were(tmp_path):
    problem = Matrices(a=torch.tensor([[0.0, 2.0], [0.0, 0.0]], dtype=torch.float64))
    _policy(problem).save(tmp_path)
    again = ImplicitPolicy.load(tmp_path, "cpu").problem
    assert again.a.dtype == torch.float64 and torch.equal(again.a, problem.a)
    assert again.b.dtype == problem.b.dtype and (again.b == problem.b).all()
    assert problem_record(again) == problem_record(problem)
    ImplicitPolicy.load(tmp_path, "cpu", problem=problem)
