"""A benchmark that is killed has no finished run without its policy; a forged record is a sentence."""

import json
import sys
from pathlib import Path

import pytest
from killed import kills

import pontryagin
from pontryagin import DoubleIntegrator
from pontryagin.training.agents import load_controller
from pontryagin.training.benchmark import BenchmarkConfig
from pontryagin.training.benchmark.benchmark import _check_figures, benchmark, keep, make_jobs
from pontryagin.training.benchmark.run import Outcome, run_job


@pytest.mark.parametrize("field", ["out", "policies"])
def test_folders_are_tried_before_anything_runs(tmp_path, monkeypatch, field):
    (tmp_path / "file").write_text("")
    config = BenchmarkConfig(**{"out": tmp_path / "a", "policies": tmp_path / "b", field: tmp_path / "file"})
    monkeypatch.setattr("pontryagin.training.benchmark.run.run_job", lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError, match=rf"BenchmarkConfig\.{field} is .*expected a folder that can be written to"):
        benchmark("double_integrator", config, lambda line: None)


def test_a_kill_never_leaves_a_finished_run_without_its_policy(tmp_path, monkeypatch):
    config = BenchmarkConfig(methods="direct", time_budget="0.3s", seeds=1, states=6, robust_states=2, film=False)
    points = 0
    answer = run_job(make_jobs("double_integrator", config)[0])
    record, policy = tmp_path / "results" / "direct-0.json", tmp_path / "runs" / "direct-0"
    assert "policy.json" in answer.files
    for _ in kills(monkeypatch, lambda: keep(answer, record, policy)):
        points += 1
        if record.exists():
            load_controller(policy, DoubleIntegrator())
            record.unlink()
        for file in policy.glob("[!.]*"):
            file.unlink()
    assert points >= 6 and record.exists()


def test_a_forged_record_is_refused_before_anything_runs(tmp_path, monkeypatch):
    config = BenchmarkConfig(
        methods="lqr-tracking", seeds=1, states=4, robust_states=0, film=False, out=tmp_path, policies=tmp_path / "runs"
    )
    whole = run_job(make_jobs("double_integrator", config)[0]).record
    file = tmp_path / "double_integrator" / "lqr-tracking-0.json"
    module = sys.modules["pontryagin.training.benchmark.benchmark"]
    monkeypatch.setattr(module, "spread_processes", lambda jobs, _: pytest.fail("it ran") if jobs else iter(()))
    forgeries = [
        {k: v for k, v in whole.items() if k != gone} for gone in ("summary", "path", "cost", "curve", "seconds")
    ]
    forgeries += [
        {**whole, key: bad}
        for key in ("summary", "path", "seconds", "cost", "gap")
        for bad in ("x", 3, [[1], [1, 2]])
        if not (key == "seconds" and bad == 3)
    ]
    for forged in [whole, *forgeries]:
        keep(Outcome(forged, {}), file, tmp_path / "none")
        if forged is whole:
            assert benchmark("double_integrator", config, lambda line: None)[0]["cost"] == whole["cost"]
            continue
        with pytest.raises(ValueError, match=r"lqr-tracking-0\.json does not describe what it should"):
            benchmark("double_integrator", config, lambda line: None)


def test_the_records_that_ship_are_read():
    records = sorted((Path(pontryagin.__file__).parent / "results" / "benchmark").glob("*/*-[0-9].json"))
    if not records:
        pytest.skip("an installed package has no results")
    for path in records:
        record = json.loads(path.read_text(encoding="utf-8"))
        if "failed" not in record:
            _check_figures(record)
