"""An export vouches for every file, survives a kill, and its runtimes refuse what cannot be observed."""

import json

import numpy as np
import pytest
from killed import kills

from pontryagin import ImplicitPolicy
from pontryagin.controllers.export import export as module
from pontryagin.controllers.export import numpy_held, numpy_runtime
from pontryagin.controllers.export.export import export_policy, numpy_bytes
from pontryagin.controllers.export.runtimes import load_runtime, read_contract
from pontryagin.envs.files import checksum, sha256


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


@pytest.mark.parametrize("target", ["numpy", "onnx"])
def test_what_cannot_be_observed_is_refused_by_every_runtime(tmp_path, target):
    if target == "onnx":
        pytest.importorskip("onnxruntime")
    policy = shipped("quadrotor")
    export_policy(policy, tmp_path, target)
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
    for shape in ((12,), (14,), (1, 13), ()):
        with pytest.raises(ValueError, match=r"observation has shape .*; expected \(13,\)"):
            run(np.zeros(shape, np.float32))


@pytest.mark.parametrize(("name", "runtime"), [("cars5_continuous", numpy_runtime), ("cars5", numpy_held)])
def test_a_runtime_that_its_contract_does_not_name_yet_is_a_sentence(name, runtime, tmp_path):
    """So it is between two of the steps of an export that writes over an earlier one, or after a kill there."""
    export_policy(shipped(name), tmp_path, "numpy")
    forge(tmp_path, lambda contract: contract.update(files={}))
    with pytest.raises(ValueError, match="its SHA-256 is not that of contract.json"):
        runtime.Policy(tmp_path)
