"""aten operations on matrices and tables of CasADi's SX: what ``aten`` cannot do entry by entry."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

LINEAR = "_linalg_solve_ex linalg_inv_ex _linalg_det linalg_cholesky_ex cholesky_solve linalg_solve_triangular "
LINEAR += "searchsorted bucketize cumprod any"
"""Names of what is translated here."""
FINE = torch.zeros((), dtype=torch.int32)
"""What LAPACK says where a matrix has an inverse."""


def linear(ca: Any, short: str, given: dict[str, Any]) -> Any:
    """One of LINEAR, of object arrays of SX; factors and pivots that torch returns besides are ``None``."""
    if short == "_linalg_solve_ex":
        a, b = given["A"], given["B"]
        if not given.get("left", True):
            raise NotImplementedError(" (left=False)")
        column = b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])
        x = _each(lambda f, y: ca.solve(f, y), ca, a, b[..., None] if column else b)
        return (x[..., 0] if column else x), None, None, FINE
    if short == "linalg_inv_ex":
        return _each(ca.inv, ca, given["A"]), FINE
    if short == "_linalg_det":
        return _each(ca.det, ca, given["A"])[..., 0, 0], None, None
    if short == "linalg_cholesky_ex":
        factor = _each(lambda a: _cholesky(ca, a), ca, given["self"])
        return (factor.swapaxes(-1, -2) if given.get("upper") else factor), FINE
    if short == "cholesky_solve":
        b, root = given["self"], given["input2"]
        root = root.swapaxes(-1, -2) if given.get("upper") else root
        return _each(lambda y, f: ca.solve(f @ f.T, y), ca, b, root)
    if short == "linalg_solve_triangular":
        if not given.get("left", True):
            raise NotImplementedError(" (left=False)")
        return _each(lambda f, y: ca.solve(f, y), ca, given["self"], given["B"])
    if short == "cumprod":
        return np.cumprod(given["self"], axis=given["dim"])
    if short == "any":
        return _any(ca, given)
    table = given["sorted_sequence"] if short == "searchsorted" else given["boundaries"]
    right = given.get("right", False) or given.get("side") == "right"
    return place(ca, table, given["self"], right)


def place(ca: Any, table: np.ndarray, x: np.ndarray, right: bool) -> np.ndarray:
    """How many entries of the sorted ``table (N,)`` are below each x; ``right``: or equal to it."""
    if table.ndim != 1:
        raise NotImplementedError(" (tables of several rows)")
    below: Callable[[Any, Any], Any] = (lambda a, b: a <= b) if right else (lambda a, b: a < b)
    return _filled([sum((below(e, v) for e in table.tolist()), ca.SX(0)) for v in x.ravel().tolist()], x.shape)


def looked_up(ca: Any, table: np.ndarray, axis: int, index: np.ndarray) -> np.ndarray:
    """``table`` along one axis at an index that depends on t, z or u: a choice among all its entries."""
    rows = np.moveaxis(table, axis, 0)
    count, rest = len(rows), rows.shape[1:]
    flat = rows.reshape(count, math.prod(rest))
    found = []
    for i in index.ravel().tolist():
        wrapped = ca.if_else(i < 0, i + count, i)
        found.append([functools.reduce(lambda a, j: ca.if_else(wrapped == j[0], j[1], a), enumerate(c), ca.SX(math.nan))
                      for c in flat.T.tolist()])  # fmt: skip
    whole = _filled([x for row in found for x in row], (*index.shape, *rest))
    places = range(index.ndim)
    return np.moveaxis(whole, list(places), [axis + k for k in places])


def _any(ca: Any, given: dict[str, Any]) -> np.ndarray:
    x, dims = given["self"], given.get("dim")
    axes = tuple(range(x.ndim)) if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    axes = tuple(axis % x.ndim for axis in axes)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.transpose([*kept, *axes]).reshape(math.prod(x.shape[a] for a in kept), -1)
    found = [functools.reduce(ca.logic_or, row, ca.SX(0)) for row in rows.tolist()]
    result = _filled(found, [x.shape[axis] for axis in kept])
    return np.expand_dims(result, axes) if given.get("keepdim") else result


def _cholesky(ca: Any, a: Any) -> Any:
    """Its lower factor, of the lower triangle, without pivots."""
    count = a.shape[0]
    root = ca.SX(count, count)
    for i in range(count):
        for j in range(i + 1):
            rest = a[i, j] - sum((root[i, k] * root[j, k] for k in range(j)), ca.SX(0))
            root[i, j] = ca.sqrt(rest) if i == j else rest / root[j, j]
    return root


def _each(function: Callable[..., Any], ca: Any, *stacks: np.ndarray) -> np.ndarray:
    """``function`` of each of a stack of matrices, ``(.., r, c)``."""
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in stacks))
    flat = [np.broadcast_to(x, (*lead, *x.shape[-2:])).reshape(-1, *x.shape[-2:]) for x in stacks]
    answers = []
    for matrices in zip(*flat, strict=True):
        answers.append(function(*(_matrix(ca, x) for x in matrices)))
    entries = [a[i, j] for a in answers for i in range(a.shape[0]) for j in range(a.shape[1])]
    return _filled(entries, (*lead, *answers[0].shape))


def _matrix(ca: Any, x: np.ndarray) -> Any:
    return ca.vertcat(*(ca.horzcat(*row) for row in x.tolist()))


def _filled(entries: list[Any], shape: Any) -> np.ndarray:
    """An object array; filled one by one, or NumPy would look inside the SX."""
    flat = np.empty(len(entries), dtype=object)
    for i, entry in enumerate(entries):
        flat[i] = entry
    return flat.reshape(tuple(shape))
