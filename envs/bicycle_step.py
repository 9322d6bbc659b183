"""One control step of the bicycles in closed form: its four Runge-Kutta stages at once, and the way back through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .nearness import nearness
from .problem import HeldStep

if TYPE_CHECKING:
    from .bicycle import MultiBicycle

TABLEAU = ((0.0, 0.5, 0.5, 1.0), (0.0, 0.0, 0.25, 0.5), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
"""c, e and b below, for dt = 1."""
FEW = 16
"""Agents, at most, whose stages are looked at together."""


def bicycle_step(problem: MultiBicycle, z: Tensor, u: Tensor, dt: float | Tensor) -> HeldStep:
    """What ``integrate.runge_kutta`` makes of N bicycles with u held over dt: ``z (B, 4N)``, ``u (.., B, 2N)``.

    With c = (0, ½, ½, 1) dt, e = (0, 0, ¼, ½) dt² and b = (1, 2, 2, 1) dt/6 of the classical method and
    T = tanδ / wheelbase, its stages s are

        v_s = v + c_s a    θ_s = θ + T (c_s v + e_s a)    V_s = v_s (cosθ_s, sinθ_s)    x_s = x + c_s V_{s-1}
        v⁺ = v + dt a      θ⁺ = θ + T (dt v + ½ dt² a)    x⁺ = x + Σ_s b_s V_s         ∫L = ½ dt |u|² + Σ_s b_s l(x_s)

    where l is what the bicycles pay for being near each other.
    """
    count, radius, price = problem.num_agents, problem.radius, problem.interaction
    agents = problem.agents(z)
    x, heading, speed = agents.narrow(-1, 0, 2), agents.select(-1, 2), agents.select(-1, 3)
    delta, push = u.unflatten(-1, (-1, 2)).unbind(-1)
    table = torch.tensor(TABLEAU, dtype=z.dtype, device=z.device).reshape(3, 4, *[1] * delta.ndim)
    c, e, b = (x * scale for x, scale in zip(table.unbind(), (dt, dt**2, dt), strict=True))
    turn = torch.tan(delta) / problem.wheelbase
    v, way = speed + c * push, c * speed + e * push
    angle = heading + turn * way
    cos, sin = torch.cos(angle), torch.sin(angle)
    flow = torch.stack([v * cos, v * sin], -1)
    place = x + c.unsqueeze(-1) * _later(flow, 0)
    near, apart = _crowd(place, radius)
    length = dt * speed + (0.5 * dt**2) * push
    end = x + (b.unsqueeze(-1) * flow).sum(0)
    after = torch.cat([end, torch.stack([heading + turn * length, speed + dt * push], -1)], -1).flatten(-2)
    pairs = (b.squeeze(-1) * (near.sum(-1) - count)).sum(0)
    cost = (0.5 * dt) * (u * u).sum(-1) + (price / (4 * count)) * pairs

    def pull(p: Tensor) -> Tensor:
        by = problem.agents(p)
        p_heading, p_speed = by.select(-1, 2), by.select(-1, 3)
        away = (price / (-2 * count * radius**2)) * (b * c).unsqueeze(-1) * apart  # of V in the stage before
        lead = b.unsqueeze(-1) * by.narrow(-1, 0, 2) + _later(away, 1)
        lead_x, lead_y = lead.unbind(-1)
        by_angle, by_speed = v * (cos * lead_y - sin * lead_x), cos * lead_x + sin * lead_y
        by_turn = (by_angle * way).sum(0) + p_heading * length
        by_push = (by_speed * c + turn * (by_angle * e)).sum(0) + p_heading * turn * (0.5 * dt**2) + dt * p_speed
        steep = 1 / problem.wheelbase + problem.wheelbase * turn * turn  # dT/dδ
        return dt * u + torch.stack([by_turn * steep, by_push], -1).flatten(-2)

    return HeldStep(after, cost, pull)


def _crowd(x: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Σ_j e_ij and Σ_j e_ij (x_i - x_j), e_ij the nearness in each stage: ``(4, .., N)`` and ``(4, .., N, 2)``.

    Of many agents one stage at a time, as the cache likes it, and by products of matrices.
    """
    if x.shape[-2] > FEW:
        x = x - x.mean(-2, keepdim=True)  # nothing cancels, then
        one = torch.ones_like(x.narrow(-1, 0, 1))
        sums = torch.stack(
            [nearness(y, radius) @ torch.cat([y, e], -1) for y, e in zip(x.unbind(), one.unbind(), strict=True)]
        )
        near = sums.select(-1, 2)
        return near, near.unsqueeze(-1) * x - sums.narrow(-1, 0, 2)
    apart = x.unsqueeze(-2) - x.unsqueeze(-3)
    near = torch.exp((apart * apart).sum(-1) / (-2 * radius**2))
    return near.sum(-1), (near.unsqueeze(-1) * apart).sum(-2)


def _later(x: Tensor, begin: int) -> Tensor:
    """Three of the four stages, from ``begin`` on, one stage later, or, from 1 on, one earlier; 0 where none is."""
    three, none = x.narrow(0, begin, 3), torch.zeros_like(x.narrow(0, 0, 1))
    return torch.cat([three, none] if begin else [none, three])
