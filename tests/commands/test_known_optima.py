"""Stored optima that did not converge are counted, left out, and said, by every command that compares with them."""

import dataclasses
import json
from importlib.util import find_spec

import pytest
import torch

from pontryagin import DoubleIntegrator, ImplicitPolicy, ValueFunction, make_problem, solve_optimum
from pontryagin.controllers.optimum import save_reference
from pontryagin.envs.states import draw_states
from pontryagin.training.benchmark import benchmark
from pontryagin.training.benchmark.config import BenchmarkConfig
from pontryagin.training.commands.cli import main
from pontryagin.training.commands.compare import _optimum
from pontryagin.training.theory.compare import _known_optima

SAID = "of 2 stored optima did not converge: they are left out"


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Stores an optimum of each of two states, of which so many converged."""
    monkeypatch.chdir(tmp_path)

    def store(name, converged, states=2, seed=0, iterations=200):
        problem = make_problem(name)
        found = solve_optimum(problem, draw_states(problem, states, seed), max_iterations=iterations)
        found = dataclasses.replace(found, converged=torch.tensor(converged))
        save_reference(tmp_path / "results" / "reference" / f"{name}-{states}-{seed}", problem, found)

    return store


@pytest.mark.parametrize("converged", [[True, True], [True, False], [False, False]])
def test_diagnose(stored, converged, tmp_path, capsys):
    stored("double_integrator", converged)
    ImplicitPolicy(DoubleIntegrator(), ValueFunction(DoubleIntegrator(), 4, seed=0)).save("policy")
    options = ["--states", "2", "--times", "1", "--operator", "newton"]
    main(["diagnose", "policy", *options, "--json"])
    said, lost = capsys.readouterr(), converged.count(False)
    record = json.loads(said.out)
    assert record["reference_states"] == 2 - lost and ("gap_mean" in record) == (lost < 2)
    assert (f"{lost} {SAID}" in said.err) == bool(lost)
    main(["diagnose", "policy", *options, "--out-dir", "out"])
    assert ("Above the optimum" in capsys.readouterr().out.replace("\n", " ")) == (lost < 2)
    assert json.loads((tmp_path / "out" / "diagnosis.json").read_text())["reference_states"] == 2 - lost


@pytest.mark.parametrize("converged", [[True, False], [False, False]])
def test_simulate(stored, converged, capsys):
    if find_spec("mujoco") is None:  # not imported here: the plant says first how it is to draw
        pytest.skip("MuJoCo is not installed")
    stored("quadrotor", converged, iterations=1)
    main(["simulate", "quadrotor", "--plant", "mujoco", "--states", "2", "--json"])
    said, lost = capsys.readouterr(), converged.count(False)
    figures = json.loads(said.out)
    assert figures["reference_states"] == 2 - lost and f"{lost} {SAID}" in said.err
    assert ("gap_mean_plant" in figures) == ("gap_worst_model" in figures) == (lost < 2)


@pytest.mark.parametrize("command", ["diagnose quadrotor", "simulate quadrotor --plant mujoco"])
def test_no_states_are_a_sentence(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--states", "0"])
    assert stop.value.code == 2 and "states is 0; expected a positive integer" in capsys.readouterr().err


def test_compare(stored):
    problem, z0 = DoubleIntegrator(), draw_states(DoubleIntegrator(), 2, 0)
    assert _known_optima(problem, z0) == {} and _optimum({}) == ""
    stored("double_integrator", [True, True])
    known = _known_optima(problem, z0)
    assert known["reference_states"] == 2 and f"{known['reference_mean']:.4f}" in _optimum(known)
    stored("double_integrator", [True, False])
    known = _known_optima(problem, z0)
    assert known == {"reference_states": 1, "reference_mean": None} and "only 1 are known" in _optimum(known)


def test_a_benchmark_draws_no_optimum_that_is_none(stored, tmp_path, monkeypatch):
    from pontryagin.training.commands import benchmark as command

    stored("double_integrator", [False] * 128, states=128, iterations=1)
    config = BenchmarkConfig(methods="lqr-tracking", states=128, robust_states=0, film=False, seeds=1,
                             out=tmp_path / "out", policies=tmp_path / "policies")  # fmt: skip
    records = benchmark("double_integrator", config, lambda line: None)
    drawn = {}
    monkeypatch.setattr(
        "pontryagin.training.benchmark.benchmark_figures",
        lambda problem, name, done, optimum, ghost, folder: drawn.update(optimum=optimum, ghost=ghost) or [],
    )
    command.write_results("double_integrator", records, tmp_path / "out" / "double_integrator", film=False)
    assert drawn == {"optimum": None, "ghost": None}
