"""From a class to a controller: the stages, what they keep, and what is refused."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

import pontryagin
from pontryagin import ImplicitPolicy, Problem, evaluate, solve, solve_optimum
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.training import rounds
from pontryagin.training.commands.cli import main
from pontryagin.training.start import families


@dataclasses.dataclass(frozen=True)
class Pendulum(Problem):
    """A stranger's: it swings up with limited torque, and nothing of it is known here."""

    state_dim: int = 2
    control_dim: int = 1
    horizon: float = 3.0
    steps: int = 30
    control_low: float = -6.0
    control_high: float = 6.0

    def dynamics(self, t, z, u):
        return torch.cat([z[..., 1:], 9.81 * torch.sin(z[..., :1]) + u], -1)

    def running_cost(self, t, z, u):
        return 0.05 * (u**2).sum(-1) + 1 - torch.cos(z[..., 0]) + 0.05 * z[..., 1] ** 2

    def terminal_cost(self, z):
        return 20 * (1 - torch.cos(z[..., 0])) + 5 * z[..., 1] ** 2

    def sample_initial_state(self, batch, generator=None):
        return torch.tensor([torch.pi, 0.0]) + 0.3 * torch.randn(batch, 2, generator=generator)


def test_linear_quadratic_is_exact_at_once(tmp_path):
    found = solve(DoubleIntegrator(), "60s", out=tmp_path, states=16)
    assert found.gap.max() < 1e-8 and found.optima.converged.all()
    assert len(found.history) == 1 and "expansions" in str(found.history[0]["stage"])
    again = ImplicitPolicy.load(tmp_path)
    z0 = found.optima.z[0]
    torch.testing.assert_close(evaluate(again.problem, again, z0).cost, found.cost)


def test_a_strangers_swing_up_beats_linear_feedback():
    found = solve(Pendulum(), "10m", gap="2%", states=32)
    gap = found.gap[~found.gap.isnan()]
    assert len(gap) >= 30 and gap.mean() < 0.02
    assert found.cost.mean() < found.linear_cost.mean()
    assert "fresh states" in found.report and f"{float(gap.mean()):.2%}" in found.report


def test_plans_are_made_of_a_feedback_that_is_not_good_enough(monkeypatch, tmp_path):
    monkeypatch.setattr("pontryagin.training.rounds.AFFORDED", float("inf"))
    monkeypatch.setattr("pontryagin.training.rounds.MEMBERS", 1)  # no more optima than the first
    found = solve(Pendulum(), "10m", gap=1e-9, states=16, out=tmp_path)
    first, second = found.history
    assert first["stage"].endswith(rounds.FEEDBACK) and second["stage"].endswith(rounds.PLANS)
    assert second["gap_mean"] < 0.1 * first["gap_mean"]
    again = ImplicitPolicy.load(tmp_path, problem=Pendulum())
    assert again.max_iterations == 0 and again.value.sweeps == rounds.SWEEPS
    z = found.optima.z[0]
    torch.testing.assert_close(pontryagin.rollout(again.problem, again, z).cost, found.cost, rtol=1e-4, atol=1e-4)


def test_plans_are_made_once_a_round_where_there_is_time(monkeypatch):
    run, flown = rounds.Rounds(Pendulum(), 600.0, 0, None, 4, 0.01), []
    monkeypatch.setattr(run, "good", lambda: False)
    monkeypatch.setattr(run, "fly", lambda way, known: flown.append(way))
    run.more = 1e9
    run.better(None)
    assert not flown
    run.more = 1.0
    run.better(None, last=True)
    assert flown == [rounds.PLANS]
    run.planned = True
    run.better(None)
    assert len(flown) == 1


def test_what_flies_as_well_from_more_optima_is_taken():
    run = rounds.Rounds(Pendulum(), 600.0, 0, None, 4, 0.01)
    assert run.taken(math.inf)  # the first one, whatever it is
    run.history.append({})
    run.reached = 0.002
    assert run.taken(0.001) and run.taken(0.00205) and not run.taken(0.0025) and not run.taken(math.nan)


def test_optima_that_time_has_left_open_are_sought_on_where_nothing_else_is_missing(monkeypatch):
    problem, cut = DoubleIntegrator(steps=20), []

    def out_of_time(problem, z0, *guess, **more):
        found = solve_optimum(problem, z0, *guess, **more)
        cut.append(len(z0))
        return dataclasses.replace(found, converged=torch.zeros_like(found.converged))

    monkeypatch.setattr(rounds, "solve_optimum", out_of_time)
    monkeypatch.setattr(rounds, "agreed", lambda problem, found, *_: found)
    found = solve(problem, "60s", states=8)
    assert cut and found.good and found.optima.converged.all()


def test_a_gap_that_is_known_of_few_is_not_called_missed():
    found = solve(DoubleIntegrator(steps=10), "30s", states=8)
    few = dataclasses.replace(found.optima, converged=torch.arange(8) < 2)
    unsure = dataclasses.replace(found, optima=few, good=False)
    assert "2 fresh states" in unsure.report and "the optimum of 6 more is not known" in unsure.report
    assert "1.00% was asked for, and is known of too few states to be sure" in unsure.report
    dear = dataclasses.replace(
        found,
        optima=dataclasses.replace(found.optima, terminal_cost=found.optima.terminal_cost - 0.5 * found.optima.cost),
        good=False,
    )
    assert "1.00% was asked for, and is not reached in the time" in dear.report


