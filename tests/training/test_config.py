"""What a run is asked for: every field has a rule, and what breaks it is refused before anything runs."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pontryagin import TrainConfig, train, train_direct
from pontryagin.controllers.storage import read_store, write_store
from pontryagin.training.benchmark import BenchmarkConfig, TuneConfig
from pontryagin.training.checkpoint import plain_config
from pontryagin.training.commands.cli import main
from pontryagin.training.config_descent import DescentConfig, RunConfig
from pontryagin.training.config_model import NetworkConfig, SearchConfig, StartConfig
from pontryagin.training.duration import seconds, spoken
from pontryagin.training.rules import Checked, rules
from pontryagin.training.theory import CompareConfig

GROUPS = (RunConfig, NetworkConfig, SearchConfig, StartConfig, DescentConfig)
BRIEF = {"iterations": 1, "batch": 2, "validation_states": 2, "width": 4}


def names(kind):
    return [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("kind", [TrainConfig, *GROUPS, BenchmarkConfig, TuneConfig, CompareConfig])
def test_every_field_has_a_rule(kind):
    assert list(rules(kind)) == names(kind)


def test_a_field_without_a_rule_is_an_error_of_the_class():
    @dataclasses.dataclass(frozen=True)
    class Loose(Checked):
        size: int = 1

    with pytest.raises(TypeError, match="no rule"):
        Loose()


def test_construction_is_flat_and_the_fields_are_in_groups():
    assert names(TrainConfig) == [name for group in GROUPS for name in names(group)]
    config = TrainConfig(iterations=5, seed=3, width=8, time_budget="15m")
    changed = dataclasses.replace(config, batch=8)
    assert (changed.batch, changed.width, changed.budget_seconds) == (8, 8, 900.0)
    assert NetworkConfig(width=8).width == 8 and SearchConfig().make_operator().backtracks == 3


REFUSED = {
    "operator": ["Newton", "sgd", None, 1],
    "gradient": ["JFB", "jbf"],
    "starts": ["globl"],
    "anchor": ["Multi", True],
    "blend": ["Value", "costates"],
    "batch": [0, -1, 2.5, 8.0, True, "8", None, math.nan],
    "width": [-1, 2.5, False],
    "steps": [0, 1.5, True],
    "iterations": [0, 1e4, math.inf],
    "seed": [-1, 0.5, True, None, 2**63, "0"],
    "learning_rate": [0, -1.0, math.nan, math.inf, "1e-2", True, None, 10**400],
    "hjb_weight": [-1, math.nan, math.inf],
    "argmax_tolerance": [-1e-9, math.nan],
    "gradient_clip": [0, math.nan],
    "checkpoint_seconds": [0, math.nan],
    "rollback": [1, math.nan, True],
    "adjoint_clip": [0, math.nan],
    "fine_share": [-0.1, 1.1, math.nan],
    "nominal_share": [0, 1.1],
    "warmup": [1.0, -0.1],
    "nominal": [1, "yes", None],
    "time_budget": [0, -1, "15", "m", "15 minutes", "nans", math.inf, True],
    "device": ["gpu", "meta", "cuda:99", "", None, 0],
    "out": [3, ""],
    "begin_from": ["", 3],
    "disturb": ["", "wind", "wind=", "=0.1", "wind=-1", "wind=nan", "wind=inf", "wind=1,wind=2", "mass=1.2:0.8", 3],
    "disturb_share": [0, 1.1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_refused_values(name, value):
    with pytest.raises(ValueError) as refusal:
        TrainConfig(**{name: value})
    text = str(refusal.value)
    assert text.startswith(f"TrainConfig.{name} is {value!r}; expected ") and "\n" not in text


def test_a_wrong_word_is_answered_with_the_close_one():
    with pytest.raises(ValueError, match="expected one of newton, ascent; did you mean newton?"):
        TrainConfig(operator="Newton")
    with pytest.raises(ValueError, match="expected one of jfb, implicit, unroll$"):
        TrainConfig(gradient="backpropagation")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"resume": True}, "resume"),
        ({"anchor": "multi", "steps": 5}, "steps"),
        ({"anchor": "nominal", "nominal": True}, "nominal"),
    ],
)
def test_refused_combinations(fields, name):
    with pytest.raises(ValueError, match=f"TrainConfig.{name} is"):
        TrainConfig(**fields)


def test_values_become_plain_python():
    config = TrainConfig(
        batch=np.int64(8), learning_rate=np.float32(0.5), compile=np.bool_(True),
        hjb_weight=1, time_budget=np.float64(90), out="runs/x", begin_from=Path("runs/y"), device=torch.device("cpu"),
        gradient_clip=math.inf, rollback=None,
    )  # fmt: skip
    expected = {
        "batch": 8, "learning_rate": 0.5, "compile": True, "hjb_weight": 1.0, "time_budget": 90.0,
        "out": Path("runs/x"), "begin_from": "runs/y", "device": "cpu", "gradient_clip": math.inf,
    }  # fmt: skip
    for name, value in expected.items():
        found = getattr(config, name)
        assert found == value and isinstance(found, type(value)) and not isinstance(found, np.generic), name
    assert json.loads(json.dumps(plain_config(config)))["out"] == "runs/x"


@pytest.mark.parametrize("start", [train, train_direct])
def test_out_that_cannot_be_written_is_refused_before_anything_runs(pendulum, tmp_path, monkeypatch, start):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(type(pendulum), "sample_initial_state", lambda *_: pytest.fail("it ran"))
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"TrainConfig.out is '.*file.*'; expected a folder that can be written"):
            start(pendulum, TrainConfig(**BRIEF, out=out))


def test_a_run_may_be_given_its_folder_as_text(pendulum, tmp_path):
    train(pendulum, TrainConfig(**BRIEF, out=str(tmp_path / "run")))
    assert {"checkpoint.json", "config.json", "policy.json"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_run_of_an_older_version_is_refused_in_one_sentence(pendulum, tmp_path):
    config = TrainConfig(**BRIEF, out=tmp_path)
    train(pendulum, config)
    tensors, record = read_store(tmp_path, "checkpoint")
    del record["config"]["time_budget"]
    record["config"] |= {"minutes": 3.0, "tracked": 1}
    kept = {k: v for k, v in record.items() if k not in ("format", "weights", "weights_sha256", "checksum")}
    write_store(tmp_path, "checkpoint", tensors, kept)
    with pytest.raises(ValueError, match="older version: this one does not know its settings minutes, tracked and"):
        train(pendulum, dataclasses.replace(config, resume=True))


def test_a_resumed_run_may_have_another_budget(pendulum, tmp_path):
    train(pendulum, TrainConfig(**BRIEF, out=tmp_path, time_budget="1h"))
    more = TrainConfig(**BRIEF | {"iterations": 2}, out=tmp_path, time_budget="2h", resume=True)
    assert train(pendulum, more)[1].rows[-1]["iteration"] == 2


def test_a_duration_is_a_number_and_a_unit():
    assert [seconds(text) for text in ("90s", "15m", "1.5h", 3, 0.5)] == [90, 900, 5400, 3, 0.5]
    for text in ("15", "m", "", "10 minutes", "0s", "-1m", "infs", "nanm", 0, True, None):
        with pytest.raises(ValueError, match="90s, 15m or 1h"):
            seconds(text)
    assert [spoken(n) for n in (90.0, 600.0, 3600.0, 0.3)] == ["90s", "10m", "1h", "0.3s"]
    assert all(seconds(spoken(n)) == n for n in np.geomspace(1e-9, 1e6, 200).tolist())


@pytest.mark.parametrize("command", ["train", "benchmark", "tune", "compare-gradients"])
def test_the_command_line_asks_for_the_unit_of_a_time(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "double_integrator", "--time-budget", "15"])
    answer = capsys.readouterr()
    assert "90s|15m|1h" in answer.out + answer.err and "'15'" in answer.out + answer.err
