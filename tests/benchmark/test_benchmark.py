"""The benchmark: what is run, what is kept, what is drawn, and that everything counts."""

import dataclasses
import importlib
import json
import sys
import types

import numpy as np
import pytest
import torch
from conftest import Ticks

from pontryagin import DoubleIntegrator, MultiBicycle, Quadrotor, TrainConfig, train
from pontryagin.controllers.baselines.direct import DirectPolicy
from pontryagin.envs import catalog
from pontryagin.training import recipes
from pontryagin.training import train as training
from pontryagin.training.agents import load_controller
from pontryagin.training.benchmark import methods
from pontryagin.training.benchmark.benchmark import benchmark, make_jobs
from pontryagin.training.benchmark.config import BenchmarkConfig
from pontryagin.training.benchmark.methods import METHODS, Task, env_steps
from pontryagin.training.benchmark.run import evaluation_states, known_optima, run_job
from pontryagin.training.benchmark.table import rows
from pontryagin.training.checkpoint import History
from pontryagin.training.commands.cli import main

module = importlib.import_module("pontryagin.training.benchmark.benchmark")  # the room's name is the function's
BRIEF = {"time_budget": "0.3s", "seeds": 2, "states": 6, "mpc_states": 2, "robust_states": 2, "film": False}


def brief(folder, **changes):
    return BenchmarkConfig(**{**BRIEF, "out": folder / "results", "policies": folder / "runs", **changes})


@pytest.fixture
def here(monkeypatch):
    """Runs in this process, and counts them."""
    done = []

    def spread(jobs, config):
        for job in jobs:
            done.append(job.label)
            yield job, run_job(job)

    monkeypatch.setattr(module, "spread_processes", spread)
    return done


def test_a_budget_is_a_number_and_a_unit():
    assert [BenchmarkConfig(time_budget=b).budget_seconds for b in ("60s", "10m", "1.5h")] == [60, 600, 5400]
    for budget in ("10", "m", "10 minutes", "0s"):
        with pytest.raises(ValueError, match="time_budget"):
            BenchmarkConfig(time_budget=budget)
    with pytest.raises(ValueError, match="expected some of jfb"):
        BenchmarkConfig(methods="jfb,dqn")
    with pytest.raises(ValueError, match="seeds"):
        BenchmarkConfig(seeds=0)
    config = BenchmarkConfig(methods="jfb, ppo,jfb", time_budget="60s", film=False, workers=2)
    assert config.names == ["jfb", "ppo"]
    asked = "pontryagin benchmark quadrotor --methods jfb, ppo,jfb --time-budget 1m --workers 2 --no-film"
    assert config.command("quadrotor") == asked


def test_runs_go_seed_by_seed_and_only_those_that_learn_have_several():
    jobs = make_jobs("quadrotor", BenchmarkConfig(methods="jfb,lqr-tracking,ppo,mpc", seeds=2))
    assert [job.label for job in jobs] == ["jfb-0", "lqr-tracking-0", "ppo-0", "mpc-0", "jfb-1", "ppo-1"]
    assert {job.states for job in jobs if job.method != "mpc"} == {128}
    assert [(job.states, job.robust_states) for job in jobs if job.method == "mpc"] == [(16, 2)]
    assert all(job.threads == 1 and job.budget == 600 for job in jobs)
    crowd = make_jobs("bicycle100", BenchmarkConfig(methods="jfb,ppo", seeds=1))
    assert [(job.states, job.robust_states) for job in crowd] == [(128, 8), (128, 64)]


def test_a_benchmark_goes_on_where_it_was(tmp_path, here):
    config = brief(tmp_path, methods="direct,lqr-tracking")
    records = benchmark("double_integrator", config, lambda line: None)
    assert here == ["direct-0", "lqr-tracking-0", "direct-1"] == [f"{r['method']}-{r['seed']}" for r in records]
    stored = json.loads((tmp_path / "results" / "double_integrator" / "direct-1.json").read_text())
    assert stored == json.loads(json.dumps(records[2]))
    assert {"versions", "threads", "command", "machine", "curve", "cost", "robustness", "settings"} <= set(stored)
    policy = load_controller(tmp_path / "runs" / "double_integrator" / "direct-1", DoubleIntegrator())
    assert isinstance(policy, DirectPolicy)
    flown = DoubleIntegrator().sample_initial_state(128, torch.Generator().manual_seed(0))[:6]
    from pontryagin import evaluate

    np.testing.assert_allclose(evaluate(DoubleIntegrator(), policy, flown).cost, stored["cost"], rtol=1e-5)
    told = []
    assert benchmark("double_integrator", config, told.append) == records and len(here) == 3
    assert "3 of them finished before" in told[0]
    (tmp_path / "results" / "double_integrator" / "lqr-tracking-0.json").unlink()
    benchmark("double_integrator", config, told.append)
    assert here[3:] == ["lqr-tracking-0"]
    with pytest.raises(ValueError, match="budget_seconds.*expected the same, or --fresh"):
        benchmark("double_integrator", dataclasses.replace(config, time_budget="0.4s"), told.append)
    benchmark(
        "double_integrator", dataclasses.replace(config, methods="lqr-tracking", states=4, fresh=True), told.append
    )
    assert here[4:] == ["lqr-tracking-0"]


