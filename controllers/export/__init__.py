"""A policy without the package: ONNX, AOTInductor, NumPy, and the runtimes that load it again."""

from .export import Target, export_policy, weights_checksum
from .runtimes import load_runtime, read_contract

__all__ = ["Target", "export_policy", "load_runtime", "read_contract", "weights_checksum"]
