"""Expansions along paths that are no optimum of each agent, and searches that begin with a controller of one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pontryagin import MultiBicycle, rollout
from pontryagin.controllers.optimum import (
    by_agent,
    descend,
    expand_agents,
    load_reference,
    own_guess,
    replayed,
    solve_optimum,
)
from pontryagin.controllers.value import ExpandedValue
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.training.start.nominal import mean_state

SWAP = MultiBicycle(num_agents=20, layout="swap")


def test_the_feedback_along_a_flight_that_is_not_finished_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Riders that meet in the middle: early in the descent some Q_uu are nearly singular, and somebody would spin."""
    mean = mean_state(SWAP).double()
    guess = own_guess(SWAP, mean)
    assert guess is not None
    z = SWAP.sample_initial_state(8, torch.Generator().manual_seed(0)).double()
    u, ratios = rollout(SWAP, guess, mean).u, {True: [], False: []}  # type: ignore[var-annotated]
    sure = by_agent._at_minimum
    for _ in range(3):
        u = descend(SWAP, mean, u, 3).u
        path = replayed(SWAP, mean, u)
        for mended in (True, False):
            monkeypatch.setattr(by_agent, "_at_minimum", sure if mended else lambda *x: torch.ones_like(sure(*x)))
            value = ExpandedValue(SWAP, expand_agents(SWAP, path)).double()
            ratios[mended].append(float(rollout(SWAP, value.feedback, z).cost.mean() / path.cost))
    assert max(ratios[True]) < 1.05
    assert max(ratios[False]) > 2.0


def test_at_an_optimum_nothing_is_bent() -> None:
    problem = MultiBicycle()
    known = load_reference(Path("results/reference/bicycle5-128-0.npz"), problem).rows(torch.arange(4))
    expansion = expand_agents(problem, known)
    count, b = problem.num_agents, 4
    model, _ = by_agent.expand_path(problem, known.z, known.u)
    jacobian, hessian = by_agent._own(model, problem.state_dim, count)
    end = by_agent._blocks(model.end, problem.state_dim, count)
    stays = by_agent._pushed(problem, known.u, model.slope).unflatten(-1, (count, -1))
    assert by_agent._at_minimum(hessian, jacobian, end, stays, b).all()
    assert not torch.equal(by_agent.reflected(hessian), hessian)  # some agent is pushed uphill, and it does not matter
    assert expansion.gain.isfinite().all()


def test_searches_begin_with_the_controller_of_the_problem() -> None:
    cars = MultiBicycle(5, "swap", steps=40, wheelbase=0.25, interaction=40.0, radius=0.3, initial_speed=0.5)
    z = cars.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    still = lambda t, x: torch.zeros(len(x), cars.control_dim, dtype=x.dtype)  # noqa: E731
    rest = solve_optimum(cars, z, still, max_iterations=40)
    around = solve_optimum(cars, z, max_iterations=40)
    assert around.converged.all() and around.cost.mean() < 0.8 * rest.cost.mean()
    assert own_guess(MultiBicycle(), z) is None


@dataclasses.dataclass(frozen=True)
class Guessed(DoubleIntegrator):
    """It has a guess, of whatever kind."""

    kind: str = "none"

    def guess(self, t: Tensor, z: Tensor) -> Tensor | None:
        return {"none": None, "flat": z[:, 0], "nan": z[:, :1] * torch.nan, "far": 1e6 - z[:, :1]}[self.kind]


def test_a_guess_is_kept_within_the_bounds_and_looked_at() -> None:
    z = Guessed().sample_initial_state(3, torch.Generator().manual_seed(0)).double()
    plain = solve_optimum(Guessed(), z)
    torch.testing.assert_close(solve_optimum(Guessed(kind="far"), z).cost, plain.cost)
    for kind, came in (("flat", r"shape \(3,\)"), ("nan", r"shape \(3, 1\)")):
        with pytest.raises(ValueError, match=rf"Guessed.guess returned {came}; expected \(3, 1\), finite, or None"):
            solve_optimum(Guessed(kind=kind), z)
