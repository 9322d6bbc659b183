"""The held-out problems are whole, and their command tells what it has kept; `solve` is not run here."""

import warnings

import pytest
import torch

from pontryagin import rollout, solve_optimum
from pontryagin.demos.strangers import STRANGERS
from pontryagin.demos.strangers import __main__ as command
from pontryagin.envs.checking import check_functions
from pontryagin.envs.files import write_json
from pontryagin.envs.problem import Problem, vector

ROW = {"mean": 0.004, "median": 0.002, "worst": 0.03, "linear": None, "known": 3, "seconds": 12.0, "stage": "x"}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_whole(name):
    problem = STRANGERS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_functions(problem)
    assert all(word in " ".join(problem.__doc__.split()) for word in ("Source:", "rho_0", "T = "))
    assert len(problem.state_names) == problem.state_dim and len(problem.control_names) == problem.control_dim
    assert type(problem).state_scale == Problem.state_scale and problem.start_scale is None, "no hints"


@pytest.mark.parametrize("name", STRANGERS)
def test_a_flight_within_the_bounds_is_finite(name):
    problem = STRANGERS[name]()
    generator = torch.Generator().manual_seed(1)
    z0 = problem.sample_initial_state(4, generator).double()
    low, high = (vector(x, problem.control_dim, z0) for x in (problem.control_low, problem.control_high))

    def somehow(t, z):
        return low + (high - low) * torch.rand(len(z), len(low), generator=generator, dtype=z.dtype)

    with torch.no_grad():
        assert problem.dynamics(torch.zeros(()).double(), z0, somehow(0.0, z0)).isfinite().all()
        path = rollout(problem, somehow, z0)
    assert path.z.dtype == torch.float64 and path.z.isfinite().all() and path.cost.isfinite().all()


def test_the_published_speed_of_the_glider_is_that_of_steady_flight():
    beyond_the_thermal = torch.tensor([[1000.0, 900.0, 13.2275675, -1.28750052]], dtype=torch.float64)
    lift = torch.full((1, 1), 0.699, dtype=torch.float64)
    assert STRANGERS["glider"]().dynamics(torch.zeros(()), beyond_the_thermal, lift)[0, 2:].norm() < 0.01


def test_fishing_costs_what_its_source_says():
    found = solve_optimum(STRANGERS["lotka"](), torch.tensor([[0.5, 0.7]]))
    assert found.converged.all() and found.cost.item() == pytest.approx(1.34408, rel=5e-4)


def test_rows_that_are_there_are_told_and_not_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pontryagin.demos.gallery.solve", lambda *_, **__: pytest.fail("it was solved"))
    write_json(tmp_path / "car-0.json", {"problem": "car", "seed": 0, "optima": 25, **ROW})
    write_json(tmp_path / "hiv-1.json", {"problem": "hiv", "seed": 1, **ROW})
    rows = command.main(("car",), states=4, out=tmp_path)
    assert [row["problem"] for row in rows] == ["car", "hiv"] and (tmp_path / "gallery.png").exists()
    said = capsys.readouterr().out
    assert all(word in said for word in ("car", "0.40%", "3.00%", "25", "3/4", "hiv"))
    with pytest.raises(pytest.fail.Exception, match="it was solved"):
        command.main(("car",), states=4, out=tmp_path, fresh=True)
    with pytest.raises(ValueError, match="no stranger is called cars; expected some of car, orbit"):
        command.main(("cars",), out=tmp_path)
