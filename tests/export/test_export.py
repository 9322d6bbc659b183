"""Exported policies answer as the policy in torch does, and say what they are."""

import ast
import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pontryagin
from pontryagin import GradientAscent, ImplicitPolicy, MultiBicycle, ValueFunction
from pontryagin.controllers.export import numpy_runtime
from pontryagin.controllers.export.export import export_policy
from pontryagin.controllers.export.runtimes import load_runtime, read_contract
from pontryagin.controllers.value.anchored import AnchoredValue
from pontryagin.envs.compiling import compiler_at_hand
from pontryagin.envs.integrate import rollout
from pontryagin.envs.steering import JUMP
from pontryagin.training.commands import export as export_cli
from pontryagin.training.commands.cli import main

SHIPPED = ("quadrotor", "bicycle5_continuous", "cars5_continuous")


def shipped(name):
    return ImplicitPolicy.load(name, device="cpu")


def apart(policy, folder, target, states, seed=1):
    return export_cli.agreement(policy, folder, target, export_cli.scattered(policy, states, seed)).difference


@pytest.mark.parametrize("name", SHIPPED)
def test_numpy_agrees(name, tmp_path):
    policy = shipped(name)
    export_policy(policy, tmp_path, "numpy", name)
    assert apart(policy, tmp_path, "numpy", 400) <= 1e-5


def test_states_whose_search_ran_out_of_iterations_are_left_out_and_counted(tmp_path, capsys, monkeypatch):
    policy = shipped("bicycle5")
    policy.max_iterations = 2
    export_policy(policy, tmp_path, "numpy", "bicycle5")
    rows = export_cli.scattered(policy, 100, 1)
    with pytest.raises(ValueError, match="of 100 states the search in torch ran out of iterations"):
        export_cli.agreement(policy, tmp_path, "numpy", rows)
    monkeypatch.setattr(export_cli, "MOST_UNSOLVED", 1.0)
    seen = torch.from_numpy(rows)
    with torch.no_grad():
        unsolved = int((~policy.solve(seen[:, -1], seen[:, :-1]).converged).sum())
    found = export_cli.agreement(policy, tmp_path, "numpy", rows)
    assert 0 < found.unsolved == unsolved < 100 and found.difference <= 1e-4
    export_cli._table(tmp_path, 100, {"numpy": found})
    assert f"{unsolved} states where the search in torch ran out of iterations" in capsys.readouterr().out


def test_rounding_alone_leaves_no_state_out(tmp_path):
    """A tolerance that float32 cannot reach: whether there is an answer is seen in float64."""
    policy = shipped("quadrotor")
    policy.tolerance = 0.0
    export_policy(policy, tmp_path, "numpy", "quadrotor")
    found = export_cli.agreement(policy, tmp_path, "numpy", export_cli.scattered(policy, 60, 1))
    assert found.unsolved == 0 and found.difference <= 1e-4


@pytest.mark.parametrize(
    "config",
    [
        {"width": 6, "depth": 3, "rank": 2},
        {"width": 0, "depth": 0, "rank": 0, "agent_width": 5, "agent_rank": 3, "nominal": True},
        {"width": 5, "depth": 1, "rank": 2, "agent_width": 4, "agent_rank": 3, "fine_width": 6},
    ],
)
def test_numpy_agrees_with_any_value_function(config, tmp_path):
    problem = MultiBicycle(num_agents=2, targets=((1.0, 1.0), (2.0, 1.0)))
    value = ValueFunction(problem, **config, seed=0)
    with torch.no_grad():
        for weight in value.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    policy = ImplicitPolicy(problem, value)
    export_policy(policy, tmp_path, "numpy")
    assert apart(policy, tmp_path, "numpy", 200) <= 1e-5


