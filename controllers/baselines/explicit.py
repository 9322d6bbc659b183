"""The feedback law where the argmax of H has a closed form: L quadratic and f affine in u."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...envs.fields import check_is
from ...envs.problem import Problem, check_kind
from ..adapter import answered, asked
from ..hamiltonian import control_hamiltonian, hamiltonian
from ..optimum import along
from ..value import ValueFunction

SAMPLES = 16
"""Random points at which the closed form is checked."""
TOLERANCE = 1e-8
"""Relative size of what counts as zero there, in float64."""


class ExplicitPolicy(nn.Module):
    """u(t, z) = clip(-R^-1 (f_uᵀ p + L_u|_{u=0})), p = ∇_z phi(t, z): ``ImplicitPolicy`` without a search.

    It is argmax_u H where H = -p·f - L = -½ uᵀ R u - (f_uᵀ p + L_u|_{u=0})·u + .. is quadratic in u, as where f is
    affine and L quadratic in u. Clipping gives the maximum on the box only if R is diagonal: then each control has a
    parabola of its own. R and f_u may depend on t and z.

    Args:
        problem: what is controlled.
        value: phi_theta.

    Raises:
        ValueError: if, at random states, H is not quadratic in u, R is not positive, or R is not diagonal.
    """

    def __init__(self, problem: Problem, value: ValueFunction) -> None:
        super().__init__()
        check_kind(problem)
        check_is(value, nn.Module, "value")
        _check_closed_form(problem)
        self.problem, self.value = problem, value

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u(t, z), ``(B, m)``: a controller for ``rollout``; differentiable. Of one state ``(n,)``: ``(m,)``."""
        t, batch = asked(self.problem, t, z)
        fine = batch.to(self.value.scale.dtype)
        t = torch.as_tensor(t).to(fine)
        _, p = self.value.gradient(t, fine)
        h = control_hamiltonian(self.problem, t, fine, p)
        low, high = self.problem.control_bounds(fine)
        zero = fine.new_zeros(len(fine), len(low))
        # R is diagonal, so its row sums, one derivative of ∇_u H along (1, .., 1), are all of it
        slope, rows = along(h.gradient, (zero,), (torch.ones_like(zero),))
        return answered((slope / -rows).clamp(low, high).to(batch.dtype), z)


def _check_closed_form(problem: Problem) -> None:
    """Compare H_uu, by ``torch.func`` in float64, at random (t, z) for two random p and two random u."""
    generator = torch.Generator().manual_seed(0)
    z = problem.sample_initial_state(SAMPLES, generator).double()
    z = z + 0.3 * torch.randn(z.shape, generator=generator, dtype=z.dtype)  # what starts at rest may move later
    t = problem.horizon * torch.rand(SAMPLES, generator=generator, dtype=z.dtype)
    low, high = problem.control_bounds(z)
    reference, name = None, type(problem).__name__
    for _ in range(3):
        p = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        u = torch.rand(SAMPLES, len(low), generator=generator, dtype=z.dtype)
        r = -_curvature(problem, t, z, p, torch.lerp(low.clamp_min(-3), high.clamp_max(3), u).clamp(low, high))
        reference = r if reference is None else reference
        size = reference.abs().amax((-2, -1), keepdim=True)
        if ((r - reference).abs() > TOLERANCE * size).any():  # outside the domain of L nothing is compared
            raise ValueError(f"H of {name} is not quadratic in u (H_uu changes with u or p): use ImplicitPolicy")
    assert reference is not None
    diagonal = reference.diagonal(dim1=-2, dim2=-1)
    if not (diagonal > 0).any() or (diagonal <= 0).any():
        raise ValueError(f"L of {name} gives an R that is not positive (its diagonal is {diagonal[0].tolist()})")
    if ((reference - torch.diag_embed(diagonal)).abs() > TOLERANCE * size).any():
        raise ValueError(
            f"L_uu of {name} is not diagonal, so clipping is not its maximum on the box: use ImplicitPolicy"
        )


def _curvature(problem: Problem, t: Tensor, z: Tensor, p: Tensor, u: Tensor) -> Tensor:
    """All of H_uu, ``(B, m, m)``, whatever ``problem.control_block`` says."""
    slope = torch.func.grad(lambda v: hamiltonian(problem, t, z, p, v).sum())
    seeds = torch.eye(u.shape[1], dtype=u.dtype)
    return torch.stack([along(slope, (u,), (seed.expand_as(u),))[1] for seed in seeds], -1)
