"""A feedback law of the held control without PyTorch, for ``MultiBicycle``: NumPy alone, one file beside its weights.

    from runtime import Policy      # this file is exported under the name runtime.py

    policy = Policy()               # contract.json and weights.npz are in the folder of this file
    u = policy(t, z)                # control (m,) for one state z (n,) at time t
    action = policy.predict(observation)

u* = argmax_u -(c(t, z, u) + phi(t + dt, F(t, z, u))) / dt by projected Newton, in float64: the Runge-Kutta step (F, c)
of the bicycles and its derivative backwards, and phi, expansions and a network, are written out below.

The step in closed form: with A and b of the classical method (times dt), its stages s and T = tanδ / wheelbase,

    v_s = v + a (A 1)_s     θ_s = θ + T (A v)_s     V_s = v_s e^{iθ_s}     x_s = x + (A V)_s     (x a complex number)
    v⁺ = v + a dt           θ⁺ = θ + T b·v          x⁺ = x + b·V           c = ½ dt |u|² + Σ_s b_s l(x_s)

so that all four stages are computed at once, and l is what the bicycles pay for being near each other.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TIME_SPAN, FLOOR, EPS, SLACK = 4.0, 1e-8, 2.0**-52, 1e-6
STEP_LENGTHS = (1.0, *(2.0**-k for k in (1, 2, 4, 6, 9, 12, 16, 20, 24)))


class Bicycles:
    """One control step of ``MultiBicycle``: states ``(N, 4)`` or ``(R, N, 4)``, and R candidates ``(R, N, 2)``."""

    def __init__(self, wheelbase: float, interaction: float, radius: float, dt: float) -> None:
        self.wheelbase, self.price, self.square, self.dt = wheelbase, interaction, radius**2, dt
        self.a = np.zeros((4, 4))
        self.a[1, 0] = self.a[2, 1] = 0.5 * dt
        self.a[3, 2] = dt
        self.b = dt / 6 * np.array([1.0, 2.0, 2.0, 1.0])
        self.c = self.a.sum(1)[:, None, None]

    def forward(self, z: Array, u: Array) -> tuple[Array, Array]:
        """F ``(R, N, 4)`` and c ``(R,)``; what ``backward`` needs is kept."""
        x, heading, speed = z[..., 0] + 1j * z[..., 1], z[..., 2], z[..., 3]
        shape, steering, push = u.shape[:-1], u[..., 0], u[..., 1]
        self.u, self.tan = u, np.tan(steering)
        self.turn = self.tan / self.wheelbase
        self.v = speed + self.c * push
        flat = self.v.reshape(4, -1)
        self.gone = (self.a @ flat).reshape(4, *shape)
        self.length = (self.b @ flat).reshape(shape)
        self.way = np.exp(1j * (heading + self.turn * self.gone))
        flow = (self.v * self.way).reshape(4, -1)
        place = x + (self.a @ flow).reshape(4, *shape)
        self.apart = place[..., :, None] - place[..., None, :]
        self.near = np.exp((self.apart.real**2 + self.apart.imag**2) / (-2 * self.square))
        after = np.empty((*shape, 4))
        end = x + (self.b @ flow).reshape(shape)
        after[..., 0], after[..., 1] = end.real, end.imag
        after[..., 2], after[..., 3] = heading + self.turn * self.length, speed + self.dt * push
        count = shape[-1]
        pairs = self.near.reshape(4, shape[0], -1).sum(-1) - count
        return after, 0.5 * self.dt * (u * u).sum((1, 2)) + (self.price / (4 * count)) * (self.b @ pairs)

    def backward(self, p: Array) -> Array:
        """c_u + F_uᵀ p, ``(R, N, 2)``, of the last ``forward``."""
        shape = p.shape[:-1]
        apart = (self.near * self.apart).sum(-1)  # of each stage: what pushes a bicycle away from the others
        pull = (self.price / (-2 * shape[-1] * self.square)) * self.b[:, None] * apart.reshape(4, -1)
        flow = (self.a.T @ pull).reshape(4, *shape) + self.b[:, None, None] * (p[..., 0] + 1j * p[..., 1])
        along = self.way.conj() * flow
        by_heading = self.v * along.imag
        back = (self.a.T @ by_heading.reshape(4, -1)).reshape(4, *shape) + self.b[:, None, None] * p[..., 2]
        by_speed = along.real + self.turn * back
        slope = self.dt * self.u
        by_turn = (by_heading * self.gone).sum(0) + p[..., 2] * self.length
        slope[..., 0] += by_turn * (1 + self.tan * self.tan) / self.wheelbase
        slope[..., 1] += (by_speed * self.c).sum(0) + self.dt * p[..., 3]
        return slope


class Expanded:
    """phi(t, z) = E_j + Σ_i N_i(s_i, τ) at one time: ``ExpandedValue``, its tables interpolated there."""

    def __init__(self, w: dict[str, Array], horizon: float, t: float) -> None:
        self.w, last = w, len(w["value"]) - 1
        steps = t * last / horizon
        row = min(max(math.floor(steps), 0), last - 1)
        self.row, self.share = row, steps - row
        names = ("value", "state", "costate", "root")
        tables = (low + self.share * (high - low) for low, high in (w[name][row : row + 2] for name in names))
        self.value, state, costate, self.root = tables
        self.state, self.costate = (x.reshape(len(x), -1, 4) for x in (state, costate))
        self.tau = TIME_SPAN * steps / last

    def bounds(self, z: Array, alike: bool = False) -> tuple[Array, NDArray[np.int64]]:
        """E_j + |s_j|² for one state ``(N, 4)``, ``(M,)``, and the agents in the order of the roles of each."""
        members = range(len(self.state))
        orders = [self._order(z, j) if alike else np.arange(len(z)) for j in members]
        d = z[np.stack(orders)] - self.state
        s = np.matmul(d[..., None, :], self.root)[..., 0, :]
        return self.value + (self.costate * d + 1.5 * s * s).sum((-2, -1)), np.stack(orders)

    def _order(self, z: Array, j: int) -> NDArray[np.int64]:
        d = z - self.state[j][:, None]  # of role r and agent i
        s = np.matmul(d, self.root[j])
        return assigned(np.matmul(d, self.costate[j][..., None])[..., 0] + 1.5 * (s * s).sum(-1))

    def __call__(self, z: Array, j: int) -> tuple[Array, Array]:
        """phi ``(R,)`` and ∇phi ``(R, N, 4)`` of R states, by member j."""
        d = z - self.state[j]
        s = np.matmul(d[..., None, :], self.root[j])[..., 0, :]
        value = self.value[j] + (self.costate[j] * d + 0.5 * s * s).sum((-2, -1))
        slope = s
        if "network.opening" in self.w:
            own, slope_own = self.network(s)
            value, slope = value + own, s + slope_own
        return value, self.costate[j] + np.matmul(self.root[j], slope[..., None])[..., 0]

    def network(self, s: Array) -> tuple[Array, Array]:
        """Σ_i N_i and its derivative in s: ``AgentTerms``."""
        w = self.w
        own = np.empty((s.shape[1], len(s), 5))
        own[..., :4], own[..., 4] = s.swapaxes(0, 1), self.tau
        before = own @ w["network.opening"] + w["network.opening_bias"]
        first = log_cosh(before)
        inner = first @ w["network.hidden"] + w["network.hidden_bias"]
        apart = own @ w["network.quadratic"] - w["network.center"]
        pull = np.exp(w["network.growth"] * (self.tau - TIME_SPAN)) * apart
        terms = ((first + log_cosh(inner)) * w["network.output"]).sum((0, 2))
        terms = terms + 0.5 * (pull * apart).sum((0, 2)) + (own * w["network.linear"]).sum((0, 2))
        back = w["network.output"] + (np.tanh(inner) * w["network.output"]) @ w["network.hidden"].T
        slope = (np.tanh(before) * back) @ w["opening_back"] + pull @ w["quadratic_back"] + w["network.linear"]
        return terms, slope[..., :4].swapaxes(0, 1)


class Policy:
    """u*(t, z) = argmax_u H_dt(t, z, phi, u) on [low, high].

    Args:
        folder: with ``contract.json`` and ``weights.npz``; that of this file unless given.

    Raises:
        ValueError: if the weights are not those of the contract.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = Path(__file__).parent if folder is None else Path(folder)
        self.contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
        weights = folder / "weights.npz"
        vouched = self.contract.get("files", {}).get("numpy", {}).get("sha256")  # none while it is being exported anew
        if hashlib.sha256(weights.read_bytes()).hexdigest() != vouched:
            raise ValueError(f"{weights} was cut short or edited: its SHA-256 is not that of contract.json")
        with np.load(weights) as stored:
            self._w = {name: stored[name].astype(np.float64) for name in stored.files}
        for name in ("opening", "quadratic"):
            if f"network.{name}" in self._w:
                self._w[f"{name}_back"] = self._w[f"network.{name}"].swapaxes(1, 2).copy()
        given, argmax = self.contract["problem"]["parameters"], self.contract["argmax"]
        control = self.contract["control"]
        self._reach = np.array(self.contract["observation"]["high"][:-1]) * (1 + SLACK)
        self._dt, self._horizon = self.contract["period"], self.contract["horizon"]
        self._alike = self.contract["alike"]
        self._flies, self._price = self.contract["value"].get("flights", 0) > 0, given["terminal_weight"]
        self._crowd, self._pace = (given["wheelbase"], given["interaction"], given["radius"]), self.contract["step"]
        self._step, self._flight = Bicycles(*self._crowd, self._dt), Bicycles(*self._crowd, self._pace)
        self._low, self._high = (np.array(control[name]).reshape(-1, 2) for name in ("low", "high"))
        self._most, self._tolerance = argmax["max_iterations"], argmax["tolerance"]
        self._lengths = STEP_LENGTHS[: argmax["backtracks"]]
        self._away = EPS ** (1 / 3) * (self._high - self._low)
        steps = np.eye(2)[:, None] * self._away
        self._beside = np.concatenate([steps, -steps])

    def __call__(self, t: float, z: Array) -> Array:
        """The control, ``(m,)``, for one state z ``(n,)`` at time t.

        Raises:
            ValueError: outside [0, T], beyond the bounds, and for what is not finite.
        """
        z = np.asarray(z, dtype=np.float64)
        if z.shape != (4 * len(self._low),):
            raise ValueError(f"z has shape {z.shape}; expected ({4 * len(self._low)},)")
        if not (math.isfinite(t) and np.isfinite(z).all()):
            raise ValueError(f"t = {t}, z = {z}; expected finite numbers")
        if not -SLACK * self._horizon <= t <= (1 + SLACK) * self._horizon:
            raise ValueError(f"t = {t}; expected a time in [0, {self._horizon}]: the law ends there")
        if (np.abs(z) > self._reach).any():
            raise ValueError(f"z = {z}; expected a state within the observation's bounds in contract.json")
        t = min(max(t, 0.0), self._horizon)
        z = z.reshape(-1, 4)
        phi = Expanded(self._w, self._horizon, t + self._dt)
        here = Expanded(self._w, self._horizon, t)
        j, order = self.speaker(here, z)
        z = z[order]
        u = self._feedback(min(here.row + (here.share > 1 - 1e-4), len(self._w["gain"]) - 1), j, z)
        if not self._most:
            return u[order.argsort()].ravel()
        value, slope, rest, bend = self._look(phi, j, z, u)
        scale = 1 + np.abs(rest)
        for _ in range(self._most):
            held = ((u <= self._low) & (slope < 0)) | ((u >= self._high) & (slope > 0))
            if (np.where(held, 0.0, np.abs(slope)) / scale).max() <= self._tolerance:
                break
            direction = newton_direction(bend, slope, ~held)
            size = np.maximum(np.abs(direction), 1e-30)
            direction = direction * min(1.0, ((self._high - self._low) / size).min())
            for length in self._lengths:
                after = np.clip(u + length * direction, self._low, self._high)
                found = self._look(phi, j, z, after)
                if found[0] >= value + 1e-4 * ((after - u) * slope).sum() - 8 * EPS * (1 + abs(value)):
                    u, (value, slope, rest, bend) = after, found
                    break
        return u[order.argsort()].ravel()

    def predict(self, observation: Array) -> NDArray[np.float32]:
        """The action in [-1, 1], ``(m,)``, for one observation (z, t), ``(n + 1,)``."""
        row = np.asarray(observation, dtype=np.float64)
        u = self(float(row[-1]), row[:-1]).reshape(self._low.shape)
        return np.clip(2 * (u - self._low) / (self._high - self._low) - 1, -1, 1).astype(np.float32).ravel()

    def speaker(self, here: Expanded, z: Array) -> tuple[int, NDArray[np.int64]]:
        """The member that speaks, and the agents in the order of its roles: by bounds or by flights."""
        bounds, orders = here.bounds(z, self._alike)
        best = int((self._flown(here, np.arange(len(bounds)), z[orders]) if self._flies else bounds).argmin())
        return best, orders[best]

    def _flown(self, here: Expanded, members: NDArray[np.int64], z: Array) -> Array:
        """What the feedback along each of the members costs from ``z (C, N, 4)`` to the end, ``(C,)``."""
        t, last = (here.row + here.share) * self._pace, len(self._w["value"]) - 1
        cost, left = np.zeros(len(members)), self._horizon - t
        for k in range(math.ceil(left / self._pace - 1e-6)):
            dt = min(self._pace, left - k * self._pace)
            if abs(dt - self._flight.dt) > 1e-12:
                self._flight = Bicycles(*self._crowd, dt)
            u = self._feedback(min(int((t / self._pace) + k + 1e-4), last - 1), members, z)
            z, spent = self._flight.forward(z, u)
            cost = cost + spent
        away = z[..., :2] - self._w["targets"]
        return np.nan_to_num(cost + 0.5 * self._price * (away * away).sum((-2, -1)), nan=np.inf)

    def _feedback(self, row: int, j: int | NDArray[np.int64], z: Array) -> Array:
        """Riccati's feedback of the expansion's step that t is in: where the search begins."""
        w = self._w
        away = z - w["state"][row, j].reshape(*z.shape)
        u = w["control"][row, j].reshape(*z.shape[:-1], 2) + np.matmul(w["gain"][row, j], away[..., None])[..., 0]
        return np.clip(u, self._low, self._high)

    def _look(self, phi: Expanded, j: int, z: Array, u: Array) -> tuple[float, Array, Array, Array]:
        """H_dt and ∇_u H_dt at u, ∇_u H_dt at 0, and the blocks of H_uu by differences, ``(N, 2, 2)``: one sweep."""
        middle = np.minimum(np.maximum(u, self._low + self._away), self._high - self._away)
        candidates = np.concatenate([u[None], np.zeros_like(u)[None], middle + self._beside])
        after, cost = self._step.forward(z, candidates)
        value, p = phi(after, j)
        slopes = self._step.backward(p) / -self._dt
        bend = ((slopes[2:4] - slopes[4:]) / (2 * self._away.T[:, :, None])).transpose(1, 2, 0)
        bend = 0.5 * (bend + bend.swapaxes(1, 2))
        if self._flies:
            return *self._ahead(phi, j, z, u), slopes[1], bend
        return -(cost[0] + value[0]) / self._dt, slopes[0], slopes[1], bend

    def _ahead(self, phi: Expanded, j: int, z: Array, u: Array) -> tuple[float, Array]:
        """H_dt under what the flights along member j cost, and its slope by differences."""
        middle = np.minimum(np.maximum(u, self._low + self._away), self._high - self._away)
        beside = np.eye(u.size).reshape(-1, *u.shape) * self._away
        after, cost = self._step.forward(z, np.concatenate([u[None], middle + beside, middle - beside]))
        h = -(cost + self._flown(phi, np.full(len(cost), j), after)) / self._dt
        ahead, behind = h[1:].reshape(2, *u.shape)
        return float(h[0]), (ahead - behind) / (2 * self._away)


