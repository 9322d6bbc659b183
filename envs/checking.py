"""A user's class, tried once: the shapes, types and values of its functions, and whether its steps are fine enough."""

from __future__ import annotations

import itertools
import warnings
import weakref
from typing import Any

import torch
from torch import Tensor

from .declared import check_problem
from .integrate import advance
from .problem import Problem, check_kind

SEED = 0
GENTLE = 5e-4
"""Share of the way from rest to a control drawn from the whole box, where values must be finite."""
STIFF = 8
"""States, and as many controls, at which one step is compared with halves of it."""
APART = 0.5
"""Of the size of the state, from which a step and its halves have nothing to do with each other."""
_tried: weakref.WeakKeyDictionary[type[Problem], set[str]] = weakref.WeakKeyDictionary()


def check_class(problem: Problem) -> None:
    """``check_functions`` where an object of this class comes by for the first time; of a user's, with these fields."""
    check_kind(problem)
    known = _tried.setdefault(type(problem), set())
    said = "" if type(problem).__module__.partition(".")[0] == __name__.partition(".")[0] else repr(vars(problem))
    if said not in known:
        check_functions(problem)
        known.add(said)


def check_functions(problem: Problem, device: torch.device | str = "cpu") -> None:
    """Look at what it declares, and try f, L, G and the initial states on small batches, with t ``()`` and ``(B,)``,
    in the first and the last control step, in float64 and float32.

    Warns where one Runge-Kutta step over dt is far from two over dt/2, or these from four: f is too stiff for
    ``steps``.

    Args:
        problem: what is tried; it draws from a generator of its own, and the global one is left as it was.
        device: where it will be used.

    Raises:
        ValueError: naming the method, what it was given, what came and what was expected.
    """
    check_kind(problem)
    check_problem(problem)
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
                for shape, step in itertools.product(((), (batch,)), (0.5, problem.steps - 0.5)):
                    t = torch.full(shape, step * problem.time_step, dtype=dtype, device=device)
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
    _check_repeats(problem, "dynamics", f, problem.dynamics(t, z, u), "t, z and u")
    _check_repeats(problem, "running_cost", running, problem.running_cost(t, z, u), "t, z and u")


def _check_terminal(problem: Problem, z: Tensor) -> None:
    given = f" for z {tuple(z.shape)}"
    terminal = _call(problem, f"terminal_cost{given}", problem.terminal_cost, z)
    _expect(problem, "terminal_cost", terminal, (len(z),), z, given)
    _check_repeats(problem, "terminal_cost", terminal, problem.terminal_cost(z), "z")


def _check_repeats(problem: Problem, method: str, first: Tensor, second: Tensor, of: str) -> None:
    if not torch.equal(first, second):
        raise ValueError(
            f"{type(problem).__name__}.{method} returned two things for the same {of}; expected a function of {of}: "
            "noise belongs in the initial states, or in a plant that the controller is tried on"
        )


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
    """Compare one step with its halves, and these with quarters, at gentle controls and anywhere in the box."""
    scale = torch.as_tensor(problem.state_scale, dtype=z.dtype, device=z.device)

    def size(x: Tensor) -> Tensor:
        return (x / scale).abs().amax(-1)

    dt = problem.time_step
    for share in (GENTLE, 1.0):
        u = _controls(problem, z, share)
        t = z.new_zeros(())
        ends = []
        for pieces in (1, 2, 4):
            x = z
            for i in range(pieces):
                x = advance(problem, t + i * dt / pieces, x, u, dt / pieces)[0]
            ends.append(x)
        apart = torch.zeros_like(z[:, 0])
        for coarse, fine in itertools.pairwise(ends):
            moved = size(z) + torch.minimum(size(coarse - z), size(fine - z)) + 1e-12
            apart = apart.maximum(torch.nan_to_num(size(coarse - fine) / moved, nan=torch.inf))
        if (apart > APART).any():
            worst = int(apart.argmax())
            warnings.warn(
                f"{type(problem).__name__} is stiff: from z = {_short(z[worst])} with u = {_short(u[worst])} held over "
                f"dt = {dt:.3g}, one Runge-Kutta step and pieces of it end {float(apart[worst]):.2g} times as far "
                f"apart as the state is large; expected them to agree: raise substeps (now {problem.substeps}) or "
                f"steps (now {problem.steps}), or set control_low and control_high to what the plant can do",
                stacklevel=3,
            )
            return


def _short(x: Tensor) -> str:
    return "(" + ", ".join(f"{v:.3g}" for v in x[:4].tolist()) + (", .." if len(x) > 4 else "") + ")"