def test_what_fails_says_why_and_is_tried_again(tmp_path, here):
    catalog.PROBLEMS["crowd"] = (MultiBicycle, {"num_agents": 30})
    try:
        config, told = brief(tmp_path, methods="lqr-tracking,mpc"), []
        records = benchmark("crowd", config, told.append)
        assert "has 120 states" in records[0]["failed"] and "failed: MultiBicycle has 120" in told[1]
        benchmark("crowd", config, told.append)
        assert here == ["lqr-tracking-0", "mpc-0"] * 2
        assert [row[:3] for row in rows(records)] == [("LQR tracking", "0", "-"), ("MPC", "0", "-")]
    finally:
        del catalog.PROBLEMS["crowd"]


@pytest.mark.parametrize(("factor", "lost"), [(1e30, 1.0), (float("nan"), None)])
def test_lost_flights_are_a_row_and_a_controller_without_an_answer_is_none(factor, lost, tmp_path, here, monkeypatch):
    wild = methods.Trained(lambda t, z: z[:, :1] * factor, [], 0.0, 0.0, {})
    monkeypatch.setitem(METHODS, "lqr-tracking", dataclasses.replace(METHODS["lqr-tracking"], make=lambda task: wild))
    (record,) = benchmark("double_integrator", brief(tmp_path, methods="lqr-tracking"), lambda line: None)
    assert record.get("summary", {}).get("lost_rate") == lost
    assert ("the controller's answer is not finite" in record.get("failed", "")) == (lost is None)


def test_the_command_writes_table_figures_and_page(tmp_path, here, capsys):
    words = "--methods direct,lqr-tracking --time-budget 0.3s --seeds 2 --states 5 --robust-states 2 --policies"
    main(["benchmark", "double_integrator", *words.split(" "), f"{tmp_path}/p", "--out-dir", f"{tmp_path}/r"])
    folder = tmp_path / "r" / "double_integrator"
    pictures = {"curves.png", "gaps.png", "paths.png", "latency.png", "robustness.png", "film.gif"}
    assert {*pictures, "table.md", "report.html"} <= {path.name for path in folder.iterdir()}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5 and page.count("data:image/gif;base64,") == 1
    assert "http" not in page and "pontryagin benchmark double_integrator" in page
    table = (folder / "table.md").read_text()
    assert table.count("\n|") == 3 and "`pontryagin benchmark double_integrator --methods direct,lqr-tracking" in table
    assert "LQR" in capsys.readouterr().out


def test_ray_spreads_the_same_function(tmp_path, monkeypatch):
    """A stand-in for Ray: a remote that runs here; the slow test takes the real one."""
    asked, results = [], {}

    def remote(**options):
        asked.append(options)

        def submit(job):
            results[job.label] = run(job)
            return job.label

        return lambda function: types.SimpleNamespace(remote=submit)

    def run(job):
        return module.Outcome({"method": job.method, "failed": job.label}, {})

    stand_in = types.ModuleType("ray")
    stand_in.is_initialized, stand_in.init, stand_in.shutdown = lambda: False, lambda **o: None, lambda: None
    stand_in.remote, stand_in.get = remote, results.get
    stand_in.wait = lambda handles, num_returns: (handles[-1:], handles[:-1])
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    config = brief(tmp_path, methods="direct,lqr-tracking", ray=True, threads=3)
    records = benchmark("double_integrator", config, lambda line: None)
    assert [r["failed"] for r in records] == ["direct-0", "lqr-tracking-0", "direct-1"]
    assert asked == [{"num_cpus": 3, "max_calls": 1}]
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pontryagin\[ray\]"):
        benchmark("double_integrator", config, lambda line: None)


