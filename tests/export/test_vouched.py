"""An export vouches for every file, survives a kill, and its runtimes refuse what cannot be observed."""

import json

import numpy as np
import pytest
import torch
from killed import kills

from pontryagin import ImplicitPolicy
from pontryagin.controllers.export import export as module
from pontryagin.controllers.export import numpy_held, numpy_runtime
from pontryagin.controllers.export.export import export_policy, numpy_bytes
from pontryagin.controllers.export.runtimes import load_runtime, read_contract
from pontryagin.envs.compiling import compiler_at_hand
from pontryagin.envs.files import checksum, sha256
from pontryagin.training.commands.export import parity_command


def shipped(name):
    return ImplicitPolicy.load(name, device="cpu")


def test_a_kill_leaves_what_was_exported_before_and_a_repeat_mends_the_rest(tmp_path, monkeypatch):
    policy, points = shipped("cars5_continuous"), 0
    stands = {"path": "policy.onnx", "sha256": sha256(b"onnx"), "bytes": 4}
    export_policy(policy, tmp_path, "numpy")
    (tmp_path / "policy.onnx").write_bytes(b"onnx")
    contract = json.loads((tmp_path / "contract.json").read_text())
    contract["files"]["onnx"] = stands
    (tmp_path / "contract.json").write_text(json.dumps({**contract, "checksum": checksum(contract)}))
    changed = iter(range(100))  # no export is the same twice
    monkeypatch.setattr(module, "numpy_bytes", lambda p: numpy_bytes(p) + bytes([next(changed)]))
    for _ in kills(monkeypatch, lambda: export_policy(policy, tmp_path, "numpy")):
        points += 1
        assert read_contract(tmp_path)["files"]["onnx"] == stands
    assert points >= 6 and set(read_contract(tmp_path)["files"]) == {"numpy", "onnx"}


def forge(folder, change):
    contract = json.loads((folder / "contract.json").read_text())
    change(contract)
    (folder / "contract.json").write_text(json.dumps({**contract, "checksum": checksum(contract)}))


def test_no_file_is_run_that_the_contract_does_not_vouch_for(tmp_path):
    export_policy(shipped("cars5_continuous"), tmp_path / "a", "numpy")
    bomb = b"raise SystemExit('it was run')\n"
    (tmp_path / "runtime.py").write_bytes(bomb)
    (tmp_path / "weights.npz").write_bytes((tmp_path / "a" / "weights.npz").read_bytes())
    files = json.loads((tmp_path / "a" / "contract.json").read_text())["files"]["numpy"]

    def put(**changes):
        def change(contract):
            contract["files"]["numpy"] = {k: v for k, v in {**files, **changes}.items() if v is not None}

        return change

    elsewhere = {"path": "../runtime.py", "sha256": sha256(bomb)}
    forgeries = {
        "'runtime'": put(runtime=None),
        "names '../weights.npz'": put(path="../weights.npz"),
        "names '../runtime.py'": put(runtime=elsewhere),
        "names '/": put(path=str(tmp_path / "weights.npz")),
        "'sha256'": put(sha256=None),
        "'tflite'": lambda contract: contract.update(files={"tflite": {}}),
        "does not describe": lambda contract: contract.update(files=[1]),
    }
    for sentence, change in forgeries.items():
        forge(tmp_path / "a", change)
        with pytest.raises(ValueError, match=sentence):
            load_runtime(tmp_path / "a", "numpy")
    forge(tmp_path / "a", lambda contract: contract.update(files={"numpy": files}))
    (tmp_path / "a" / "runtime.py").write_bytes(bomb)
    with pytest.raises(ValueError, match=r"runtime\.py is missing, cut short or edited"):
        load_runtime(tmp_path / "a", "numpy")


def status_alone(target, folder):
    """observation -> the residual that the compiled file gives by itself: its status."""
    if target == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(folder / "policy.onnx"))
        return lambda row: session.run(["residual"], {"observation": row[None]})[0][0]
    package = torch._inductor.aoti_load_package(str(folder / "policy.pt2"))
    return lambda row: float(package(torch.from_numpy(row[None]))[2][0])


