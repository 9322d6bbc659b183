"""A user's class is tried once, and what is wrong is said with the method's name."""

import dataclasses
import warnings

import pytest
import torch

import pontryagin
from pontryagin import DoubleIntegrator, make_problem, solve_optimum
from pontryagin.envs import checking
from pontryagin.envs.catalog import PROBLEMS
from pontryagin.envs.checking import check_functions


@dataclasses.dataclass(frozen=True)
class WithoutAxis(DoubleIntegrator):
    def running_cost(self, t, z, u):
        return 0.5 * (u**2).sum()


class KeepsAxis(DoubleIntegrator):
    def running_cost(self, t, z, u):
        return 0.5 * (u**2).sum(-1, keepdim=True)


class PlainNumber(DoubleIntegrator):
    def terminal_cost(self, z):
        return 5.0


class OverTheBatch(DoubleIntegrator):
    def terminal_cost(self, z):
        return (z**2).sum(0)


class WrongWidth(DoubleIntegrator):
    def sample_initial_state(self, batch, generator=None):
        return torch.randn(batch, 3, generator=generator)


class ForgetsTheBatch(DoubleIntegrator):
    def sample_initial_state(self, batch, generator=None):
        return torch.randn(1, 2, generator=generator)


class WholeNumbers(DoubleIntegrator):
    def sample_initial_state(self, batch, generator=None):
        return torch.ones(batch, 2, dtype=torch.int64)


class NotANumber(DoubleIntegrator):
    def running_cost(self, t, z, u):
        return (z.sum(-1) - 100).sqrt()


class NotANumberAtTheStart(DoubleIntegrator):
    def sample_initial_state(self, batch, generator=None):
        return torch.full((batch, 2), torch.nan)


class OwnType(DoubleIntegrator):
    def dynamics(self, t, z, u):
        return super().dynamics(t, z, u) + torch.zeros(2, dtype=torch.float64)


class Truncates(DoubleIntegrator):
    def running_cost(self, t, z, u):
        return (0.5 * (u**2).sum(-1)).float()


class ScalarTimeOnly(DoubleIntegrator):
    def dynamics(self, t, z, u):
        return super().dynamics(t, z, u) * torch.cos(t)


class Raises(DoubleIntegrator):
    def dynamics(self, t, z, u):
        return z + u @ torch.ones(3, 2)


class Noisy(DoubleIntegrator):
    def dynamics(self, t, z, u):
        return super().dynamics(t, z, u) + 0.1 * torch.randn_like(z)


@dataclasses.dataclass(frozen=True)
class Stiff(DoubleIntegrator):
    rate: float = 1000.0

    def dynamics(self, t, z, u):
        return -self.rate * z + u


BROKEN = [
    (WithoutAxis, r"WithoutAxis.running_cost returned shape \(\).*expected \(1,\).*sum\(-1\)"),
    (KeepsAxis, r"running_cost returned shape \(1, 1\).*expected \(1,\)"),
    (PlainNumber, r"PlainNumber.terminal_cost returned a float.*expected a torch.Tensor of shape \(1,\)"),
    (OverTheBatch, r"terminal_cost returned shape \(2,\)"),
    (WrongWidth, r"WrongWidth.sample_initial_state\(1, generator\) returned shape \(1, 3\); expected \(1, 2\)"),
    (ForgetsTheBatch, r"sample_initial_state\(2, generator\) returned shape \(1, 2\); expected \(2, 2\)"),
    (WholeNumbers, "sample_initial_state.*torch.int64"),
    (NotANumber, "running_cost is not finite.*index 0"),
    (NotANumberAtTheStart, "sample_initial_state.*is not finite"),
    (OwnType, "dynamics returned torch.float64.*expected float32"),
    (Truncates, "running_cost returned torch.float32.*expected float64"),
    (ScalarTimeOnly, r"ScalarTimeOnly.dynamics for t \(3,\), z \(3, 2\), u \(3, 1\) failed"),
    (Noisy, r"Noisy.dynamics returned two things for the same t, z and u.*noise belongs in the initial states"),
    (Raises, r"Raises.dynamics for t \(\), z \(1, 2\), u \(1, 1\) failed: RuntimeError"),
]


