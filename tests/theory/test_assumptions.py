"""Where the assumptions of the theory hold, fail, or do not apply."""

import dataclasses
import json

import pytest
import torch
from weighed import Bang, Weighed, cells, made, states

from pontryagin.training.theory.assumptions import common_rows, operator_rows
from pontryagin.training.theory.diagnose import best_step, diagnose
from pontryagin.training.theory.diagnose_plots import draw_diagnosis
from pontryagin.training.theory.diagnose_report import diagnosis_record
from pontryagin.training.theory.plain_words import sentences


def test_a_convex_hamiltonian_is_recognised_and_said():
    policy = made(Bang(), starts="global")
    found = diagnose(policy, states(policy.problem), times=3)
    assert found.concave == 0.0 and found.convex is not None and found.convex.curvature == pytest.approx(1.0)
    assert found.free[..., 1].logical_not().all() and found.held >= 0.5 and found.beaten == 0.0
    text = " ".join(sentences(found))
    assert "not strictly concave in u at 100 % of the drawn admissible controls" in text
    assert "No α makes T contractive there" in text
    ascent = found.operators[0]
    assert ascent.gamma_box.max() == pytest.approx(1 + ascent.operator.step_size, abs=1e-6)
    common = cells(common_rows(found))
    assert common["concave"][0].verdict == "fails" and common["second_order"][0].verdict == "holds"


def test_held_controls_are_left_out():
    policy = made(Bang(), starts="global")
    found = diagnose(policy, states(policy.problem), times=3)
    some = found.free.any(-1)
    for part in found.operators:
        assert (part.singular.isnan() == torch.stack([~some, torch.ones_like(some)], -1)).all()
        assert (part.gamma.isnan() == ~some).all() and part.gamma[some].max() < 1e-9
        assert part.full_rank.all() and ((part.kappa == 1) | ~some).all()
    assert (found.curvature.isnan().sum(-1) == (~found.free).sum(-1)).all()
    assert found.operators[0].operator.step_size == pytest.approx(1.0)


def test_where_everything_is_held_nothing_applies():
    @dataclasses.dataclass(frozen=True)
    class Far(Weighed):
        control_low: float = 50.0
        control_high: float = 60.0

    problem = Far()
    found = diagnose(made(problem), states(problem, 1), times=2)
    assert found.held == 1.0 and best_step(found.curvature) == 1.0
    table = cells(operator_rows(found))
    for key in ("gamma", "rank", "beta", "gamma_kappa", "ratio_v", "cosine"):
        assert {cell.verdict for cell in table[key]} == {"not applicable"}, key
    json.dumps(diagnosis_record(found, "here"), allow_nan=False)
    draw_diagnosis(found)
    assert "100 % of the controls" in " ".join(sentences(found))


def test_too_few_weights_lose_rank():
    """Three controls that push the same state: ∂p/∂θ reaches them through one number, so M has rank 1."""

    @dataclasses.dataclass(frozen=True)
    class Redundant(Weighed):
        control_dim: int = 3

        def dynamics(self, t, z, u):
            return torch.stack([z[..., 1], u.sum(-1)], -1)

        def running_cost(self, t, z, u):
            return 0.5 * (u * u).sum(-1)

    found = diagnose(made(Redundant()), states(Redundant(), 1), times=2)
    assert not found.operators[0].full_rank.any() and found.operators[0].kappa.isinf().all()
    assert cells(operator_rows(found))["rank"][0].verdict == "fails"
    assert "has not full row rank at 100 %" in " ".join(sentences(found))
    draw_diagnosis(found)
