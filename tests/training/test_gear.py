"""When the training step is compiled: as asked, or from where it pays, and never at the price of a run."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from pontryagin import DoubleIntegrator, TrainConfig, train
from pontryagin.envs import compiling
from pontryagin.training import gear
from pontryagin.training.checkpoint import Progress
from pontryagin.training.gear import Gear

SMALL = {"iterations": 16, "batch": 4, "validation_states": 4, "width": 8, "validate_every": 4}


@pytest.fixture
def quick(monkeypatch):
    """A back end that compiles nothing, and the number of functions that it was given."""
    counted, compile = [], functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda f, **options: counted.append(f) or compile(f, **options))
    monkeypatch.setattr(compiling, "compiler_at_hand", lambda: True)
    monkeypatch.setattr(gear, "compiler_at_hand", lambda: True)
    return counted


def curve(problem, **settings):
    return train(problem, TrainConfig(**SMALL | settings))[1].column("validation_cost")


def test_a_short_run_is_never_compiled(quick):
    assert len(curve(DoubleIntegrator(steps=5), compile="auto")) == 4 and not quick


def test_a_long_run_changes_over_and_its_curve_goes_on_as_before(quick, monkeypatch, capsys):
    plain = curve(DoubleIntegrator(steps=5), compile=False)
    monkeypatch.setattr(gear, "PAYS", 0.0)
    np.testing.assert_allclose(curve(DoubleIntegrator(steps=5), compile="auto"), plain, rtol=1e-4)
    assert quick
    assert "compiling the training step" in capsys.readouterr().out


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"hamiltonian": "held"}, {"gradient": "implicit"}, {"hamiltonian": "held", "gradient": "implicit"},
        {"operator": "ascent", "step_size": 0.1, "argmax_iterations": 20}, {"hjb_weight": 0.1, "bound_penalty": 0.1},
        {"disturb": "noise=0.1"}, {"gradient": "unroll"}, {"starts": "global"}, {"jfb_steps": 2},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_compiled_from_the_beginning_has_the_same_curve(settings, quick):
    settings = settings | {"iterations": 4, "validate_every": 2}
    plain, asked = (curve(DoubleIntegrator(steps=5), compile=c, **settings) for c in (False, True))
    np.testing.assert_allclose(asked, plain, rtol=1e-4)
    assert len(quick) == len(set(quick)) <= 6, "each function once"


@pytest.mark.parametrize("disturb", [None, "noise=0.1"])
def test_what_cannot_be_compiled_goes_on_as_it_is_unless_it_was_asked_for(disturb, quick, monkeypatch, capsys):
    class Looks(DoubleIntegrator):
        def dynamics(self, t, z, u):
            if float(z.detach().abs().max()) > 1e9:  # a look at values, which no graph has
                raise ValueError("gone")
            return super().dynamics(t, z, u)

    monkeypatch.setattr(gear, "PAYS", 0.0)
    plain = curve(Looks(steps=5), compile=False, disturb=disturb)
    assert curve(Looks(steps=5), compile="auto", disturb=disturb) == plain
    assert "it cannot be compiled" in capsys.readouterr().out
    with pytest.raises(RuntimeError):
        curve(Looks(steps=5), compile=True, disturb=disturb)


def test_what_pays_is_decided_by_the_pace_so_far():
    def due(iterations, budget, done, gone):
        config = TrainConfig(iterations=iterations, time_budget=budget, compile="auto")
        progress = Progress.__new__(Progress)
        progress.iteration, progress.seconds = 0, 0.0
        progress.value = type("Phi", (), {"scale": torch.ones(1)})()
        found = Gear(DoubleIntegrator(), config, progress, lambda config: None)
        progress.iteration, progress.seconds = done, gone
        return found.due(progress)

    if not compiling.compiler_at_hand():
        pytest.skip("no compiler")
    assert not due(10**6, None, 9, 9.0), "too early to say"
    assert due(10**6, None, 10, 9.0)
    assert due(10**6, None, 2, 16.0), "slow enough to say"
    assert not due(100, None, 10, 1.0), "nine seconds are left"
    assert not due(10**6, "2m", 10, 1.0) and due(10**6, "10m", 10, 1.0)


def test_matrix_free_steps_are_not_compiled_by_themselves(quick, monkeypatch):
    from pontryagin import CoupledControls

    monkeypatch.setattr(gear, "PAYS", 0.0)
    curve(CoupledControls(70, steps=2), compile="auto", gradient="implicit", iterations=12)
    assert not quick
