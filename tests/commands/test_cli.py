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
        ("train --compile bicycle5", "bicycle5"),
        ("train my_module:Rocket --begin-from quadrotor --out-dir bicycle5", ""),
    ],
)
def test_the_recipe_is_that_of_the_problem_and_of_no_option(line, name):
    from pontryagin.training.commands.cli import _problem_named

    assert _problem_named(line.split()) == name


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


def test_alone_it_prints_help_and_its_version_on_demand(capsys):
    import pontryagin
    from pontryagin.training.commands.cli import main

    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0 and "simulate" in capsys.readouterr().out
    main(["--version"])
    assert capsys.readouterr().out == f"pontryagin {pontryagin.__version__}\n"
