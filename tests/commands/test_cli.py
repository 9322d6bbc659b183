"""The command line: train, evaluate, plot, play; whose recipe a run takes; classical controllers by name."""

import pytest


def test_command_line(tmp_path, capsys):
    from pontryagin.training.commands.cli import main

    folder = str(tmp_path / "run")
    main(["train", "double_integrator", "--iterations", "2", "--validation-states", "4", "--out-dir", folder])
    assert {"policy.json", "checkpoint.json", "config.json", "log.csv", "trajectory.png", "history.png"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    capsys.readouterr()
    main(["evaluate", folder, "--states", "4", "--json"])
    assert '"cost_mean"' in capsys.readouterr().out
    main(["plot", folder, "--out-dir", str(tmp_path / "figures"), "--states", "3"])
    main(["play", folder, "--episodes", "1", "--video", str(tmp_path / "film.gif"), "--width", "160"])
    assert (tmp_path / "film.gif").stat().st_size > 1000 and (tmp_path / "figures" / "trajectory.png").exists()
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "no-such-policy"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("train quadrotor --begin-from bicycle5", "quadrotor"),
        ("train --begin-from bicycle10 bicycle100", "bicycle100"),
        ("train --compile yes bicycle5", "bicycle5"),
        ("train --no-resume bicycle5", "bicycle5"),
        ("train my_module:Rocket --begin-from quadrotor --out-dir bicycle5", ""),
    ],
)
def test_the_recipe_is_that_of_the_problem_and_of_no_option(line, name):
    from pontryagin.training.commands.cli import _problem_named

    assert _problem_named(line.split()) == name


@pytest.mark.parametrize(
    ("line", "hamiltonian"),
    [
        ("train bicycle5", "held"),
        ("train bicycle5 --hamiltonian continuous", "continuous"),
        ("train --hamiltonian=continuous bicycle5", "continuous"),
        ("train quadrotor", "continuous"),
    ],
)
def test_the_recipe_is_that_of_the_hamiltonian(line, hamiltonian):
    from pontryagin.training.commands.cli import _recipe_for

    found = _recipe_for(line.split())
    assert found.hamiltonian == hamiltonian and found.compile


@pytest.mark.parametrize(
    ("line", "anchor"),
    [
        ("train quadrotor", "distilled"),
        ("train quadrotor --anchor none", "none"),
        ("train --anchor=none quadrotor_wide", "none"),
        ("train quadrotor --anchor multi", "none"),
    ],
)
def test_the_recipe_is_that_of_the_start(line, anchor):
    from pontryagin.training.commands.cli import _recipe_for

    found = _recipe_for(line.split())
    assert found.anchor == anchor and (found.depth == 1) == ("quadrotor --anchor" in line)


def test_classical_controllers_by_name(capsys):
    """evaluate lqr --problem .., and a policy on the initial states of another problem."""
    import json

    from pontryagin.training.commands.cli import main

    main(["evaluate", "lqr-tracking", "--problem", "double_integrator", "--states", "4", "--json"])
    assert json.loads(capsys.readouterr().out)["cost_mean"] > 0
    main(["evaluate", "quadrotor_wide", "--on", "quadrotor", "--states", "128", "--json"])
    assert json.loads(capsys.readouterr().out)["gap_worst"] <= 0.02
    for line, word in (
        (["evaluate", "lqr"], "--problem"),
        (["evaluate", "quadrotor", "--on", "bicycle5"], "20 states"),
    ):
        with pytest.raises(SystemExit):
            main(line)
        assert word in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "plot", "reference", "play", "parity"])
@pytest.mark.parametrize("count", ["0", "-3"])
def test_no_states_are_a_sentence(command, count, tmp_path, capsys):
    from pontryagin.training.commands.cli import main

    option = "--episodes" if command == "play" else "--states"
    line = {
        "evaluate": ["quadrotor"], "plot": ["quadrotor", "--out-dir", str(tmp_path)], "play": ["quadrotor"],
        "reference": ["double_integrator", "--out-dir", str(tmp_path)], "parity": [str(tmp_path)],
    }  # fmt: skip
    if command == "parity":
        main(["export", "cars5", "--to", "numpy", "--out-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main([command, *line[command], option, count])
    assert stop.value.code == 2 and f"states is {count}; expected a positive integer" in capsys.readouterr().err


def test_optima_that_did_not_converge_are_no_gap(tmp_path, monkeypatch, capsys):
    import dataclasses
    import json

    import torch

    from pontryagin import DoubleIntegrator
    from pontryagin.controllers.optimum import save_reference, solve_reference
    from pontryagin.envs.states import draw_states
    from pontryagin.training.commands.cli import main

    pytest.importorskip("casadi")
    problem = DoubleIntegrator()
    found = solve_reference(problem, draw_states(problem, 2, 0))
    path = tmp_path / "results" / "reference" / "double_integrator-2-0"
    monkeypatch.chdir(tmp_path)
    for converged, states in (([False, False], 0), ([True, False], 1)):
        save_reference(path, problem, dataclasses.replace(found, converged=torch.tensor(converged)))
        main(["evaluate", "lqr-tracking", "--problem", "double_integrator", "--states", "2", "--json"])
        figures = json.loads(capsys.readouterr().out)
        assert figures["reference_states"] == states and ("gap_mean" in figures) == bool(states)


def test_alone_it_prints_help_and_its_version_on_demand(capsys):
    import pontryagin
    from pontryagin.training.commands.cli import main

    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0 and "simulate" in capsys.readouterr().out
    main(["--version"])
    assert capsys.readouterr().out == f"pontryagin {pontryagin.__version__}\n"
