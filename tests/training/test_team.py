"""Several processes train as one: the same curve, the same weights, one folder, and a sentence where one is lost."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pontryagin import ImplicitPolicy, TrainConfig, train
from pontryagin.training import parallel
from pontryagin.training.parallel import Team, from_first, gathered, own_device, share_gradient, team

BRIEF = {"iterations": 6, "validate_every": 2, "batch": 7, "validation_states": 5, "width": 8, "argmax_iterations": 2}
SCRIPT = """
import dataclasses, json, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from conftest import Pendulum
from pontryagin import TrainConfig, train
from pontryagin.training.parallel import from_first, gathered, joined, team
BRIEF, out = json.loads(sys.argv[2]), Path(sys.argv[1])

def weights(policy):
    return torch.cat([w.detach().reshape(-1) for w in policy.value.parameters()])

with joined("cpu"):
    me = team()
    told = {{"team": [me.rank, me.count], "gathered": gathered([f"{{k}}" for k in range(me.rank, 3, me.count)])}}
    config = TrainConfig(**BRIEF, out=out / "run", checkpoint_seconds=1e-9)
    policy, history = train(Pendulum(), config)
    told["validation_cost"], told["cost"] = history.column("validation_cost"), history.column("cost")
    told["apart"] = (weights(policy) - from_first(lambda: weights(policy))).abs().max().item()
    try:
        train(Pendulum(), config)
    except ValueError as error:
        told["refused"] = f"{{type(error).__name__}}: {{error}}"
    try:
        train(Pendulum(), TrainConfig(**BRIEF | {{"batch": 1}}))
    except ValueError as error:
        told["few"] = str(error)
    lessons = TrainConfig(**BRIEF | {{"iterations": 1}}, anchor="distilled", anchors=6, distill_iterations=4)
    told["distilled"] = train(Pendulum(), lessons)[1].column("validation_cost")
    optimum = TrainConfig(**BRIEF | {{"iterations": 1}}, anchor="expansion", candidates=2, agent_width=4)
    held = TrainConfig(
        **BRIEF | {{"iterations": 1}}, anchor="distilled", hamiltonian="held", candidates=3, anchors=6,
        distill_iterations=4,
    )
    told["taught"] = train(Pendulum(), held)[1].column("validation_cost")
    told["expanded"] = train(Pendulum(), optimum)[1].column("validation_cost")