def test_everything_counts_in_the_budget(monkeypatch):
    """With ``count_all`` what comes before the first iteration is part of the budget; without, it is extra."""
    make, clock = training.make_value, Ticks()

    def slow(problem, config, device=None):
        clock.now += 10
        return make(problem, config, device)

    monkeypatch.setattr(training, "make_value", slow)
    monkeypatch.setattr(training, "time", clock)
    for count_all, before in ((False, 0), (True, 10 + clock.tick)):
        config = TrainConfig(time_budget="24s", count_all=count_all, width=8, batch=4, validate_every=1)
        _, history = train(DoubleIntegrator(steps=4), config)
        assert history.column("seconds") == [before + i for i in history.column("iteration")]
        assert history.rows[-1]["seconds"] == 24


def test_a_budget_that_is_spent_before_the_first_iteration_leaves_one(tmp_path):
    config = TrainConfig(time_budget=6e-8, count_all=True, width=8, batch=4, out=tmp_path)
    _, history = train(DoubleIntegrator(steps=4), config)
    assert [row["iteration"] for row in history.rows] == [1] and (tmp_path / "policy.json").exists()


def test_env_steps_count_short_rollouts_as_short():
    config = TrainConfig(time_budget="1m", batch=10, steps=5, fine_share=0.5)
    history = History([{"iteration": i, "seconds": s} for i, s in ((100, 10.0), (200, 29.0), (300, 45.0))])
    problem = DoubleIntegrator(steps=20)
    assert env_steps(history, config, problem) == [5_000, 10_000, 30_000]
    whole = dataclasses.replace(config, steps=None)
    assert env_steps(history, whole, problem) == [20_000, 40_000, 60_000]


@pytest.mark.parametrize(("name", "train"), [("jfb", "train"), ("direct", "train_direct")])
def test_a_budget_that_went_into_the_start_is_said(monkeypatch, name, train):
    row = {"iteration": 1.0, "seconds": 61.0, "validation_cost": 9.0}
    monkeypatch.setattr(methods, train, lambda problem, config: (None, History([row])))
    for budget, first in ((60.0, "the start"), (200.0, "compiling and the start")):
        note = METHODS[name].make(Task("quadrotor", Quadrotor(), 0, budget)).note
        assert note == f"no more than 1 iterations, for the budget went into {first}; give it more"
    row["iteration"] = 10.0
    assert METHODS[name].make(Task("quadrotor", Quadrotor(), 0, 60.0)).note == ""


def test_compiling_is_for_budgets_that_can_pay_for_it(monkeypatch):
    seen = []
    monkeypatch.setattr(methods, "train", lambda problem, config: seen.append(config) or (None, History([])))
    for budget in (60.0, 600.0):
        METHODS["jfb"].make(Task("quadrotor", Quadrotor(), 1, budget))
    METHODS["jfb-random"].make(Task("quadrotor", Quadrotor(), 1, 600.0))
    assert [config.compile for config in seen] == [False, True, True]
    assert all(config.count_all and config.seed == 1 and config.device == "cpu" for config in seen)
    assert seen[1].time_budget == pytest.approx(600, abs=0.6) and seen[1].width == recipes.recipe("quadrotor").width
    assert [(config.anchor, config.anchors) for config in seen[:2]] == [("distilled", 60), ("distilled", 600)]
    assert seen[2].anchor == "none" and seen[2].width == recipes.recipe("quadrotor", taught=False).width


def test_optima_are_found_for_all_states_or_beside_them():
    problem = Quadrotor()
    z0 = evaluation_states(problem, 16)
    states, optima = known_optima(problem, z0)
    assert states is z0 and optima.cost.shape == (16,)
    torch.testing.assert_close(optima.z[0].float(), z0)
    assert torch.equal(z0, evaluation_states(problem, 128)[:16])
    crowd = catalog.make_problem("bicycle100")
    states, optima = known_optima(crowd, evaluation_states(crowd, 8))
    assert states.shape == (4, 400) and float(optima.cost.mean()) == pytest.approx(306.459, abs=0.01)
    assert known_optima(DoubleIntegrator(), evaluation_states(DoubleIntegrator(), 4)) is None


@pytest.mark.slow
@pytest.mark.parametrize("ray", [False, True])
def test_runs_in_processes_of_their_own(tmp_path, ray):
    if ray:
        pytest.importorskip("ray.remote_function", reason="Ray is not installed: pip install 'pontryagin[ray]'")
    config = brief(tmp_path, methods="ppo,direct,lqr-tracking", seeds=1, ray=ray, workers=2)
    records = benchmark("double_integrator", config, lambda line: None)
    assert [r["method"] for r in records] == ["ppo", "direct", "lqr-tracking"] and not any(
        "failed" in r for r in records
    )
    assert (
        records[0]["versions"]["stable_baselines3"] and (tmp_path / "runs/double_integrator/ppo-0/policy.json").exists()
    )
