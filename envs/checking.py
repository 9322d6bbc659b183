"""A user's class, tried once: the shapes, types and values of its functions, and whether its steps are fine enough."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import torch
from torch import Tensor

from .integrate import advance
from .problem import Problem, check_kind

SEED = 0
GENTLE = 5e-4
"""Share of the way from rest to a control drawn from the whole box, where values must be finite."""
STIFF = 8
"""States, and as many controls, at which one step is compared with two halves."""
_tried: weakref.WeakSet[type[Problem]] = weakref.WeakSet()


def check_class(problem: Problem) -> None:
    """``check_functions`` where an object of this class comes by for the first time."""
    if type(problem) not in _tried:
        check_functions(problem)
        _tried.add(type(problem))


def check_functions(problem: Problem, device: torch.device | str = "cpu") -> None:
    """Try f, L, G and the initial states on small batches, with t ``()`` and ``(B,)``, in float64 and float32.

    Warns where one Runge-Kutta step over dt is far from two over dt/2: f is too stiff for ``steps``.

    Args:
        problem: what is tried; it draws from a generator of its own, and the global one is left as it was.
        device: where it will be used.

    Raises:
        ValueError: naming the method, what it was given, what came and what was expected.
    """
    check_kind(problem)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        generator = torch.Generator().manual_seed(SEED)
        # a batch as large as the state or the control would hide that an axis was taken for another
        other = next(size for size in (3, 4, 5) if size not in (problem.state_dim, problem.control_dim))
        for dtype in (torch.float64, torch.float32):
            for batch in (1, 2, other):
                z = _initial_states(problem, batch, generator).to(device, dtype)
                u = _controls(problem, z, GENTLE)
                _check_terminal(problem, z)
                for shape in ((), (batch,)):
                    t = torch.full(shape, 0.5 * problem.time_step, dtype=dtype, device=device)
                    _check_functions_of_time(problem, t, z, u)
        _check_draws(problem)
        _warn_if_stiff(problem, _initial_states(problem, STIFF, generator).to(device, torch.float64))


def _initial_states(problem: Problem, batch: int, generator: torch.Generator) -> Tensor:
    asked = f"sample_initial_state({batch}, generator)"
    z = _call(problem, asked, problem.sample_initial_state, batch, generator)
    like = z if isinstance(z, Tensor) and z.is_floating_point() else torch.empty(0)
    _expect(problem, asked, z, (batch, problem.state_dim), torch.empty(0, dtype=like.dtype), "")
    return z


def _check_draws(problem: Problem) -> None:
    """Refuse initial states that do not come from the generator: no figure could be found again."""
    first, second = (_initial_states(problem, 2, torch.Generator().manual_seed(SEED)) for _ in range(2))
    if not torch.equal(first, second):
        raise ValueError(
            f"{type(problem).__name__}.sample_initial_state(2, generator) returned two things for the same seed; "
            "expected states drawn from the generator alone: torch.randn(.., generator=generator)"
        )


def _controls(problem: Problem, z: Tensor, share: float) -> Tensor:
    """Controls ``(B, m)``, ``share`` of the way from the admissible one nearest to 0 to one drawn from the box."""
    low, high = problem.control_bounds(z)
    rest = torch.zeros_like(low).clamp(low, high)
    anywhere = low + (high - low) * torch.rand(len(z), len(low)).to(z)
    return torch.lerp(rest.expand_as(anywhere), anywhere, share)


def _check_functions_of_time(problem: Problem, t: Tensor, z: Tensor, u: Tensor) -> None:
    given = f" for t {tuple(t.shape)}, z {tuple(z.shape)}, u {tuple(u.shape)}"
    f = _call(problem, f"dynamics{given}", problem.dynamics, t, z, u)
    _expect(problem, "dynamics", f, tuple(z.shape), z, given)
    running = _call(problem, f"running_cost{given}", problem.running_cost, t, z, u)
    _expect(problem, "running_cost", running, (len(z),), z, given)
    again = {"dynamics": (f, problem.dynamics(t, z, u)), "running_cost": (running, problem.running_cost(t, z, u))}
    for method, (first, second) in again.items():
        if not torch.equal(first, second):
            raise ValueError(
                f"{type(problem).__name__}.{method} returned two things{given}, the same twice; expected a function of "
                "t, z and u: noise belongs in the initial states, or in a plant that the controller is tried on"
            )


def _check_terminal(problem: Problem, z: Tensor) -> None:
    given = f" for z {tuple(z.shape)}"
    terminal = _call(problem, f"terminal_cost{given}", problem.terminal_cost, z)
    _expect(problem, "terminal_cost", terminal, (len(z),), z, given)


def _call(problem: Problem, what: str, function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # whatever a user's code can raise
        raise ValueError(f"{type(problem).__name__}.{what} failed: {type(error).__name__}: {error}") from error


def _expect(problem: Problem, method: str, x: Any, shape: tuple[int, ...], like: Tensor, given: str) -> None:
    """Refuse what is no finite tensor of this shape with the type and device of ``like``."""
    name, kind = f"{type(problem).__name__}.{method}", str(like.dtype).removeprefix("torch.")
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} returned a {type(x).__name__}{given}; expected a torch.Tensor of shape {shape}")
    if tuple(x.shape) != shape:
        hint = ", one value per sample: sums and means need their axis, .sum(-1)" if len(shape) == 1 else ""
        raise ValueError(f"{name} returned shape {tuple(x.shape)}{given}; expected {shape}{hint}")
    if x.dtype != like.dtype or x.device.type != like.device.type:
        raise ValueError(
            f"{name} returned {x.dtype} on {x.device}{given}; expected {kind} on {like.device}, as what it is given: "
            "make constants with dtype=z.dtype, device=z.device"
        )
    bad = ~x.isfinite().reshape(len(x), -1).all(-1)
    if bad.any():
        raise ValueError(f"{name} is not finite{given}; the first bad sample has index {int(bad.nonzero()[0])}")


def _warn_if_stiff(problem: Problem, z: Tensor) -> None:
    """Compare one step with its two halves, at gentle controls and anywhere in the box."""
    scale = torch.as_tensor(problem.state_scale, dtype=z.dtype, device=z.device)

    def size(x: Tensor) -> Tensor:
        return (x / scale).abs().amax(-1)

    dt = problem.time_step
    for share in (GENTLE, 1.0):
        u = _controls(problem, z, share)
        t = z.new_zeros(())
        whole = advance(problem, t, z, u, dt)[0]
        half = advance(problem, t + 0.5 * dt, advance(problem, t, z, u, 0.5 * dt)[0], u, 0.5 * dt)[0]
        moved = size(z) + torch.minimum(size(whole - z), size(half - z)) + 1e-12
        apart = torch.nan_to_num(size(whole - half) / moved, nan=torch.inf)
        if (apart > 1).any():
            worst = int(apart.argmax())
            warnings.warn(
                f"{type(problem).__name__} is stiff: from z = {_short(z[worst])} with u = {_short(u[worst])} held over "
                f"dt = {dt:.3g}, one Runge-Kutta step and two halves of it end {float(apart[worst]):.2g} times as far "
                f"apart as the state is large; expected them to agree: raise steps (now {problem.steps}), or set "
                "control_low and control_high to what the plant can do",
                stacklevel=3,
            )
            return


def _short(x: Tensor) -> str:
    return "(" + ", ".join(f"{v:.3g}" for v in x[:4].tolist()) + (", .." if len(x) > 4 else "") + ")"