@pytest.mark.parametrize("target", ["numpy", "onnx", pytest.param("aoti", marks=pytest.mark.slow)])
def test_what_cannot_be_observed_is_refused_by_every_runtime(tmp_path, target):
    if target == "onnx":
        pytest.importorskip("onnxruntime")
    if target == "aoti" and not compiler_at_hand():
        pytest.skip("no compiler")
    policy = shipped("quadrotor")
    export_policy(policy, tmp_path, target)
    status = (lambda x: np.nan) if target == "numpy" else status_alone(target, tmp_path)
    run, row, end = load_runtime(tmp_path, target), np.zeros(13, np.float32), np.float32(4.5)
    np.testing.assert_allclose(
        run(np.append(row[:-1], np.nextafter(end, np.float32(9)))), run(np.append(row[:-1], end)), atol=1e-4
    )
    for k, value in (
        (12, 4.51),
        (12, 8.0),
        (12, -0.01),
        (12, np.nan),
        (2, np.nan),
        (2, np.inf),
        (2, 1e30),
        (0, -101.0),
    ):
        wrong = row.copy()
        wrong[k] = value
        calls = [run, lambda x: policy.predict(x)]
        if target == "numpy":
            own = numpy_runtime.Policy(tmp_path)
            calls += [own.predict, lambda x, own=own: own(float(x[-1]), x[:-1])]
        for call in calls:
            with pytest.raises(ValueError, match="expected|not finite|beyond"):
                call(wrong)
        assert np.isnan(status(wrong)) and (target == "numpy" or status(row) <= policy.tolerance)
    for shape in ((12,), (14,), (1, 13), ()):
        with pytest.raises(ValueError, match=r"observation has shape .*; expected \(13,\)"):
            run(np.zeros(shape, np.float32))


def test_a_forged_contract_is_a_sentence(tmp_path):
    """Its checksum fits; whatever it says is told with its name, by ``load_runtime`` and by ``parity``."""
    export_policy(shipped("cars5_continuous"), tmp_path, "numpy")
    whole = json.loads((tmp_path / "contract.json").read_text())
    about, search = whole["observation"], whole["argmax"]
    forgeries = [
        {k: v for k, v in whole.items() if k != gone} for gone in ("observation", "argmax", "problem", "control")
    ]
    forgeries += [
        {**whole, key: bad} for key in ("observation", "argmax", "problem", "control", "horizon") for bad in ("x", [1])
    ]
    forgeries += [
        {**whole, "observation": {**about, "low": bad}} for bad in ("x", 3, [None] * 21, [0.0], [[1], [1, 2]])
    ]
    forgeries += [{**whole, "argmax": {**search, "max_iterations": bad}} for bad in (10**9, "x", -1, 2.5)]
    for forged in forgeries:
        (tmp_path / "contract.json").write_text(json.dumps({**forged, "checksum": checksum(forged)}))
        with pytest.raises(ValueError, match=r"contract\.json does not describe what it should"):
            load_runtime(tmp_path, "numpy")
    for policy in (None, 3, {}):
        forged = {**whole, "policy": policy}
        (tmp_path / "contract.json").write_text(json.dumps({**forged, "checksum": checksum(forged)}))
        with pytest.raises(ValueError, match=r"contract\.json does not describe what it should"):
            parity_command(tmp_path, states=2)


@pytest.mark.parametrize(("name", "runtime"), [("cars5_continuous", numpy_runtime), ("cars5", numpy_held)])
def test_a_runtime_that_its_contract_does_not_name_yet_is_a_sentence(name, runtime, tmp_path):
    """So it is between two of the steps of an export that writes over an earlier one, or after a kill there."""
    export_policy(shipped(name), tmp_path, "numpy")
    forge(tmp_path, lambda contract: contract.update(files={}))
    with pytest.raises(ValueError, match="its SHA-256 is not that of contract.json"):
        runtime.Policy(tmp_path)


def test_what_aotinductor_does_not_compile_is_a_sentence(tmp_path, monkeypatch, policy):
    def fails(*_, **options):
        raise RuntimeError("Expected carried_inputs and body_output to have same metadata\nand so on")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fails)
    monkeypatch.setattr(module, "compiler_at_hand", lambda: True)
    with pytest.raises(
        ValueError, match=r"cannot compile this policy of Quadrotor \(Expected .* metadata\); export it to"
    ):
        export_policy(policy, tmp_path, "aoti")
    assert not list(tmp_path.glob("[!.]*"))
