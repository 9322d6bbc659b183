"""A problem as CasADi functions: its own torch code, traced to an aten graph and interpreted on SX expressions."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..envs.problem import Problem

MOVES = (
    "view reshape expand unsqueeze squeeze permute select slice cat split_with_sizes index index_select gather flip "
)
MOVES += "clone alias lift_fresh_copy diagonal slice_scatter diagonal_scatter index_put constant_pad_nd copy repeat "
MOVES += "unfold movedim"
"""Operations that only put entries elsewhere (or a zero)."""
INDEXED = frozenset(("index", "index_select", "gather", "index_put"))
REDUCTIONS = "sum mean prod var amax amin max min logsumexp linalg_vector_norm"
OTHERS = frozenset(("mm", "bmm", "cumsum", "full_like", "_to_copy"))
DECOMPOSED = ("_softmax", "_log_softmax", "addmm", "elu", "gelu", "leaky_relu", "hardtanh")
"""Operations taken apart although torch counts them among its core."""
RENAMED = "abs:fabs maximum:fmax minimum:fmin pow:power logical_and:logic_and logical_or:logic_or "
RENAMED += "logical_not:logic_not bitwise_and:logic_and bitwise_or:logic_or bitwise_not:logic_not"
SAME = "exp log sqrt sin cos tan tanh sinh cosh asin acos atan asinh acosh atanh log1p expm1 log10 erf sign floor ceil "
SAME += "atan2 hypot fmod gt ge lt le eq ne"


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


def import_casadi() -> Any:
    """The module ``casadi``, or an ImportError that says how to get it."""
    try:
        import casadi
    except ImportError as error:
        raise ImportError('references need CasADi: pip install "pontryagin[reference]"') from error
    return casadi


def _traced(problem: Problem, method: str, points: Sequence[tuple[Tensor, ...]], shape: tuple[int, ...]) -> Any:
    """One method as a ``casadi.Function``: traced at the first point, compared with torch at the others."""
    from torch._decomp import core_aten_decompositions, get_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    ca = import_casadi()
    name, function = f"{type(problem).__name__}.{method}", getattr(problem, method)
    own = OTHERS.union(MOVES.split(), REDUCTIONS.split(), _scalar_operations(ca))
    rules = dict(core_aten_decompositions().items())
    rules |= get_decompositions([getattr(torch.ops.aten, op) for op in DECOMPOSED])
    # torch.max(x, y) is a maximum, torch.max(x) a reduction
    table = {op: rule for op, rule in rules.items() if _short(op) not in own or op._overloadname == "other"}
    try:  # functionalized: writing into a slice becomes an expression
        graph = make_fx(torch.func.functionalize(lambda *x: function(*x)), decomposition_table=table)(*points[0])
    except Exception as error:
        raise ValueError(f"{name} cannot be traced: {str(error).partition(chr(10))[0]}") from error
    symbols = [ca.SX.sym("tzu"[i], x.numel()) for i, x in enumerate(points[0])]
    inputs = [_array(ca.vertsplit(s), x.shape) for s, x in zip(symbols, points[0], strict=True)]
    output = _symbolic(ca, _interpret(ca, graph, inputs, name))
    if output.shape != shape:
        raise ValueError(f"{name} returned shape {output.shape} for a batch of 1; expected {shape}")
    traced = ca.Function(method, symbols, [ca.vertcat(*output.ravel().tolist())])
    for point in points[1:]:
        expected = function(*point).numpy().ravel()
        found = traced(*(x.numpy().ravel() for x in point)).full().ravel()
        wrong = np.isfinite(expected) & ~(np.abs(found - expected) <= 1e-6 * (1 + np.abs(expected)))
        if wrong.any():
            raise ValueError(
                f"{name} is {expected[wrong][0]} in torch and {found[wrong][0]} when traced; "
                "does it leave torch (.numpy()), draw random numbers or compute in float32?"
            )
    return traced


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
                values[node] = _apply(ca, node.target, args, kwargs)
            except NotImplementedError as error:
                raise ValueError(f"{name} uses {node.target}, which cannot be traced to CasADi{error}") from None


def _apply(ca: Any, target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """One operation of which at least one argument is symbolic."""
    short = _short(target)
    if target is operator.getitem:
        return args[0][args[1]]
    given = dict(zip((a.name for a in target._schema.arguments), args, strict=False)) | kwargs
    if short in MOVES.split():
        return _move(ca, target, given)
    if short in REDUCTIONS.split():
        return _reduce(ca, short, given)
    if short == "full_like":
        return torch.full(args[0].shape, given["fill_value"], dtype=given.get("dtype") or torch.float64)
    if short in ("mm", "bmm"):
        return np.matmul(_symbolic(ca, args[0]), _symbolic(ca, args[1]))
    if short == "cumsum":
        return np.cumsum(args[0], axis=given["dim"])
    if short == "_to_copy" and (given.get("dtype") or torch.float64).is_floating_point:
        return args[0]
    rule = _scalar_operations(ca).get(short)
    if rule is None:
        raise NotImplementedError("")
    tensors = [_symbolic(ca, x) if isinstance(x, np.ndarray | Tensor) else x for x in args]
    shape = np.broadcast_shapes(*(x.shape for x in tensors if isinstance(x, np.ndarray)))
    columns = [np.broadcast_to(x, shape).ravel() if isinstance(x, np.ndarray) else itertools.repeat(x) for x in tensors]
    return _array([rule(*row, **kwargs) for _, *row in zip(range(math.prod(shape)), *columns, strict=False)], shape)


def _move(ca: Any, target: Any, given: dict[str, Any]) -> Any:
    """Operations that move entries: torch moves their positions in a pool, which is then read there."""
    indices = pytree.tree_leaves([given.get("index"), given.get("indices")]) if _short(target) in INDEXED else []
    if any(isinstance(i, np.ndarray) for i in indices):
        raise NotImplementedError(" (an index that depends on t, z or u)")
    if given.get("accumulate") or (_short(target) == "constant_pad_nd" and given.get("value", 0) != 0):
        raise NotImplementedError(" (with these arguments)")
    pool = [ca.SX(0)]  # position 0 is what padding reads

    def positions(x: Any) -> Any:
        if not isinstance(x, np.ndarray | Tensor) or any(x is i for i in indices):
            return x
        pool.extend(_symbolic(ca, x).ravel().tolist())
        return torch.arange(len(pool) - math.prod(x.shape), len(pool)).reshape(x.shape)

    moved = target(**{k: pytree.tree_map(positions, v) for k, v in given.items() if k != "memory_format"})
    return pytree.tree_map(lambda p: _array([pool[i] for i in p.ravel().tolist()], p.shape), moved)


def _reduce(ca: Any, short: str, given: dict[str, Any]) -> Any:
    """Reductions over one axis, several or all."""
    x, dims = given["self"], given.get("dim")
    axes = [dims] if isinstance(dims, int) else list(dims or range(x.ndim))
    axes = sorted(axis % x.ndim for axis in axes) if x.ndim else []
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    shape, count = [x.shape[axis] for axis in kept], math.prod(x.shape[axis] for axis in axes)
    rows = x.transpose(kept + axes).reshape(math.prod(shape), count)
    result = _array([_row(ca, short, given, row.tolist()) for row in rows], shape)
    if given.get("keepdim"):
        result = np.expand_dims(result, tuple(axes))
    return (result, None) if short in ("max", "min") and dims is not None else result


def _row(ca: Any, short: str, given: dict[str, Any], row: list[Any]) -> Any:
    """A list of SX to one SX."""
    total = functools.partial(functools.reduce, operator.add)
    if short in ("amax", "max", "amin", "min"):
        return functools.reduce(ca.fmax if "max" in short else ca.fmin, row)
    if short == "prod":
        return functools.reduce(operator.mul, row, ca.SX(1))
    if short == "var":
        mean = total(row) / len(row)
        return total([(x - mean) ** 2 for x in row]) / (len(row) - given.get("correction", 1))
    if short == "logsumexp":  # the largest is taken out; its derivative cancels
        largest = functools.reduce(ca.fmax, row)
        return largest + ca.log(total([ca.exp(x - largest) for x in row]))
    if short == "linalg_vector_norm":
        if given.get("ord", 2) not in (1, 2):
            raise NotImplementedError(f" (order {given['ord']})")
        return ca.sqrt(total([x * x for x in row])) if given.get("ord", 2) == 2 else total(map(ca.fabs, row))
    return total(row, ca.SX(0)) / (len(row) if short == "mean" else 1)


@functools.cache
def _scalar_operations(ca: Any) -> dict[str, Callable[..., Any]]:
    """aten name -> the same on scalars; the caller broadcasts."""

    def where(c: Any, a: Any, b: Any) -> Any:
        return ca.if_else(c, a, b) if not c.is_constant() else a if float(c) else b

    def clamp(x: Any, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Any:
        low, high = (low if low is not None else min), (high if high is not None else max)
        x = x if low is None else ca.fmax(x, low)
        return x if high is None else ca.fmin(x, high)

    def divide(a: Any, b: Any, rounding_mode: str | None = None) -> Any:
        if rounding_mode == "trunc":
            raise NotImplementedError(" (rounding_mode='trunc')")
        return a / b if rounding_mode is None else ca.floor(a / b)

    def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
        inner = ca.log1p(ca.exp(ca.fmin(beta * x, threshold))) / beta  # fmin, or the branch not taken overflows
        return ca.if_else(beta * x > threshold, x, inner)

    rules: dict[str, Callable[..., Any]] = {name: getattr(ca, name) for name in SAME.split()}
    rules |= {aten: getattr(ca, name) for aten, name in (pair.split(":") for pair in RENAMED.split())}
    return rules | {
        "add": lambda a, b, alpha=1: a + alpha * b if alpha != 1 else a + b,
        "sub": lambda a, b, alpha=1: a - alpha * b if alpha != 1 else a - b,
        "mul": operator.mul,
        "div": divide,
        "neg": operator.neg,
        "reciprocal": lambda x: 1 / x,
        "rsqrt": lambda x: 1 / ca.sqrt(x),
        "sigmoid": lambda x: 1 / (1 + ca.exp(-x)),
        "relu": lambda x: ca.fmax(x, 0),
        "log2": lambda x: ca.log(x) / math.log(2),
        "remainder": lambda a, b: a - b * ca.floor(a / b),
        "clamp": clamp,
        "softplus": softplus,
        "where": where,
    }


def _short(target: Any) -> str:
    """``sum`` for aten.sum.dim_IntList."""
    packet = getattr(target, "overloadpacket", target)
    return str(getattr(packet, "__name__", packet))


def _symbolic(ca: Any, x: Any) -> np.ndarray:
    """A constant tensor as an object array of SX; object arrays pass."""
    return x if isinstance(x, np.ndarray) else _array([ca.SX(float(v)) for v in x.ravel().tolist()], x.shape)


def _array(entries: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    """An object array; filled one by one, or NumPy would look inside the SX."""
    flat = np.empty(len(entries), dtype=object)
    for i, entry in enumerate(entries):
        flat[i] = entry
    return flat.reshape(shape)
