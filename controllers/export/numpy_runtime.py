"""A feedback law without PyTorch: NumPy and the standard library, one file, to be copied beside its weights.

    from runtime import Policy      # this file is exported under the name runtime.py

    policy = Policy()               # contract.json and weights.npz are in the folder of this file
    u = policy(t, z)                # control (m,) for one state z (n,) at time t
    action = policy.predict(observation)

It computes p = ∇_z phi(t, z) in float64, the chain rule written out, and maximises u -> H(t, z, p, u) block by block by
projected Newton with backtracking. NumPy does the networks, plain floats do the blocks: on so few numbers a NumPy call
costs more than its arithmetic. A problem enters by its Hamiltonian in u alone, a function in ``HAMILTONIANS``:

    parameters of the problem -> (t, z, p) -> list of blocks, each with ``start``, ``value``, ``gradient``, ``hessian``

This file is long because it is one: all that a robot needs. Register another problem, where it is exported and where
it runs, with ``HAMILTONIANS["ClassName"] = function``; H must separate over the blocks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TIME_SPAN, FADING, FLOOR = 4.0, 2.0, 1e-8
SLACK = 1e-6
"""Share of the horizon, and of a bound, that is taken for rounding."""
STEP_LENGTHS = tuple(2.0**-k for k in (0, 1, 2, 4, 6, 9, 12, 16, 20, 24))
JUMP = 0.22972497166972994
"""|q| from which on a bicycle's best steering angle is its bound."""


class Block(Protocol):
    """H as a function of the controls of one block, up to a constant; everything in plain floats."""

    def start(self) -> list[float]:
        """Where to begin; it need not be admissible."""

    def value(self, u: Sequence[float]) -> float:
        """H."""

    def gradient(self, u: Sequence[float]) -> list[float]:
        """∇_u H."""

    def hessian(self, u: Sequence[float]) -> list[list[float]]:
        """H_uu, by row."""


Blocks = Callable[[float, Array, Array], Sequence[Block]]


def grown(x: float) -> float:
    """e^x, finite: a step too long is refused by comparing H, not by an error."""
    return math.exp(min(x, 600.0))


class Exponential:
    """-q·u - exp(a |u|²); ``rest`` says which controls have the lower bound 0."""

    def __init__(self, q: list[float], a: float, rest: Sequence[bool]) -> None:
        self.q, self.a, self.rest = q, a, rest

    def start(self) -> list[float]:
        """-q/|q| r with 2a r² = W(|q|²/(2a)), Lambert's function by Winitzki's approximation."""
        q = [0.0 if r and x > 0 else x for x, r in zip(self.q, self.rest, strict=True)]
        square = sum(x * x for x in q)
        log = math.log1p(square / (2 * self.a))
        length = math.sqrt(log * (1 - math.log1p(log) / (2 + log)) / (2 * self.a))
        factor = -length / max(math.sqrt(square), 1e-30)
        return [x * factor for x in q]

    def value(self, u: Sequence[float]) -> float:
        linear = sum(x * y for x, y in zip(self.q, u, strict=True))
        return -linear - grown(self.a * sum(x * x for x in u))

    def gradient(self, u: Sequence[float]) -> list[float]:
        growth = 2 * self.a * grown(self.a * sum(x * x for x in u))
        return [-x - growth * y for x, y in zip(self.q, u, strict=True)]

    def hessian(self, u: Sequence[float]) -> list[list[float]]:
        growth = -2 * self.a * grown(self.a * sum(x * x for x in u))
        slant = 2 * self.a * growth
        return [[slant * x * y + (growth if i == j else 0.0) for j, y in enumerate(u)] for i, x in enumerate(u)]