(out / f"{{me.rank}}.json").write_text(json.dumps(told))
"""


def torchrun(count, *words, **options):
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count), *map(str, words)]
    return subprocess.Popen(line, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, **options)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes say."""
    out = tmp_path_factory.mktemp("two")
    script = out / "run.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1])))
    with torchrun(2, script, out, json.dumps(BRIEF), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        printed = run.communicate()[0]
    assert run.returncode == 0, printed
    told = [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]
    return {"told": told, "printed": printed, "folder": out / "run"}


def test_the_curve_is_that_of_one_process(two, pendulum):
    alone = train(pendulum, TrainConfig(**BRIEF))[1]
    for told in two["told"]:
        assert told["validation_cost"] == pytest.approx(alone.column("validation_cost"), rel=1e-5)
        assert told["cost"] == pytest.approx(alone.column("cost"), rel=1e-5)
    other = train(pendulum, TrainConfig(**BRIEF | {"batch": 6}))[1]
    assert other.column("cost") != pytest.approx(alone.column("cost"), rel=1e-3)  # which rows were flown matters


def test_all_have_the_same_weights_to_the_last_bit_and_the_first_one_speaks(two):
    first, second = two["told"]
    assert first["apart"] == second["apart"] == 0 and first["validation_cost"] == second["validation_cost"]
    assert (first["team"], second["team"]) == ([0, 2], [1, 2])
    assert two["printed"].count("iter      6 ") == 1
    assert first["gathered"] == second["gathered"] == ["0", "1", "2"]


def test_a_folder_is_refused_to_all(two):
    first, second = two["told"]
    assert first["refused"].startswith("ValueError: ") and second["refused"].startswith("Said: ")
    assert first["refused"].partition(": ")[2] == second["refused"].partition(": ")[2]
    assert "holds a run already" in first["refused"] and "batch is 1 on 2 processes" in second["few"]


def test_lessons_and_optima_are_those_of_one_process(two, pendulum):
    brief = BRIEF | {"iterations": 1}
    lessons = TrainConfig(**brief, anchor="distilled", anchors=6, distill_iterations=4)
    optimum = TrainConfig(**brief, anchor="expansion", candidates=2, agent_width=4)
    held = dataclasses.replace(lessons, hamiltonian="held", candidates=3)
    for name, config in (("distilled", lessons), ("taught", held), ("expanded", optimum)):
        alone = train(pendulum, config)[1].column("validation_cost")
        for told in two["told"]:
            assert told[name] == pytest.approx(alone, rel=1e-4)


def test_one_process_goes_on_where_two_ended(two, pendulum):
    config = TrainConfig(**BRIEF | {"iterations": 8}, out=two["folder"], resume=True)
    resumed = train(pendulum, config)[1]
    assert resumed.column("iteration") == [2, 4, 6, 8]
    assert resumed.column("validation_cost")[:3] == two["told"][0]["validation_cost"]
    assert ImplicitPolicy.load(two["folder"], problem=pendulum)


def test_rows_are_shared_out_without_a_gap():
    for batch, count in ((7, 3), (8, 4), (5, 5), (64, 1)):
        rows = [Team(rank, count).rows(batch) for rank in range(count)]
        assert [i for r in rows for i in range(batch)[r]] == list(range(batch))
    with pytest.raises(ValueError, match="validation_states is 2 on 3 processes"):
        Team(0, 3).rows(2, "validation_states")


def test_alone_nothing_is_sent(monkeypatch):
    monkeypatch.setattr(parallel.dist, "all_reduce", None)
    model = torch.nn.Linear(2, 1)
    model.weight.grad = torch.ones(1, 2)
    told = share_gradient(model, 0.5, (torch.tensor(3.0), 4.0))
    assert [x.tolist() for x in told] == [3, 4] and team() == Team(0, 1)
    assert model.weight.grad.tolist() == [[0.5, 0.5]] and model.bias.grad.tolist() == [0]
    assert from_first(lambda: 7) == 7 and gathered([1, 2]) == [1, 2]


def test_a_process_without_a_gpu_of_its_own_says_so(monkeypatch):
    monkeypatch.setattr(parallel, "device_named", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert own_device("auto", 2) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match=r"no GPU of its own: there are 1"):
        own_device("auto", 2)


LINE = [
    "-m",
    "pontryagin",
    "train",
    "quadrotor",
    "--anchor",
    "none",
    "--compile",
    "no",
    "--validate-every",
    "5",
    "--validation-states",
    "8",
]


def curve(folder):
    rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    return [float(x) for row in rows[1:] for x in (row[2], row[3])]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_iterations_of_the_quadrotor(tmp_path):
    for count in (1, 2):
        line = [*LINE, "--optimizer", "adam", "--iterations", 50]  # SOAP magnifies rounding: 0.2 % apart by then
        with torchrun(count, *line, "--out-dir", tmp_path / str(count)) as run:
            assert run.wait() == 0
    assert curve(tmp_path / "2") == pytest.approx(curve(tmp_path / "1"), rel=1e-5)


def workers(run):
    return [int(x) for x in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux says there which processes are whose")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_one_that_is_lost_ends_all_and_ctrl_c_keeps_the_run(tmp_path, name):
    line = [*LINE, "--iterations", 1000, "--checkpoint-seconds", "0.001", "--steps", "4", "--fine-share", "0"]
    with torchrun(2, *line, "--out-dir", tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.readline()
        own = workers(run)
        if name == "SIGKILL":
            os.kill(max(own), signal.SIGKILL)
        else:
            run.send_signal(signal.SIGINT)
        printed, said = run.communicate(timeout=120)
    assert run.returncode != 0 and (tmp_path / "checkpoint.json").exists()
    if name == "SIGINT":
        assert said.count("interrupted; go on with: pontryagin train quadrotor") == 1
    else:
        assert "another process of this run is gone" in said or "SIGKILL" in said or "Signal 9" in said, said
    assert len(own) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in own)
