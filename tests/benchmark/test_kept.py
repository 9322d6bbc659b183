"""A benchmark that is killed has no finished run without its policy."""

import pytest
from killed import kills

from pontryagin import DoubleIntegrator
from pontryagin.training.agents import load_controller
from pontryagin.training.benchmark import BenchmarkConfig
from pontryagin.training.benchmark.benchmark import benchmark, keep, make_jobs
from pontryagin.training.benchmark.run import run_job


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
