"""Optima of the steps, not of the model, are told apart."""

import dataclasses
import warnings

import pytest
import torch

from pontryagin import DoubleIntegrator, solve_optimum
from pontryagin.envs.gallery import VanDerPol
from pontryagin.training.start import check_steps, coarseness


def test_where_the_step_is_exact_nothing_changes():
    problem = DoubleIntegrator()
    known = solve_optimum(problem, torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    assert coarseness(problem, known).max() < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_steps(problem, known)


def test_coarse_steps_are_warned_of():
    z0 = torch.tensor([[1.5, 1.5], [-1.5, 1.0]])
    apart = []
    for steps in (6, 48):
        problem = dataclasses.replace(VanDerPol(), steps=steps)
        known = solve_optimum(problem, z0)
        apart.append(float(coarseness(problem, known).median()))
        if steps == 6:
            with pytest.warns(UserWarning, match="half as long.* raise steps .now 6"):
                check_steps(problem, known)
    assert apart[1] < 0.01 * apart[0]
