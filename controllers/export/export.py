"""A policy as files that run without the training stack: ONNX, an AOTInductor package, or NumPy; and their contract."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch

from ...envs.bicycle import MultiBicycle
from ...envs.boundary import observation_space
from ...envs.compiling import compiler_at_hand
from ...envs.extras import optional
from ...envs.fields import check_is
from ...envs.files import alone, check_folder, checksum, plain, read_json, replace_file, sha256, write_json
from ...envs.names import control_labels, state_labels
from ...envs.record import problem_record
from ..operators import ProjectedNewton
from ..policy import ImplicitPolicy
from ..storage import PATIENCE
from ..value import FlownValue
from . import numpy_held, numpy_runtime
from .numpy_weights import numpy_bytes
from .traced import TracedLaw

Target: TypeAlias = Literal["onnx", "aoti", "numpy"]
FILES: dict[str, str] = {"onnx": "policy.onnx", "aoti": "policy.pt2", "numpy": "weights.npz"}
OUTPUTS = ("action", "control", "residual", "iterations")


def export_policy(policy: ImplicitPolicy, folder: str | Path, to: Target, source: str = "") -> Path:
    """Write ``policy`` for one runtime into ``folder``, and ``contract.json``, which says how to use it.

    The observation is (z, t) as the environment gives it, float32, one at a time; all scaling, the iterations of the
    argmax with their tolerance, and the clipping to the bounds are inside. Files are written atomically, and the
    contract last: it vouches for each by its SHA-256. Exporting to another runtime adds to the same contract; exporting
    to the same one again takes it off the contract until it is whole, so that a kill leaves the others to be loaded.

    Args:
        policy: on the CPU, in float32, or as it was loaded, in float64, where its Hamiltonian is the held one.
        folder: where to.
        to: ``onnx``: policy.onnx, the argmax a ``Loop``. ``aoti``: policy.pt2, compiled by AOTInductor for this
            machine's kind of CPU. ``numpy``: weights.npz and runtime.py, which needs nothing but NumPy.
        source: name of the checkpoint, for the record.

    Returns:
        The path of the contract.

    Raises:
        ValueError: for a policy that the runtime cannot run (a sentence says why), or a folder that holds another one.
        ImportError: where an extra is missing, with the line that installs it.
    """
    check_is(policy, ImplicitPolicy, "policy")
    if to not in get_args(Target):
        raise ValueError(f"to is {to!r}; expected one of {get_args(Target)}")
    like = policy.value.scale
    if like.device.type != "cpu" or (like.dtype != torch.float32 and policy.hamiltonian != "held"):
        raise ValueError(f"the policy is {like.dtype} on {like.device}; expected float32, cpu")
    folder = Path(folder)
    contract = make_contract(policy, source)
    _earlier(folder, contract)
    check_folder(folder, "folder")
    if isinstance(policy.value, FlownValue) and policy.hamiltonian != "held":
        raise ValueError("a FlownValue is exported with the held Hamiltonian: ImplicitPolicy(.., hamiltonian='held')")
    if isinstance(policy.value, FlownValue) and type(policy.problem) is not MultiBicycle:
        raise ValueError(
            f"no runtime has a policy that flies along its optima in a {type(policy.problem).__name__} before it "
            "answers, as those of pontryagin solve do: fly it from Python (policy.predict), or export a network "
            "(pontryagin train)"
        )
    if to != "numpy" and (getattr(policy.value, "alike", False) or isinstance(policy.value, FlownValue)):
        raise ValueError(
            "which optimum this policy follows, and which agent in which role, is found by flights and comparisons "
            f"that do not fit in one graph: export this policy of {type(policy.problem).__name__} to numpy"
        )
    if getattr(policy.value, "sweeps", 0):
        raise ValueError("sweeps about a flight take derivatives of the model, which no runtime has; expected sweeps=0")
    blob = {"onnx": onnx_bytes, "aoti": aoti_bytes, "numpy": numpy_bytes}[to](policy)
    entry: dict[str, Any] = {"path": FILES[to], "sha256": sha256(blob), "bytes": len(blob)}
    contents = {FILES[to]: blob}
    if to == "numpy":
        runtime = numpy_held.__file__ if policy.hamiltonian == "held" else numpy_runtime.__file__
        contents["runtime.py"] = Path(runtime).read_bytes()
        entry["runtime"] = {"path": "runtime.py", "sha256": sha256(contents["runtime.py"])}
    with alone(folder, "contract", PATIENCE):
        files = _earlier(folder, contract)
        if files.pop(to, None) is not None:
            _write_contract(folder, contract, files)
        for name, content in contents.items():
            replace_file(folder / name, content)
        return _write_contract(folder, contract, {**files, to: entry})


def _write_contract(folder: Path, contract: dict[str, Any], files: dict[str, Any]) -> Path:
    record = plain({**contract, "files": files}, "contract")
    write_json(folder / "contract.json", {**record, "checksum": checksum(record)})
    return folder / "contract.json"


def make_contract(policy: ImplicitPolicy, source: str) -> dict[str, Any]:
    """Names, shapes, units, bounds, rate, versions and the checksum of the weights, as plain data."""
    import pontryagin

    problem = policy.problem
    low, high = (bound.tolist() for bound in problem.control_bounds(torch.zeros(())))
    states, controls = state_labels(problem), control_labels(problem)
    space = observation_space(problem)
    operator = policy.operator
    return {
        "format": 1,
        "policy": {"source": source, "weights_sha256": weights_checksum(policy)},
        "versions": {"pontryagin": pontryagin.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "problem": problem_record(problem),
        "horizon": problem.horizon,
        "period": policy.dt,
        "step": problem.time_step,
        "rate": 1 / policy.dt,
        "observation": {
            "dtype": "float32", "shape": [1, problem.state_dim + 1],
            "low": space.low.tolist(), "high": space.high.tolist(),
            "names": [n for n, _ in states] + ["t"], "units": [u for _, u in states] + ["time"],
            "beyond": "no answer means anything there, and the residual is nan: refuse, as load_runtime does",
        },
        "control": {
            "dtype": "float32", "shape": [1, problem.control_dim], "low": low, "high": high,
            "names": [n for n, _ in controls], "units": [u for _, u in controls],
        },
        "action": {"dtype": "float32", "shape": [1, problem.control_dim], "low": -1.0, "high": 1.0,
                   "meaning": "control = low + (action + 1) / 2 * (high - low)"},
        "outputs": list(OUTPUTS),
        "argmax": {
            "hamiltonian": policy.hamiltonian,
            "operator": type(operator).__name__, "max_iterations": policy.max_iterations, "tolerance": policy.tolerance,
            **({"backtracks": operator.backtracks} if isinstance(operator, ProjectedNewton) else vars(operator)),
        },
        "value": policy.value.config,
        "alike": getattr(policy.value, "alike", False),
    }  # fmt: skip


def weights_checksum(policy: ImplicitPolicy) -> str:
    """SHA-256 of the tensors of a policy, by name."""
    weights = hashlib.sha256()
    for name, tensor in sorted(policy.state_dict().items()):
        weights.update(name.encode() + tensor.numpy().tobytes())
    return weights.hexdigest()


def onnx_bytes(policy: ImplicitPolicy) -> bytes:
    """The law as an ONNX model, input ``observation``, outputs ``OUTPUTS``; the argmax is a ``Loop``."""
    onnx = optional("onnx", "export")
    optional("onnxscript", "export")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        warnings.simplefilter("ignore")
        log = logging.getLogger("torch.onnx._internal.exporter._registration")
        level = log.level
        log.setLevel(logging.ERROR)  # it misses torchvision, which nobody needs here
        try:
            program = torch.onnx.export(
                _exported(policy), dynamo=True, input_names=["observation"], output_names=list(OUTPUTS), verbose=False
            )
        finally:
            log.setLevel(level)
        assert program is not None
        program.save(f"{scratch}/policy.onnx")
        model = onnx.load(f"{scratch}/policy.onnx")
    _forget_sources(model.graph)
    blob: bytes = model.SerializeToString()
    return blob


def _forget_sources(graph: Any) -> None:
    """Drop what the exporter notes on every node, its place in our source files: most of the size, and of no use."""
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _forget_sources(attribute.g)


def aoti_bytes(policy: ImplicitPolicy) -> bytes:
    """The law compiled ahead of time for this CPU, a package for ``torch._inductor.aoti_load_package``.

    Raises:
        ValueError: without a C++ compiler, or where it does not compile.
    """
    if not compiler_at_hand():
        raise ValueError("AOTInductor needs a C++ compiler and Python's headers; expected g++ or clang++ on the path")
    # A loop that does not run hands its inputs on as its outputs; a buffer reused in place would overwrite both.
    options = {"allow_buffer_reuse": False, "inplace_buffers": False}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        warnings.simplefilter("ignore")
        try:
            path = torch._inductor.aoti_compile_and_package(
                _exported(policy), package_path=os.path.join(scratch, "policy.pt2"), inductor_configs=options
            )
        except RuntimeError as error:
            raise ValueError(
                f"AOTInductor cannot compile this policy of {type(policy.problem).__name__} "
                f"({str(error).splitlines()[0]:.200}); export it to onnx"
            ) from error
        return Path(path).read_bytes()


def _exported(policy: ImplicitPolicy) -> torch.export.ExportedProgram:
    observation = torch.cat([policy.problem.sample_initial_state(1), torch.zeros(1, 1)], -1)
    with torch.no_grad():
        return torch.export.export(TracedLaw(policy.eval(), observation), (observation,), strict=False)


def _earlier(folder: Path, contract: dict[str, Any]) -> dict[str, Any]:
    """The files of an earlier export of the same policy to ``folder``; none of one that was edited."""
    path = folder / "contract.json"
    if not path.exists():
        return {}
    before = read_json(path)
    policy = before.get("policy")
    if not isinstance(policy, dict) or policy.get("weights_sha256") != contract["policy"]["weights_sha256"]:
        raise ValueError(f"{folder} holds the export of another policy; expected an empty folder or the same policy")
    files = before.get("files")
    return dict(files) if isinstance(files, dict) and checksum(before) == before.get("checksum") else {}
