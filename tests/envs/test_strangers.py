"""Classes of other people, as they write them."""

import sys

import pytest
import torch

import pontryagin
from pontryagin import Problem, TrainConfig, evaluate, solve, train
from pontryagin.envs.catalog import make_problem

CLASS = """
import dataclasses
import pontryagin

@dataclasses.dataclass({frozen})
class Mine(pontryagin.DoubleIntegrator):
    pass
"""


class Mayer(Problem):
    """All of the cost is at the end: L is a constant, and G is linear."""

    state_dim, control_dim, horizon, steps = 2, 1, 1.0, 10
    control_low, control_high = -1.0, 1.0

    def dynamics(self, t, z, u):
        return torch.cat([z[..., 1:], torch.sin(u)], -1)

    def running_cost(self, t, z, u):
        return torch.zeros_like(z[..., 0])

    def terminal_cost(self, z):
        return -z[..., 0]

    def sample_initial_state(self, batch, generator=None):
        return 0.1 * torch.randn(batch, 2, generator=generator)


@pytest.fixture
def module(tmp_path):
    """Writes a module; afterwards it has never been."""
    before = list(sys.path)

    def write(name, frozen):
        (tmp_path / f"{name}.py").write_text(CLASS.format(frozen=frozen), encoding="utf-8")
        return tmp_path / f"{name}.py"

    yield write
    sys.path[:] = before
    for name in ("a_strangers", "another_strangers"):
        sys.modules.pop(name, None)


def test_a_file_names_its_module(module):
    made = make_problem(f"{module('a_strangers', 'frozen=True')}:Mine")
    assert isinstance(made, pontryagin.DoubleIntegrator) and type(made).__module__ == "a_strangers"
    with pytest.raises(ValueError, match="cannot import .*missing"):
        make_problem("missing.py:Mine")


def test_a_class_that_is_not_frozen_is_told_how(module):
    file = module("another_strangers", "")
    with pytest.raises(ValueError, match=r"write @dataclass\(frozen=True\)"):
        make_problem(f"{file}:Mine")


def test_a_class_that_is_not_whole_is_told_what_it_lacks(module, tmp_path):
    file = module("a_strangers", "frozen=True")
    file.write_text(
        "import pontryagin\n\n\nclass Mine(pontryagin.Problem):\n    state_dim = 1\n\n\n"
        "class Asks(pontryagin.DoubleIntegrator):\n    def __init__(self, mass): ...\n",
        encoding="utf-8",
    )
    for name, lack in (("Mine", "running_cost"), ("Asks", "mass")):
        with pytest.raises(ValueError, match=f"cannot make .*{lack}.*expected a class with all methods of Problem"):
            make_problem(f"{file}:{name}")


@pytest.mark.parametrize("hamiltonian", ["held", "continuous"])
def test_a_cost_that_is_all_at_the_end_is_trained(hamiltonian):
    config = TrainConfig(iterations=2, batch=4, validation_states=4, hamiltonian=hamiltonian, width=8)
    policy, _ = train(Mayer(), config)
    assert evaluate(Mayer(), policy, torch.zeros(2, 2)).cost.isfinite().all()


def test_a_cost_that_is_all_at_the_end_is_solved():
    """Full speed ahead: all controls on their bound; and the policies that improve on it find nothing to do."""
    found = solve(Mayer(), "60s", states=4, gap=1e-12)
    assert found.gap.abs().max() < 1e-6
    assert (found.path.u > 0.99).all()