def newton_direction(bend: Array, slope: Array, free: NDArray[np.bool_]) -> Array:
    """-H_uu⁻¹ ∇H by block of two on the free controls, 0 on the others: L D Lᵀ with the pivots kept positive."""
    one, two = free[:, 0], free[:, 1]
    first = np.maximum(np.abs(np.where(one, -bend[:, 0, 0], 1.0)), FLOOR)
    cross = np.where(one & two, -bend[:, 0, 1], 0.0) / first
    second = np.maximum(np.abs(np.where(two, -bend[:, 1, 1], 1.0) - cross * cross * first), FLOOR)
    right = free * slope
    y = (right[:, 1] - cross * right[:, 0]) / second
    return np.stack([right[:, 0] / first - cross * y, y], -1)


def assigned(cost: Array) -> NDArray[np.int64]:
    """The column of each row with the least sum, of a square matrix: the Hungarian method, by shortest paths."""
    count = len(cost)
    rows, columns, owner = np.zeros(count + 1), np.zeros(count + 1), np.full(count + 1, -1)
    for row in range(count):
        owner[count], j = row, count  # column ``count`` is none
        least, way, seen = np.full(count, math.inf), np.full(count, count), np.zeros(count + 1, dtype=bool)
        while owner[j] >= 0:
            seen[j] = True
            reduced = cost[owner[j]] - rows[owner[j]] - columns[:count]
            closer = ~seen[:count] & (reduced < least)
            least[closer], way[closer] = reduced[closer], j
            j = int(np.where(seen[:count], math.inf, least).argmin())
            step = least[j]
            rows[owner[seen]] += step
            columns[seen] -= step
            least[~seen[:count]] -= step
        while j != count:
            owner[j], j = owner[way[j]], way[j]
    return owner[:count].argsort()


def log_cosh(x: Array) -> Array:
    """log cosh x without overflow."""
    size = np.abs(x)
    result: Array = size + np.log1p(np.exp(-2 * size)) - math.log(2)
    return result