class Bicycle:
    """-(q tanδ + ½δ² + r a + ½a²): one local maximum inside and one at the bound; ``start`` is near the higher one."""

    def __init__(self, q: float, r: float, bound: float) -> None:
        self.q, self.r, self.bound = q, r, bound

    def start(self) -> list[float]:
        """The bound past ``JUMP``, else the root of δ cos²δ = |q| by its series."""
        s = abs(self.q)
        square = s * s
        root = s * (1 + square * (1 + square * (8 / 3 + square * (422 / 45))))
        return [-math.copysign(self.bound if s > JUMP else root, self.q), -self.r]

    def value(self, u: Sequence[float]) -> float:
        return -(self.q * math.tan(u[0]) + 0.5 * u[0] * u[0] + (self.r + 0.5 * u[1]) * u[1])

    def gradient(self, u: Sequence[float]) -> list[float]:
        return [-(self.q * (1 + math.tan(u[0]) ** 2) + u[0]), -(self.r + u[1])]

    def hessian(self, u: Sequence[float]) -> list[list[float]]:
        tangent = math.tan(u[0])
        return [[-(2 * self.q * tangent * (1 + tangent * tangent) + 1), 0.0], [0.0, -1.0]]


def quadrotor(parameters: dict[str, Any]) -> Blocks:
    """``Quadrotor``: f is affine in u, so that u -> H is -q·u - exp(a |u|²) with q = f_uᵀ p, one block of four."""
    mass, a, rest = (
        parameters["mass"],
        parameters["cost_exponent"],
        (parameters["thrust_low"] == 0, False, False, False),
    )

    def blocks(t: float, z: Array, p: Array) -> Sequence[Block]:
        yaw, pitch, roll = z[3:6].tolist()
        push = p[6:12].tolist()
        sy, cy, sp, cp, sr, cr = (f(x) for x in (yaw, pitch, roll) for f in (math.sin, math.cos))
        lift = push[0] * (sy * sr + cy * sp * cr) + push[1] * (sy * sp * cr - cy * sr) + push[2] * cp * cr
        return [Exponential([lift / mass, *push[3:]], a, rest)]

    return blocks


def multi_bicycle(parameters: dict[str, Any]) -> Blocks:
    """``MultiBicycle``: a block (δ, a) for each agent with q = p_θ v / wheelbase and r = p_v."""
    wheelbase, bound = parameters["wheelbase"], math.pi / 2 - 0.25

    def blocks(t: float, z: Array, p: Array) -> Sequence[Block]:
        turn = (p[2::4] * z[3::4] / wheelbase).tolist()
        return [Bicycle(q, r, bound) for q, r in zip(turn, p[3::4].tolist(), strict=True)]

    return blocks


HAMILTONIANS: dict[str, Callable[[dict[str, Any]], Blocks]] = {"Quadrotor": quadrotor, "MultiBicycle": multi_bicycle}


