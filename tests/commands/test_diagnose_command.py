"""``pontryagin diagnose``: what it prints, what it writes and what it refuses."""

import json
import math

import pytest
from weighed import Weighed, made, states

from pontryagin import GradientAscent
from pontryagin.training.commands.cli import main
from pontryagin.training.theory.diagnose import choices, diagnose
from pontryagin.training.theory.diagnose_report import print_diagnosis


def test_bad_input_is_refused_in_a_sentence(capsys):
    policy = made(Weighed())
    z0 = states(policy.problem)
    with pytest.raises(ValueError, match="times is 6; expected 1 to 5, the steps of Weighed"):
        diagnose(policy, z0, times=6)
    with pytest.raises(ValueError, match="times is 0; expected 1 to 5"):
        diagnose(policy, z0, times=0)
    with pytest.raises(ValueError, match="z0 holds no state"):
        diagnose(policy, z0[:0], times=2)
    with pytest.raises(ValueError, match=r"z0 has shape \(3, 1\)"):
        diagnose(policy, z0[:, :1], times=2)
    with pytest.raises(ValueError, match="step_size is 0.1, but operator 'newton' has none"):
        choices("newton", 0.1)
    with pytest.raises(ValueError, match="expected a positive, finite number"):
        choices("ascent", -1.0)
    for arguments in (["--states", "0"], ["--times", "1000"]):
        with pytest.raises(SystemExit):
            main(["diagnose", "quadrotor", *arguments])
        assert "expected " in capsys.readouterr().err


def test_the_command_prints_and_writes(tmp_path, capsys):
    main(["diagnose", "quadrotor", "--states", "2", "--times", "3", "--out-dir", str(tmp_path)])
    printed = capsys.readouterr().out
    for word in ("T contracts at u*", "Newton", "ascent", "Ass. 2", "holds", "measured", "diagnosis.json"):
        assert word in printed
    assert "[green]" not in printed and "[/]" not in printed
    record = json.loads((tmp_path / "diagnosis.json").read_text(encoding="utf-8"))
    assert record["command"].startswith("pontryagin diagnose quadrotor --states 2 --times 3 --seed 0")
    ascent, newton = record["operators"]
    assert ascent["name"] == "GradientAscent" and 0.01 < ascent["step_size"] < 0.1
    assert newton["name"] == "ProjectedNewton"
    ascent, newton = record["assumptions"]["gamma"]["cells"]
    assert newton["verdict"] == "holds" and newton["worst"] < 1e-12 and 0 < ascent["worst"] < 1
    assert record["assumptions"]["variance"]["cells"][1]["verdict"] == "not applicable"
    assert (tmp_path / "diagnosis.png").read_bytes()[:4] == b"\x89PNG"


def test_one_operator_and_json(capsys):
    main(["diagnose", "quadrotor", "--states", "1", "--times", "1", "--operator", "newton", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert [x["name"] for x in record["operators"]] == ["ProjectedNewton"] and record["states"] == 1
    policy = made(Weighed())
    found = diagnose(policy, states(policy.problem, 1), choices("ascent", 0.3), times=1)
    assert [part.operator for part in found.operators] == [GradientAscent(0.3)]
    print_diagnosis(found, "a problem of one's own")
    assert "ascent, α = 0.3" in capsys.readouterr().out
    assert math.isclose(float(found.operators[0].gamma), 0.7)
