"""aten operations on object arrays of CasADi's SX: what ``trace`` interprets a graph by."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .aten_linalg import LINEAR, linear, looked_up

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


def import_casadi() -> Any:
    """The module ``casadi``, or an ImportError that says how to get it."""
    try:
        import casadi
    except ImportError as error:
        raise ImportError('references need CasADi: pip install "pontryagin[reference]"') from error
    return casadi


def own_operations(ca: Any) -> frozenset[str]:
    """Names of what is translated here; the rest torch takes apart."""
    return OTHERS.union(MOVES.split(), REDUCTIONS.split(), LINEAR.split(), scalar_operations(ca))


def apply(ca: Any, target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """One operation of which at least one argument is symbolic."""
    short = short_name(target)
    if target is operator.getitem:
        return args[0][args[1]]
    given = dict(zip((a.name for a in target._schema.arguments), args, strict=False)) | kwargs
    if short in MOVES.split():
        return _move(ca, target, given)
    if short in LINEAR.split():
        tables = {k: symbolic(ca, x) if isinstance(x, Tensor) else x for k, x in given.items()}
        return linear(ca, short, tables)
    if short in REDUCTIONS.split():
        return _reduce(ca, short, given)
    if short == "full_like":
        return torch.full(args[0].shape, given["fill_value"], dtype=given.get("dtype") or torch.float64)
    if short in ("mm", "bmm"):
        return np.matmul(symbolic(ca, args[0]), symbolic(ca, args[1]))
    if short == "cumsum":
        return np.cumsum(args[0], axis=given["dim"])
    if short == "_to_copy" and (given.get("dtype") or torch.float64).is_floating_point:
        return args[0]
    rule = scalar_operations(ca).get(short)
    if rule is None:
        raise NotImplementedError("")
    tensors = [symbolic(ca, x) if isinstance(x, np.ndarray | Tensor) else x for x in args]
    shape = np.broadcast_shapes(*(x.shape for x in tensors if isinstance(x, np.ndarray)))
    columns = [np.broadcast_to(x, shape).ravel() if isinstance(x, np.ndarray) else itertools.repeat(x) for x in tensors]
    return object_array(
        [rule(*row, **kwargs) for _, *row in zip(range(math.prod(shape)), *columns, strict=False)], shape
    )


def _move(ca: Any, target: Any, given: dict[str, Any]) -> Any:
    """Operations that move entries: torch moves their positions in a pool, which is then read there."""
    indices = pytree.tree_leaves([given.get("index"), given.get("indices")]) if short_name(target) in INDEXED else []
    if any(isinstance(i, np.ndarray) for i in indices):
        return _looked_up(ca, short_name(target), given)
    if given.get("accumulate") or (short_name(target) == "constant_pad_nd" and given.get("value", 0) != 0):
        raise NotImplementedError(" (with these arguments)")
    pool = [ca.SX(0)]  # position 0 is what padding reads

    def positions(x: Any) -> Any:
        if not isinstance(x, np.ndarray | Tensor) or any(x is i for i in indices):
            return x
        pool.extend(symbolic(ca, x).ravel().tolist())
        return torch.arange(len(pool) - math.prod(x.shape), len(pool)).reshape(x.shape)

    moved = target(**{k: pytree.tree_map(positions, v) for k, v in given.items() if k != "memory_format"})
    return pytree.tree_map(lambda p: object_array([pool[i] for i in p.ravel().tolist()], p.shape), moved)


def _looked_up(ca: Any, short: str, given: dict[str, Any]) -> np.ndarray:
    """``table[.., index, ..]`` with an index that depends on t, z or u."""
    picks = given["indices"] if short == "index" else [None] * (given.get("dim") or 0) + [given.get("index")]
    places = [axis for axis, index in enumerate(picks) if index is not None]
    if short not in ("index", "index_select") or len(places) != 1:
        raise NotImplementedError(" (an index that depends on t, z or u)")
    return looked_up(ca, symbolic(ca, given["self"]), places[0], picks[places[0]])


def _reduce(ca: Any, short: str, given: dict[str, Any]) -> Any:
    """Reductions over one axis, several or all."""
    x, dims = given["self"], given.get("dim")
    axes = [dims] if isinstance(dims, int) else list(dims or range(x.ndim))
    axes = sorted(axis % x.ndim for axis in axes) if x.ndim else []
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    shape, count = [x.shape[axis] for axis in kept], math.prod(x.shape[axis] for axis in axes)
    rows = x.transpose(kept + axes).reshape(math.prod(shape), count)
    result = object_array([_row(ca, short, given, row.tolist()) for row in rows], shape)
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
def scalar_operations(ca: Any) -> dict[str, Callable[..., Any]]:
    """aten name -> the same on scalars; the caller broadcasts."""

    def where(c: Any, a: Any, b: Any) -> Any:
        return ca.if_else(c, a, b) if not c.is_constant() else a if float(c) else b

    def clamp(x: Any, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Any:
        low, high = (low if low is not None else min), (high if high is not None else max)
        x = x if low is None else ca.fmax(x, low)
        return x if high is None else ca.fmin(x, high)

    def divide(a: Any, b: Any, rounding_mode: str | None = None) -> Any:
        return a / b if rounding_mode is None else trunc(a / b) if rounding_mode == "trunc" else ca.floor(a / b)

    def trunc(x: Any) -> Any:
        return ca.sign(x) * ca.floor(ca.fabs(x))

    def nearest(x: Any, decimals: int = 0) -> Any:  # halves to the even neighbour
        scaled = x * 10.0**decimals
        up = ca.floor(scaled + 0.5)
        odd = ca.logic_and(up - scaled == 0.5, up - 2 * ca.floor(up / 2) == 1)
        return (up - odd) / 10.0**decimals

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
        "trunc": trunc,
        "round": nearest,
        "erfc": lambda x: 1 - ca.erf(x),
        "isnan": lambda x: x != x,
        "where": where,
    }


def short_name(target: Any) -> str:
    """``sum`` for aten.sum.dim_IntList."""
    packet = getattr(target, "overloadpacket", target)
    return str(getattr(packet, "__name__", packet))


def symbolic(ca: Any, x: Any) -> np.ndarray:
    """A constant tensor as an object array of SX; object arrays pass."""
    return x if isinstance(x, np.ndarray) else object_array([ca.SX(float(v)) for v in x.ravel().tolist()], x.shape)


def object_array(entries: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    """An object array; filled one by one, or NumPy would look inside the SX."""
    flat = np.empty(len(entries), dtype=object)
    for i, entry in enumerate(entries):
        flat[i] = entry
    return flat.reshape(shape)