def test_more_optima_are_sought_where_flights_exceed_the_promise(monkeypatch):
    problem, asked = Pendulum(), []

    class Enough(Exception):
        pass

    def heard(problem, z0, **_):
        asked.append(z0)
        if len(asked) == 2:
            raise Enough
        return known.rows(torch.arange(1))

    run = rounds.Rounds(problem, 600.0, 0, None, 4, 0.01)
    with run.stages.shown("optima"):
        known = families(problem, 8)
        run.expanded(known)
        monkeypatch.setattr(rounds, "solve_optimum", heard)
        with pytest.raises(Enough):
            run.doubled(known)

    def beyond(z):  # what the promise of the cheapest falls short by
        promise = run.value.promise(0.0, z, run.value.speaker(0.0, z))
        return run.value(0.0, z) - promise

    worst = asked[1][: rounds.CANDIDATES // 2]
    others = problem.sample_initial_state(256, torch.Generator().manual_seed(5)).double()
    assert beyond(worst).min() > beyond(others).quantile(0.8)


def test_time_that_is_up_leaves_a_policy():
    found = solve(Pendulum(), 1.0, states=4)
    assert found.cost.isfinite().all() and len(found.history) >= 1


def test_fresh_states_follow_the_seed():
    one, two, other = (solve(DoubleIntegrator(), "30s", seed=seed, states=4).optima.z[0] for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_the_command_ends_in_the_gap(tmp_path, capsys):
    main(["solve", "double_integrator", "--states", "8", "--time-budget", "30s", "--out-dir", str(tmp_path)])
    assert "above the optimum, 8 fresh states" in capsys.readouterr().out
    record = json.loads((tmp_path / "solved.json").read_text())
    assert len(record["gap"]) == 8 and max(record["gap"]) < 1e-8 and record["hamiltonian"] in ("held", "continuous")
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in ("trajectory", "gaps"))
    page = (tmp_path / "report.html").read_text()
    assert "linear feedback along one optimum" in page and page.count("data:image/") == 3 and "--gap 1%" in page


def test_a_run_that_dies_leaves_no_gap_of_another_policy(monkeypatch, tmp_path):
    for name in (rounds.RECORD, rounds.PAGE):
        (tmp_path / name).write_text("of an earlier policy")
    monkeypatch.setattr(rounds.Rounds, "compared", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        solve(DoubleIntegrator(), 1.0, states=4, out=tmp_path)
    assert ImplicitPolicy.load(tmp_path) and not any((tmp_path / x).exists() for x in (rounds.RECORD, rounds.PAGE))


def test_the_film_shows_what_was_flown(monkeypatch, tmp_path):
    """An unstable plant would leave the path of controls that are played again."""
    from pontryagin.envs.render import Renderer
    from pontryagin.training.commands import solved_page

    found, shown = solve(Pendulum(), "10m", gap="50%", states=2), []
    draw = Renderer.draw

    def watched(self, *args, **kwargs):
        shown.append(kwargs["state"])
        return draw(self, *args, **kwargs)

    monkeypatch.setattr(Renderer, "draw", watched)
    assert len(list(solved_page._frames(found, 2))) > 20
    steps = Pendulum().steps
    for row in range(2):
        torch.testing.assert_close(torch.tensor(np.array(shown[(row + 1) * (steps + 1) - 1])), found.path.z[-1, row])


STRANGERS = """
import torch, pontryagin

class Cart(pontryagin.Problem):
    state_dim, control_dim, horizon, steps, control_low, control_high = 2, 1, 2.0, 20, -5.0, 5.0
    def dynamics(self, t, z, u): return torch.cat([z[..., 1:], u], -1)
    def running_cost(self, t, z, u): return 0.5 * (u**2).sum(-1)
    def terminal_cost(self, z): return 5.0 * (z**2).sum(-1)
    def sample_initial_state(self, batch, generator=None): return torch.randn(batch, 2, generator=generator)
"""


def test_the_folder_is_a_policy_for_every_command(tmp_path):
    """Of a class that only its module knows: no --problem is needed."""
    (tmp_path / "strangers.py").write_text(STRANGERS)
    run = [sys.executable, "-m", "pontryagin"]
    here = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    subprocess.run([*run, "solve", "strangers:Cart", "--states", "4", "--out-dir", "run"], **here)
    done = subprocess.run([*run, "evaluate", "run", "--states", "4", "--json"], **here)
    assert json.loads(done.stdout)["cost_mean"] > 0


def test_a_run_goes_on_from_its_optima(tmp_path, monkeypatch, capsys):
    first = solve(DoubleIntegrator(), "30s", states=4, out=tmp_path)
    monkeypatch.setattr("pontryagin.training.solve.families", None)
    again = solve(DoubleIntegrator(), "30s", states=4, out=tmp_path)
    torch.testing.assert_close(again.cost, first.cost)
    assert "going on from 25 optima" in capsys.readouterr().out
    with pytest.raises(TypeError):
        solve(DoubleIntegrator(), "30s", states=4, out=tmp_path, fresh=True)  # which looks for new ones
    with pytest.raises(ValueError, match="--fresh"):
        solve(DoubleIntegrator(horizon=1.0), "30s", states=4, out=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"time_budget": "soon"}, "time"), ({"states": 0}, "states"), ({"gap": -1}, "gap"), ({"gap": "much"}, "gap")],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        pontryagin.solve(DoubleIntegrator(), **options)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="out"):
        solve(DoubleIntegrator(), "30s", out=tmp_path / "taken")