class Policy:
    """u*(t, z) = argmax_u H(t, z, ∇phi(t, z), u) on [low, high].

    Args:
        folder: with ``contract.json`` and ``weights.npz``; that of this file unless given.

    Raises:
        ValueError: if the weights are not those of the contract, or its problem has no entry in ``HAMILTONIANS``.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = Path(__file__).parent if folder is None else Path(folder)
        self.contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
        body = {k: v for k, v in self.contract.items() if k != "checksum"}
        if hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest() != self.contract.get("checksum"):
            raise ValueError(f"{folder / 'contract.json'} was edited after it was written: its checksum does not match")
        weights = folder / "weights.npz"
        vouched = self.contract.get("files", {}).get("numpy", {}).get("sha256")  # none while it is being exported anew
        if hashlib.sha256(weights.read_bytes()).hexdigest() != vouched:
            raise ValueError(f"{weights} was cut short or edited: its SHA-256 is not that of contract.json")
        kind = self.contract["problem"]["class"].rpartition(":")[2]
        if kind not in HAMILTONIANS:
            raise ValueError(f"no Hamiltonian for {kind!r}; known are {sorted(HAMILTONIANS)}")
        self._blocks = HAMILTONIANS[kind](self.contract["problem"]["parameters"])
        with np.load(weights) as stored:
            self._w = {name: stored[name].astype(np.float64) for name in stored.files}
        control, argmax = self.contract["control"], self.contract["argmax"]
        self._low, self._high = np.array(control["low"]), np.array(control["high"])
        self._box = list(zip(control["low"], control["high"], strict=True))
        self._iterations, self._tolerance = argmax["max_iterations"], argmax["tolerance"]
        self._lengths = STEP_LENGTHS[: argmax["backtracks"]]
        self._n, self._horizon = len(self.contract["observation"]["names"]) - 1, self.contract["horizon"]
        self._pace = TIME_SPAN / self._horizon
        self._reach = np.array(self.contract["observation"]["high"][:-1]) * (1 + SLACK)
        self._prepare()

    def __call__(self, t: float, z: Array) -> Array:
        """The control, ``(m,)``, for one state z ``(n,)`` at time t.

        Raises:
            ValueError: outside [0, T], beyond the bounds, and for what is not finite.
        """
        z = np.asarray(z, dtype=np.float64)
        if z.shape != (self._n,):
            raise ValueError(f"z has shape {z.shape}; expected ({self._n},)")
        if not (math.isfinite(t) and np.isfinite(z).all()):
            raise ValueError(f"t = {t}, z = {z}; expected finite numbers")
        if not -SLACK * self._horizon <= t <= (1 + SLACK) * self._horizon:
            raise ValueError(f"t = {t}; expected a time in [0, {self._horizon}]: the law ends there")
        if (np.abs(z) > self._reach).any():
            raise ValueError(f"z = {z}; expected a state within the observation's bounds in contract.json")
        t = min(max(t, 0.0), self._horizon)
        u: list[float] = []
        for block in self._blocks(t, z, self.costate(float(t), z)):
            start = block.start()
            box = self._box[len(u) : len(u) + len(start)]
            u += climb(block, start, box, self._lengths, self._iterations, self._tolerance)
        return np.array(u)

    def predict(self, observation: Array) -> NDArray[np.float32]:
        """The action in [-1, 1], ``(m,)``, for one observation (z, t), ``(n + 1,)``."""
        row = np.asarray(observation, dtype=np.float64)
        u = self(float(row[-1]), row[:-1])
        return np.clip(2 * (u - self._low) / (self._high - self._low) - 1, -1, 1).astype(np.float32)

    def costate(self, t: float, z: Array) -> Array:
        """∇_z phi(t, z), ``(n,)``."""
        w, tau = self._w, t * self._pace
        unit = self._unit
        if "excess" in w:
            unit = unit + w["excess"] * math.exp(-FADING * tau)
        s = np.empty(self._n + 1)
        s[:-1], s[-1] = z, t
        s *= unit
        slope = w["linear"].copy()
        if len(w["output"]):
            slope += self._network(s)
        if len(w["growth"]):
            apart = w["quadratic"] @ s - w["center"]
            slope += (np.exp(w["growth"] * (tau - TIME_SPAN)) * apart) @ w["quadratic"]
        costate = slope[:-1]
        if self._agents:
            costate = costate + self._alone("agents", s[:-1], tau).ravel()
        if "nominal" in w:
            steps = t * self._pace * (w["nominal"].shape[1] - 1) / TIME_SPAN
            at = min(max(int(steps), 0), w["nominal"].shape[1] - 2)
            share = min(max(steps - at, 0.0), 1.0)
            costate = costate + (1 - share) * w["nominal"][:, at] + share * w["nominal"][:, at + 1]
        costate = costate * unit[:-1]
        if self._fine:
            size = w["fine.size"][0] + w["fine.size"][1] * math.exp(-FADING * tau)
            fine = w["fine.scale"]
            costate = costate + size * self._alone("fine.terms", np.asarray(z) / fine, tau).ravel() / fine
        result: Array = costate
        return result

    def _prepare(self) -> None:
        """What does not depend on the state."""
        w = self._w
        self._unit = 1 / w["scale"]
        self._depth = sum(name.startswith("hidden.") for name in w)
        self._stride = 1 / max(1, self._depth)
        self._agents, self._fine = "agents.opening" in w, "fine.scale" in w

    def _network(self, s: Array) -> Array:
        """∂/∂s of wᵀ N(s): the chain rule backwards through the residual layers."""
        w = self._w
        before = w["opening"] @ s + w["opening_bias"]
        a, slopes = log_cosh(before), []
        for i in range(self._depth):
            inner = w[f"hidden.{i}"] @ a + w[f"hidden_bias.{i}"]
            slopes.append(np.tanh(inner))
            if i + 1 < self._depth:
                a = a + self._stride * log_cosh(inner)
        back = w["output"]
        for i in reversed(range(self._depth)):
            back = back + self._stride * ((slopes[i] * back) @ w[f"hidden.{i}"])
        result: Array = (np.tanh(before) * back) @ w["opening"]
        return result

    def _alone(self, name: str, states: Array, tau: float) -> Array:
        """∂/∂s of the agents' own terms, without the time, ``(N, state_block)``."""
        w = {key.removeprefix(name + "."): weight for key, weight in self._w.items() if key.startswith(name + ".")}
        count = len(w["opening"])
        own = np.empty((count, 1, self._n // count + 1))
        own[:, 0, :-1], own[:, 0, -1] = states.reshape(count, -1), tau
        before = own @ w["opening"] + w["opening_bias"]
        slope = np.tanh(log_cosh(before) @ w["hidden"] + w["hidden_bias"])
        back = w["output"] + (slope * w["output"]) @ w["hidden"].T
        pull = np.exp(w["growth"] * (tau - TIME_SPAN)) * (own @ w["quadratic"] - w["center"])
        swap = (0, 2, 1)
        slope_s = (np.tanh(before) * back) @ w["opening"].transpose(swap)
        slope_s = slope_s + pull @ w["quadratic"].transpose(swap) + w["linear"]
        result: Array = slope_s[:, 0, :-1]
        return result


def log_cosh(x: Array) -> Array:
    """log cosh x without overflow."""
    size = np.abs(x)
    result: Array = size + np.log1p(np.exp(-2 * size)) - math.log(2)
    return result


def climb(
    block: Block,
    start: list[float],
    box: Sequence[tuple[float, float]],
    lengths: Sequence[float],
    most: int,
    tolerance: float,
) -> list[float]:
    """Projected Newton on the free controls, backtracking on H (Armijo), until the projected gradient is small."""
    u = [min(max(x, low), high) for x, (low, high) in zip(start, box, strict=True)]
    scale = 1 + math.sqrt(sum(x * x for x in block.gradient([0.0] * len(u))))
    for _ in range(most):
        slope = block.gradient(u)
        free = [
            not ((x <= low and g < 0) or (x >= high and g > 0)) for x, g, (low, high) in zip(u, slope, box, strict=True)
        ]
        if max((abs(g) for g, f in zip(slope, free, strict=True) if f), default=0.0) <= tolerance * scale:
            break
        direction = newton_direction(block.hessian(u), slope, free)
        reach = min([1.0, *((high - low) / abs(d) for d, (low, high) in zip(direction, box, strict=True) if d)])
        before = block.value(u)
        rounding = 8 * 2.0**-52 * (1 + abs(before))
        for length in lengths:
            step = length * reach
            after = [min(max(x + step * d, low), high) for x, d, (low, high) in zip(u, direction, box, strict=True)]
            gain = sum(g * (a - x) for g, a, x in zip(slope, after, u, strict=True))
            if block.value(after) >= before + 1e-4 * gain - rounding:
                u = after
                break
    return u


def newton_direction(hessian: list[list[float]], slope: list[float], free: list[bool]) -> list[float]:
    """-H_uu⁻¹ ∇H on the free controls, 0 on the others: L D Lᵀ with the pivots kept positive."""
    index = [i for i, f in enumerate(free) if f]
    rest = [[-hessian[i][j] for j in index] for i in index]
    x = [slope[i] for i in index]
    size = len(index)
    for j in range(size):
        pivot = max(abs(rest[j][j]), FLOOR)
        rest[j][j] = pivot
        for i in range(j + 1, size):
            factor = rest[i][j] / pivot
            if factor:
                for k in range(j + 1, size):
                    rest[i][k] -= factor * rest[j][k]
                x[i] -= factor * x[j]
    for j in reversed(range(size)):
        x[j] = (x[j] - sum(rest[j][k] * x[k] for k in range(j + 1, size))) / rest[j][j]
    result = [0.0] * len(free)
    for i, value in zip(index, x, strict=True):
        result[i] = value
    return result
