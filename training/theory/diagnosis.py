"""What ``diagnose`` returns: figures named by the symbols of the slides, at the sampled points of the paths."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...controllers.operators import Operator
from ...controllers.policy import Hamiltonian
from .contraction import Example


@dataclasses.dataclass(frozen=True, eq=False)
class OperatorDiagnosis:
    """What depends on T. S sampled times, B states, m controls; NaN where no control is free.

    Attributes:
        operator: T.
        gamma: ``(S, B)`` γ = ‖∂T/∂u‖₂ at u* on the free controls.
        gamma_box: ``(S, B)`` the largest γ over the draws of admissible controls.
        reached: share of blocks of controls that the iteration brings to u* from draws of the box.
        singular: ``(S, B, m)`` singular values of M = ∂T/∂θ on the free controls, falling, NaN for the held ones.
        full_rank: ``(S, B)`` whether M has full row rank on the free controls.
        ratio_v: ``(S, B)`` ‖v - C_v‖ / (‖M w‖ (λ_- - γ λ_+)^½), below eq. 8; NaN where λ_- <= γ λ_+.
        ratio_w: ``(S, B)`` ‖w - C_w‖ / (‖M v‖ (λ_- - γ λ_+)^½).
        cosine: ``(B,)`` of the angle between d = ∫ w dt and dJ/dθ (eq. 7).
        cosine_trained: ``(B,)`` the same for the direction of training, whose adjoint passes through JFB, too: what
            autograd gives with ``gradient="jfb"``, without the clips and penalties of a recipe.
        cosine_mean, cosine_trained_mean: of the means over the states.
        variance: E‖d - E d‖² / ‖E dJ/dθ‖², the smallest μ_2 for eq. 10.
    """

    operator: Operator
    gamma: Tensor
    gamma_box: Tensor
    reached: float
    singular: Tensor
    full_rank: Tensor
    ratio_v: Tensor
    ratio_w: Tensor
    cosine: Tensor
    cosine_trained: Tensor
    cosine_mean: float
    cosine_trained_mean: float
    variance: float

    @property
    def lambda_minus(self) -> Tensor:
        """Smallest eigenvalue of (M Mᵀ)^-1, ``(S, B)``; NaN where M has not full rank."""
        return torch.where(self.full_rank, self.singular[..., 0] ** -2, torch.nan)

    @property
    def lambda_plus(self) -> Tensor:
        """Largest eigenvalue of (M Mᵀ)^-1, ``(S, B)``; NaN where M has not full rank."""
        least = torch.nan_to_num(self.singular, nan=torch.inf).amin(-1)
        return torch.where(self.full_rank, least**-2, torch.nan)

    @property
    def kappa(self) -> Tensor:
        """Condition number of (M Mᵀ)^-1, ``(S, B)``; infinite where M has not full rank."""
        kappa = self.lambda_plus / self.lambda_minus
        return torch.where(self.full_rank | self.gamma.isnan(), kappa, torch.inf)


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """All that was measured; every figure is one at the sampled points, none is a proof.

    Attributes:
        problem: the name of its class.
        kind: which Hamiltonian is maximised; H is H_dt everywhere here where it is the held one.
        blocks: of controls, over which H separates.
        weights: P, those on which ∇_u H depends.
        draws: admissible controls drawn at each point.
        times: ``(S,)`` sampled times.
        path_times: ``(K,)`` all times of the paths.
        cost: ``(B,)`` J.
        free: ``(S, B, m)`` controls that no active bound holds.
        held: share of held controls along the paths.
        curvature: ``(S, B, m)`` eigenvalues of -H_uu at u* on the free controls, NaN for held ones.
        box_range: smallest and largest eigenvalue of -H_uu over the draws.
        concave: share of draws, points and blocks at which -H_uu is positive definite.
        convex: where H is most convex in u, if it is anywhere.
        beaten: share of blocks for which some draw has a higher H than u*.
        hjb: ``(K, B)`` ∂_t phi - max_u H; of the held control the residual of Bellman's equation, ``Law.balance``.
        hamiltonian: ``(K, B)`` max_u H, to compare with; -cost / dt of the step.
        terminal: ``(B,)`` phi(T, z(T)) - G(z(T)).
        residual: ``(K, B)`` relative argmax residual.
        gradient: ``(B, P)`` dJ/dθ = ∫ v dt by sample.
        variance: E‖dJ/dθ - E dJ/dθ‖² / ‖E dJ/dθ‖², the smallest μ_2 for eq. 9.
        operators: what depends on T.
    """

    problem: str
    kind: Hamiltonian
    blocks: int
    weights: int
    draws: int
    times: Tensor
    path_times: Tensor
    cost: Tensor
    free: Tensor
    held: float
    curvature: Tensor
    box_range: tuple[float, float]
    concave: float
    convex: Example | None
    beaten: float
    hjb: Tensor
    hamiltonian: Tensor
    terminal: Tensor
    residual: Tensor
    gradient: Tensor
    variance: float
    operators: tuple[OperatorDiagnosis, ...]
