"""Work shared out among processes is the work of one."""

import contextvars
import dataclasses
import os

import pytest
import torch

from pontryagin import DoubleIntegrator, solve
from pontryagin.controllers.optimum import cores, crew, improve_optimum, shared, solve_optimum
from pontryagin.envs.gallery import Pendulum
from pontryagin.envs.integrate import rollout
from pontryagin.training.solved import flown_by


@pytest.fixture(scope="module", autouse=True)
def two():
    """Two processes for all tests of this file: to start them takes seconds."""
    with crew(2, DoubleIntegrator()):
        yield


def whose(rows):
    return os.getpid(), rows


def dies(parent, rows):
    if os.getpid() != parent:
        os._exit(1)
    return rows


def fails(rows):
    raise ValueError(f"no good: {rows.stop - rows.start}")


def test_rows_are_all_there_once_in_their_order_and_not_here():
    parts = shared(whose, 5, lambda rows: (rows,))
    assert [i for _, rows in parts for i in range(5)[rows]] == [0, 1, 2, 3, 4]
    assert len(parts) == 2 and os.getpid() not in {who for who, _ in parts}


def test_one_row_stays_here():
    assert shared(whose, 1, lambda rows: (rows,))[0][0] == os.getpid()


def test_what_a_piece_of_work_raises_is_raised_here():
    with pytest.raises(ValueError, match="no good: 2"):
        shared(fails, 4, lambda rows: (rows,))


@pytest.mark.parametrize("starts", [1, 2])
def test_optima_are_those_of_one_process(starts):
    problem = Pendulum(steps=20)
    z0 = problem.sample_initial_state(11, torch.Generator().manual_seed(1)).double()  # more than are sought first
    found = solve_optimum(problem, z0, starts=starts, max_iterations=60)
    here = _alone(lambda: solve_optimum(problem, z0, starts=starts, max_iterations=60))
    torch.testing.assert_close(found.cost, here.cost, rtol=1e-9, atol=0.0)
    better, worse = improve_optimum(problem, found.rows(torch.arange(3))), found.cost[:3]
    assert (better.cost <= worse).all()


def test_flights_are_those_of_one_process():
    problem = DoubleIntegrator()
    z0 = problem.sample_initial_state(5, torch.Generator().manual_seed(1))
    path, here = flown_by(problem, _still, z0), rollout(problem, _still, z0)
    for name, x in vars(here).items():
        torch.testing.assert_close(getattr(path, name), x)


def test_what_cannot_be_sent_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Mine(DoubleIntegrator):
        pass

    with pytest.raises(ValueError, match="cannot be sent to another process .* processes=1"), crew(2, Mine()):
        pass


def test_when_a_process_dies_the_work_is_done_here(caplog):
    with crew(2, None):
        assert shared(dies, 3, lambda rows: (os.getpid(), rows)) == [slice(0, 3)]
        assert "a process died" in caplog.text
        assert shared(whose, 3, lambda rows: (rows,))[0][0] == os.getpid()


def test_solve_shares_out_its_work():
    found = solve(DoubleIntegrator(), "60s", states=4, processes=2)
    assert found.gap.max() < 1e-8
    with pytest.raises(ValueError, match="processes is 0"):
        solve(DoubleIntegrator(), processes=0)


def test_cores():
    assert 1 <= cores() <= 8 and cores(Pendulum()) == cores()


def test_what_cannot_be_sent_stays_in_one_process():
    @dataclasses.dataclass(frozen=True)
    class Mine(DoubleIntegrator):
        pass

    assert cores(Mine()) == cores(lambda: 1) == 1


def _still(t, z):
    return torch.zeros_like(z[:, :1])


def _alone(work):
    """Its answer in a context without processes."""
    return contextvars.Context().run(work)
