"""A benchmark that is killed has no finished run without its policy."""

from killed import kills

from pontryagin import DoubleIntegrator
from pontryagin.training.benchmark import BenchmarkConfig
from pontryagin.training.benchmark.benchmark import keep, make_jobs
from pontryagin.training.benchmark.methods import load_controller
from pontryagin.training.benchmark.run import run_job


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
