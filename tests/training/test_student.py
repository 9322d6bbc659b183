"""What ``solve`` teaches a network: it flies, is measured with the rest, and can be exported."""

import json

import pytest
import torch

from pontryagin import DoubleIntegrator, ImplicitPolicy, evaluate, solve
from pontryagin.envs.states import drawn
from pontryagin.training.commands.cli import main


def test_a_network_is_taught_and_measured_with_the_rest(tmp_path, capsys):
    words = ["--time-budget", "5s", "--states", "4", "--network", "2s", "--processes", "1", "--out-dir", str(tmp_path)]
    main(["solve", "double_integrator", *words])
    assert "network, to be exported" in capsys.readouterr().out
    assert "network, to be exported" in (tmp_path / "report.html").read_text()
    told = json.loads((tmp_path / "solved.json").read_text())
    network = ImplicitPolicy.load(tmp_path / "network", device="cpu")
    assert network.max_iterations > 0 and any(True for _ in network.value.parameters())
    z0 = drawn(network.problem, 4, torch.Generator().manual_seed(90_001))
    cost = evaluate(network.problem, network, z0).cost
    assert cost.tolist() == pytest.approx(told["network_cost"], rel=1e-5)
    assert cost.tolist() == pytest.approx(told["optimum"], rel=1e-2)


def test_it_can_be_exported(tmp_path):
    pytest.importorskip("onnxruntime")
    solve(DoubleIntegrator(), "5s", states=4, network="1s", out=tmp_path)
    main(["export", str(tmp_path / "network"), "--to", "onnx", "--out-dir", str(tmp_path / "export")])
    main(["parity", str(tmp_path / "export"), "--states", "20"])


def test_a_time_for_the_network_that_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="0s"):
        solve(DoubleIntegrator(), "5s", out=tmp_path, network="0s")
    assert not (tmp_path / "optima.npz").exists()


def test_lessons_that_make_it_worse_are_forgotten(monkeypatch):
    def spoil(value, *_, **__):
        with torch.no_grad():
            for weight in value.parameters():
                weight += 1.0

    monkeypatch.setattr("pontryagin.training.student.teach", spoil)
    found = solve(DoubleIntegrator(), "5s", states=4, network="1s")
    assert all(weight.abs().max() == 0 for weight in (found.network.value.network.output,))
    assert torch.allclose(found.network_cost, found.optima.cost, rtol=1e-3)
