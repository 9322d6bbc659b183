"""A problem as CasADi functions: its own torch code, traced to an aten graph and interpreted on SX expressions."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ...envs.problem import Problem
from .aten import DECOMPOSED, apply, import_casadi, object_array, own_operations, short_name, symbolic


class Traced(NamedTuple):
    """``casadi.Function`` objects of column vectors: f(t, z, u) ``(n,)``, L(t, z, u) ``()``, G(z) ``()``."""

    dynamics: Any
    running_cost: Any
    terminal_cost: Any


def trace(problem: Problem) -> Traced:
    """f, L and G of ``problem`` as CasADi functions, compared with torch at random points.

    Raises:
        ValueError: naming the problem, and the operation that has no translation, or the method that depends on values
            (``if z > 0``, ``.item()``), returns a wrong shape or does not reproduce torch when traced.
        ImportError: if CasADi is not installed.
    """
    generator = torch.Generator().manual_seed(0)
    z = torch.as_tensor(problem.sample_initial_state(4, generator)).double()
    z = z + 0.3 * torch.randn(z.shape, generator=generator, dtype=z.dtype)
    low, high = problem.control_bounds(z)
    u = torch.rand(len(z), problem.control_dim, generator=generator, dtype=z.dtype)
    u = torch.lerp(low.clamp_min(-3), high.clamp_max(3), u).clamp(low, high)  # moderate, whatever the bounds
    t = problem.horizon * torch.rand(len(z), generator=generator, dtype=z.dtype)
    points = [(t[i], z[i : i + 1], u[i : i + 1]) for i in range(len(z))]
    with torch.no_grad():
        return Traced(
            _traced(problem, "dynamics", points, (1, problem.state_dim)),
            _traced(problem, "running_cost", points, (1,)),
            _traced(problem, "terminal_cost", [point[1:2] for point in points], (1,)),
        )


def _traced(problem: Problem, method: str, points: Sequence[tuple[Tensor, ...]], shape: tuple[int, ...]) -> Any:
    """One method as a ``casadi.Function``: traced at the first point, compared with torch at the others."""
    from torch._decomp import core_aten_decompositions, get_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    ca = import_casadi()
    name, function = f"{type(problem).__name__}.{method}", getattr(problem, method)
    own = own_operations(ca)
    rules = dict(core_aten_decompositions().items())
    rules |= get_decompositions([getattr(torch.ops.aten, op) for op in DECOMPOSED])
    # torch.max(x, y) is a maximum, torch.max(x) a reduction
    table = {op: rule for op, rule in rules.items() if short_name(op) not in own or op._overloadname == "other"}
    try:  # functionalized: writing into a slice becomes an expression
        graph = make_fx(torch.func.functionalize(lambda *x: function(*x)), decomposition_table=table)(*points[0])
    except Exception as error:
        raise ValueError(f"{name} cannot be traced: {_reason(error, function)}") from error
    symbols = [ca.SX.sym("tzu"[i], x.numel()) for i, x in enumerate(points[0])]
    inputs = [object_array(ca.vertsplit(s), x.shape) for s, x in zip(symbols, points[0], strict=True)]
    output = symbolic(ca, _interpret(ca, graph, inputs, name))
    if output.shape != shape:
        raise ValueError(f"{name} returned shape {output.shape} for a batch of 1; expected {shape}")
    traced = ca.Function(method, symbols, [ca.vertcat(*output.ravel().tolist())])
    for point in points[1:]:
        try:
            expected = function(*point).numpy().ravel()
        except RuntimeError as error:
            raise ValueError(f"{name} fails in float64: {_reason(error, function)}") from error
        found = traced(*(x.numpy().ravel() for x in point)).full().ravel()
        wrong = np.isfinite(expected) & ~(np.abs(found - expected) <= 1e-6 * (1 + np.abs(expected)))
        if wrong.any():
            raise ValueError(
                f"{name} is {expected[wrong][0]} in torch and {found[wrong][0]} when traced; "
                "does it leave torch (.numpy()), draw random numbers or compute in float32?"
            )
    return traced


def _reason(error: Exception, function: Callable[..., Any]) -> str:
    """What went wrong, and in which line of the user's own."""
    said = str(error).partition("\n")[0]
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not own:
        return said
    where = f"line {own[-1].lineno} of {Path(own[-1].filename).name}, `{own[-1].line}`"
    if "_local_scalar_dense" in said or "data-dependent" in said:
        return (
            f"{where}, asks for the value of t, z or u, and an expression has none: torch.where(t > 1, a, b) says what "
            "`if t > 1` does, torch.exp(t) what math.exp(t) does"
        )
    single = "dtype" in said
    return f"{where}: {said}" + "; optima are sought in float64: weights and constants have to follow z.dtype" * single


def _interpret(ca: Any, graph: Any, inputs: list[np.ndarray], name: str) -> Any:
    """Run an aten graph on object arrays of SX where a value depends on the inputs, in torch where it does not."""
    values: dict[Any, Any] = {}
    arguments = iter(inputs)
    for node in graph.graph.nodes:
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "output":
            return args[0]
        if node.op == "placeholder":
            values[node] = next(arguments)
        elif node.op == "get_attr":
            values[node] = getattr(graph, node.target)
        elif not any(isinstance(x, np.ndarray) for x in pytree.tree_leaves((args, kwargs))):
            values[node] = node.target(*args, **kwargs)
        else:
            try:
                values[node] = apply(ca, node.target, args, kwargs)
            except NotImplementedError as error:
                raise ValueError(f"{name} uses {node.target}, which cannot be traced to CasADi{error}") from None