@pytest.mark.parametrize(("kind", "words"), BROKEN, ids=[kind.__name__ for kind, _ in BROKEN])
def test_what_is_wrong_is_said_with_the_method(kind, words):
    with pytest.raises(ValueError, match=words):
        check_functions(kind())


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_what_ships_passes_without_a_word_and_draws_nothing(name):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_functions(make_problem(name))
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("rate", "stiff"),
    [(1.0, False), (20.0, False), *((x, True) for x in (29.0, 32.0, 60.0, 95.0, 110.0, 120.0, 200.0, 1000.0, 1e37))],
)
def test_stiff_dynamics_are_warned_of(rate, stiff):
    problem = Stiff(rate=rate)  # one step is stable up to rate · dt = 2.8, dt = 0.1
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check_functions(problem)
    assert len(seen) == stiff and all("steps (now 20)" in str(w.message) for w in seen)


def test_training_and_evaluation_try_the_class_first():
    with pytest.raises(ValueError, match="WithoutAxis.running_cost"):
        pontryagin.train(WithoutAxis(), pontryagin.TrainConfig(iterations=1))
    with pytest.raises(ValueError, match="WithoutAxis.running_cost"):
        pontryagin.evaluate(WithoutAxis(), lambda t, z: z[:, :1], torch.zeros(2, 2))


def test_so_does_every_command(tmp_path, monkeypatch, capsys):
    from pontryagin.training.commands.cli import main

    monkeypatch.chdir(tmp_path)
    for line in (
        "train test_checking:KeepsAxis",
        "evaluate lqr --problem test_checking:KeepsAxis",
        "reference test_checking:KeepsAxis",
        "benchmark test_checking:KeepsAxis --methods jfb",
        "plot quadrotor --problem test_checking:KeepsAxis",
    ):
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        assert stop.value.code == 2 and "KeepsAxis.running_cost returned shape (1, 1)" in capsys.readouterr().err


WRONG = {
    "dynamics": (lambda self, t, z, u: z[..., :1], r"dynamics returned shape \(1, 1\)"),
    "running_cost": (lambda self, t, z, u: 0.5 * (u**2), "running_cost returned shape .* need their axis"),
    "terminal_cost": (lambda self, z: (z**2).sum(-1).float(), "terminal_cost returned torch.float32"),
    "sample_initial_state": (lambda self, batch, generator=None: torch.zeros(2), "sample_initial_state"),
}


@pytest.mark.parametrize("method", WRONG)
@pytest.mark.parametrize("solver", ["ddp", "ipopt"])
def test_a_search_for_an_optimum_tries_the_class_first(method, solver):
    if solver == "ipopt":
        pytest.importorskip("casadi")
    function, sentence = WRONG[method]
    problem = type("Wrong", (DoubleIntegrator,), {method: function})(steps=3)
    with pytest.raises(ValueError, match=f"Wrong.{sentence}"):
        solve_optimum(problem, torch.ones(1, 2), method=solver)


def test_a_class_is_tried_once(monkeypatch):
    tried = []
    real = checking.check_functions
    monkeypatch.setattr(checking, "check_functions", lambda problem: (tried.append(type(problem)), real(problem)))
    kind = type("Tried", (DoubleIntegrator,), {})
    for steps in (3, 4, 3):
        solve_optimum(kind(steps=steps), torch.ones(1, 2), max_iterations=1)
    assert tried == [kind, kind]  # once for each set of fields: other sizes may break it


def test_a_field_that_is_overridden_without_its_type_is_refused():
    """Python leaves the parent's value to the objects, without a word."""

    @dataclasses.dataclass(frozen=True)
    class Decorated(DoubleIntegrator):
        steps = 77

    class Bare(DoubleIntegrator):
        horizon = 3.0

    @dataclasses.dataclass(frozen=True)
    class Typed(DoubleIntegrator):
        steps: int = 77

    with pytest.raises(ValueError, match=r"Decorated says steps = 77 without a type.*write steps: int = 77"):
        Decorated()
    with pytest.raises(ValueError, match=r"Bare says horizon = 3.0 without a type"):
        Bare()
    assert Typed().steps == 77


def test_initial_states_come_from_the_generator():
    class Forgetful(DoubleIntegrator):
        def sample_initial_state(self, batch, generator=None):
            return torch.randn(batch, 2)

    with pytest.raises(ValueError, match="two things for the same seed.*generator=generator"):
        check_functions(Forgetful())