def test_numpy_runs_without_us(tmp_path):
    """The folder alone, in a Python that sees neither torch nor pontryagin."""
    policy = shipped("quadrotor")
    export_policy(policy, tmp_path, "numpy")
    observation = export_cli.scattered(policy, 1, 0)[0]
    code = (
        "import sys; sys.modules['torch'] = sys.modules['pontryagin'] = None\n"
        "from runtime import Policy\n"
        f"print(Policy().predict({observation.tolist()}).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), policy.predict(observation)[0], atol=1e-5)


def test_the_runtime_imports_numpy_and_nothing_else():
    tree = ast.parse(Path(numpy_runtime.__file__).read_text(encoding="utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"numpy"}
    assert numpy_runtime.JUMP == JUMP


def test_newton_of_the_runtime_on_active_bounds():
    """A block whose unbounded maximiser lies outside: the free controls alone are moved, the others held."""
    block = numpy_runtime.Exponential([-9.0, 0.5, 4.0, -0.2], 0.5, (False,) * 4)
    u = numpy_runtime.climb(block, block.start(), [(-1.0, 1.0)] * 4, numpy_runtime.STEP_LENGTHS, 50, 1e-12)
    slope = block.gradient(u)
    assert u[0] == 1.0 and slope[0] > 0 and u[2] == -1.0 and slope[2] < 0
    assert abs(slope[1]) < 1e-10 and abs(slope[3]) < 1e-10


def test_contract(tmp_path):
    policy = shipped("quadrotor")
    export_policy(policy, tmp_path, "numpy", "quadrotor")
    contract = read_contract(tmp_path)
    assert (
        contract["observation"]["names"][:4] == ["x", "y", "z", "yaw"] and contract["observation"]["names"][-1] == "t"
    )
    assert len(contract["observation"]["units"]) == len(contract["observation"]["low"]) == 13
    assert contract["control"]["low"] == [0.0, -2.0, -2.0, -2.0] and contract["control"]["high"] == [3.0, 2.0, 2.0, 2.0]
    assert contract["rate"] == pytest.approx(160 / 4.5) and contract["period"] == pytest.approx(4.5 / 160)
    assert contract["versions"]["pontryagin"] == pontryagin.__version__ and set(contract["files"]) == {"numpy"}


def test_damage_is_refused(tmp_path):
    export_policy(shipped("cars5_continuous"), tmp_path, "numpy")
    weights = tmp_path / "weights.npz"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="cut short or edited"):
        load_runtime(tmp_path, "numpy")
    with pytest.raises(ValueError, match="cut short or edited"):
        numpy_runtime.Policy(tmp_path)
    weights.write_bytes(whole)
    runtime = (tmp_path / "runtime.py").read_bytes()
    (tmp_path / "runtime.py").write_bytes(runtime + b"\n")
    with pytest.raises(ValueError, match=r"runtime\.py is missing, cut short or edited"):
        read_contract(tmp_path)
    (tmp_path / "runtime.py").write_bytes(runtime)
    with pytest.raises(ValueError, match=r"holds exports to \['numpy'\]; got 'onnx'"):
        load_runtime(tmp_path, "onnx")
    with pytest.raises(ValueError, match="another policy"):
        export_policy(shipped("quadrotor"), tmp_path, "numpy")
    path = tmp_path / "contract.json"
    path.write_text(path.read_text().replace('"horizon": 4.0', '"horizon": 5.0', 1))
    for read in (read_contract, numpy_runtime.Policy):
        with pytest.raises(ValueError, match="edited after it was written"):
            read(tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match="cut short"):
        read_contract(tmp_path)
    with pytest.raises(ValueError, match="pontryagin export"):
        read_contract(tmp_path / "nowhere")


def test_what_cannot_be_exported_says_why(pendulum, policy, tmp_path):
    with pytest.raises(ValueError, match="no Hamiltonian for Pendulum"):
        export_policy(ImplicitPolicy(pendulum, ValueFunction(pendulum, 4)), tmp_path, "numpy")
    with pytest.raises(ValueError, match="runs a ValueFunction; got AnchoredValue"):
        network = ValueFunction(policy.problem, 4).config
        tables = {"anchors": 1, "reach": 0.3, "blend": "costate", "network": network}
        anchored = AnchoredValue.blank(policy.problem, tables)
        export_policy(ImplicitPolicy(policy.problem, anchored), tmp_path, "numpy")
    ascent = ImplicitPolicy(policy.problem, policy.value, GradientAscent(0.1))
    with pytest.raises(ValueError, match="runs ProjectedNewton"):
        export_policy(ascent, tmp_path, "numpy")
    with pytest.raises(ValueError, match="starts='global'"):
        export_policy(ImplicitPolicy(policy.problem, policy.value, starts="global"), tmp_path, "onnx")
    with pytest.raises(ValueError, match="to is 'tflite'"):
        export_policy(policy, tmp_path, "tflite")
    with pytest.raises(ValueError, match="float64"):
        export_policy(shipped("quadrotor").double(), tmp_path, "numpy")
    assert not list(tmp_path.glob("[!.]*"))


def test_export_and_parity_from_the_command_line(tmp_path, capsys, monkeypatch):
    main(["export", "cars5_continuous", "--to", "numpy", "--out-dir", str(tmp_path)])
    capsys.readouterr()
    main(["parity", str(tmp_path), "--states", "60", "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["numpy"]["difference"] <= 1e-5 and figures["torch"]["latency"] > 0
    main(["parity", str(tmp_path), "--states", "20"])
    assert "largest difference" in capsys.readouterr().out
    monkeypatch.setattr(export_cli, "LIMIT", 1e-30)
    with pytest.raises(SystemExit):
        main(["parity", str(tmp_path), "--states", "60"])
    assert "differ from torch by more than" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["parity", str(tmp_path), "--checkpoint", "quadrotor"])
    assert "its weights differ" in capsys.readouterr().err
    export_policy(shipped("cars5_continuous"), tmp_path / "unnamed", "numpy")
    with pytest.raises(SystemExit):
        main(["parity", str(tmp_path / "unnamed")])
    assert "expected its folder or name as --checkpoint" in capsys.readouterr().err
    monkeypatch.undo()
    main(["parity", str(tmp_path / "unnamed"), "--checkpoint", "cars5_continuous", "--states", "20"])


def test_onnx_has_a_loop_and_agrees(tmp_path, pendulum):
    """A user's problem, its Hamiltonian derived by torch.func, two blocks, bounds that bind."""
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    value = ValueFunction(pendulum, 8, seed=0)
    policy = ImplicitPolicy(pendulum, value)
    export_policy(policy, tmp_path, "onnx")
    model = onnx.load(str(tmp_path / "policy.onnx"))
    assert "Loop" in {node.op_type for node in model.graph.node}
    assert [x.name for x in model.graph.output] == ["action", "control", "residual", "iterations"]
    assert apart(policy, tmp_path, "onnx", 300) <= 1e-5
    assert b".py" not in (tmp_path / "policy.onnx").read_bytes()  # nobody's folders are in it
    row = export_cli.scattered(policy, 1, 3)
    action, _, residual, count = ort.InferenceSession(str(tmp_path / "policy.onnx")).run(None, {"observation": row})
    np.testing.assert_allclose(action, policy.predict(row)[0], atol=1e-5)
    assert residual[0] <= policy.tolerance and 0 <= count[0] <= policy.max_iterations


@pytest.mark.slow
@pytest.mark.skipif(not compiler_at_hand(), reason="AOTInductor needs a C++ compiler")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_runtime_on_ten_thousand_states(name, tmp_path):
    pytest.importorskip("onnxruntime")
    policy = shipped(name)
    for target in ("numpy", "onnx", "aoti"):
        export_policy(policy, tmp_path, target, name)
    bound = max(1e-5, rounding(policy))  # two answers in float32 cannot be nearer than each is to the truth
    for target in ("numpy", "onnx", "aoti"):
        assert apart(policy, tmp_path, target, 10_000) <= bound <= 5e-5, target


@torch.no_grad()
def rounding(policy):
    """How far torch's own answers in float32 are from the converged ones in float64, at most, about its flights."""
    fine = copy.deepcopy(policy).double()
    fine.tolerance, fine.max_iterations = 1e-11, 40
    path = rollout(policy.problem, policy, policy.problem.sample_initial_state(200, torch.Generator().manual_seed(3)))
    noise, worst = torch.Generator().manual_seed(4), 0.0
    for t, z in zip(path.t[:-1:4], path.z[:-1:4], strict=True):
        z = z + 0.1 * torch.randn(z.shape, generator=noise)
        apart = policy(t, z).double() - fine(t.double(), z.double())
        worst = max(worst, float(apart.abs().max()))
    return worst
