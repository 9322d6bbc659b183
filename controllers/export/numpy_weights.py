"""What the two NumPy runtimes are given, and which policies they cannot run."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from ...envs.bicycle import MultiBicycle
from ..operators import ProjectedNewton
from ..policy import ImplicitPolicy
from ..value import ExpandedValue, ValueFunction
from . import numpy_runtime


def numpy_bytes(policy: ImplicitPolicy) -> bytes:
    """The weights for ``numpy_runtime.Policy``, or for ``numpy_held.Policy`` of a held policy, an .npz.

    Raises:
        ValueError: where the runtime has no Hamiltonian, or no such value function or search.
    """
    kind, value = type(policy.problem), policy.value
    if policy.hamiltonian == "held":
        return _held_bytes(policy)
    if kind.__name__ not in numpy_runtime.HAMILTONIANS:
        raise ValueError(
            f"the NumPy runtime has no Hamiltonian for {kind.__name__}; it knows {sorted(numpy_runtime.HAMILTONIANS)}. "
            "Export to onnx or aoti, which trace any problem"
        )
    if not isinstance(value, ValueFunction):
        raise ValueError(f"the NumPy runtime runs a ValueFunction; got {type(value).__name__}: export to onnx or aoti")
    if not isinstance(policy.operator, ProjectedNewton) or policy.starts != "single":
        raise ValueError(
            f"the NumPy runtime runs ProjectedNewton from one start; got {policy.operator}, starts={policy.starts!r}"
        )
    arrays = {name: tensor.numpy() for name, tensor in value.state_dict().items()}
    if value.swift:
        arrays["excess"] = value.excess.numpy()
    return _npz(arrays)


def _held_bytes(policy: ImplicitPolicy) -> bytes:
    """The tables and weights for ``numpy_held.Policy``; in float32 those that lose nothing by it."""
    problem, value, newton = policy.problem, policy.value, isinstance(policy.operator, ProjectedNewton)
    if type(problem) is not MultiBicycle or not isinstance(value, ExpandedValue) or not newton:
        raise ValueError(
            "of the held Hamiltonian the NumPy runtime has the step of MultiBicycle and an ExpandedValue, by "
            f"ProjectedNewton; got {type(problem).__name__}, {type(value).__name__}, {type(policy.operator).__name__}: "
            "export this policy to onnx or aoti"
        )
    tensors = {name: tensor.numpy() for name, tensor in value.state_dict().items()}
    tensors["targets"] = problem.target_points
    small = {name: array.astype(np.float32) for name, array in tensors.items()}
    return _npz({k: x if (x == tensors[k]).all() else tensors[k] for k, x in small.items()})


def _npz(arrays: dict[str, NDArray[np.floating]]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()
