"""What comes in from outside: states, seeds, counts and the fields of the shipped problems."""

import dataclasses

import numpy as np
import pytest
import torch

from pontryagin import DoubleIntegrator, MultiBicycle, OptimalControlEnv, OptimalControlVectorEnv, Quadrotor, rollout
from pontryagin.envs.catalog import PROBLEMS
from pontryagin.envs.states import as_states, draw_states

NUMBERS = [
    (kind, field.name)
    for kind in dict.fromkeys(kind for kind, _ in PROBLEMS.values())
    for field in dataclasses.fields(kind)
    if field.type in ("int", "float")
]


@pytest.mark.parametrize(("kind", "field"), NUMBERS)
@pytest.mark.parametrize("bad", ["x", float("nan"), float("inf"), -float("inf"), None, [1.0], 1j, True, np.ones(2)])
def test_a_field_of_a_shipped_problem_is_a_finite_number(kind, field, bad):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\.{field} is "):
        kind(**{field: bad})


@pytest.mark.parametrize(("kind", "field"), NUMBERS)
def test_numpys_numbers_become_pythons(kind, field):
    value = getattr(kind(), field)
    for given in (np.array(value)[()], np.float64(value), np.int64(value)):
        if isinstance(given, np.integer) == isinstance(value, int) and given == value:
            found = getattr(kind(**{field: given}), field)
            assert found == value and type(found) is type(value)


@pytest.mark.parametrize("target", ["x", None, (1.0, 2.0), (1.0, 2.0, float("nan")), ("a", "b", "c"), 3.0])
def test_targets(target):
    with pytest.raises(ValueError, match="Quadrotor.target"):
        Quadrotor(target=target)
    if target is not None:
        with pytest.raises(ValueError, match="MultiBicycle.targets"):
            MultiBicycle(targets=target if target != (1.0, 2.0) else "x")


@pytest.mark.parametrize("field", ["horizon", "control_low", "state_scale", "state_bound", "success_radius"])
@pytest.mark.parametrize("bad", ["x", None, float("nan"), object()])
def test_a_field_of_a_users_problem_is_a_number(field, bad):
    @dataclasses.dataclass(frozen=True)
    class Mine(DoubleIntegrator):
        control_low: object = -1.0
        state_scale: object = 1.0
        state_bound: object = 10.0
        success_radius: object = 0.1

    with pytest.raises(ValueError, match=rf"Mine\.{field}"):
        Mine(**{field: bad})


def test_states_of_numpy_and_lists_fly(short_quadrotor):
    z0 = draw_states(short_quadrotor, 3, 0)

    def controller(t, z):
        return torch.ones(len(z), 4, dtype=z.dtype)

    expected = rollout(short_quadrotor, controller, z0).cost
    for states in (z0.numpy(), z0.tolist(), tuple(map(tuple, z0.tolist()))):
        torch.testing.assert_close(rollout(short_quadrotor, controller, states).cost, expected)
    fine = rollout(short_quadrotor, controller, z0.double().numpy(), np.int64(6))
    assert fine.z.dtype == torch.float64 and len(fine.u) == 6
    torch.testing.assert_close(as_states(short_quadrotor, [[0] * 12], "z"), torch.zeros(1, 12))
    for wrong in (0, 1.5, "3", True):
        with pytest.raises(ValueError, match="steps is"):
            rollout(short_quadrotor, controller, z0, wrong)


@pytest.mark.parametrize(
    ("count", "seed", "sentence"), [(0, 0, "states is 0"), (-3, 0, "states is -3"), (2, -1, "seed")]
)
def test_nothing_is_drawn_from_nothing(count, seed, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw_states(Quadrotor(), count, seed)
    assert torch.equal(draw_states(Quadrotor(), np.int64(2), np.uint8(1)), draw_states(Quadrotor(), 2, 1))


ANSWERS = {
    "shape": lambda batch: torch.zeros(batch, 3),
    r"expected \(1, 2\)": lambda batch: torch.zeros(batch + 1, 2),
    "not finite": lambda batch: torch.full((batch, 2), float("nan")),
    "is a ndarray": lambda batch: np.zeros((batch, 2)),
    "is a NoneType": lambda batch: None,
    "dtype": lambda batch: torch.zeros(batch, 2, dtype=torch.int64),
}


@pytest.mark.parametrize("sentence", ANSWERS)
def test_what_a_class_draws_is_checked_where_it_is_drawn(sentence):
    class Wrong(DoubleIntegrator):
        def sample_initial_state(self, batch, generator=None):
            return ANSWERS[sentence](batch)

    with pytest.raises(ValueError, match=rf"Wrong\.sample_initial_state's answer.*{sentence}"):
        draw_states(Wrong(), 1, 0)
    for make in (OptimalControlEnv, OptimalControlVectorEnv):
        with pytest.raises(ValueError, match=r"Wrong\.sample_initial_state"):
            make(Wrong())


def test_seeds_and_counts_may_be_numpys():
    env, many = OptimalControlEnv(Quadrotor()), OptimalControlVectorEnv(Quadrotor(), np.int64(2))
    np.testing.assert_array_equal(env.reset(seed=np.int64(3))[0], env.reset(seed=3)[0])
    for seed, same in ((np.int64(3), 3), (np.array([3, 4]), [3, 4]), ([np.uint8(3), 4], [3, 4]), ((3, 4), [3, 4])):
        np.testing.assert_array_equal(many.reset(seed=seed)[0], many.reset(seed=same)[0])
    for seed in (-1, 1.5, "3", True):
        with pytest.raises(ValueError, match="seed is"):
            env.reset(seed=seed)
        with pytest.raises(ValueError, match="seed is"):
            many.reset(seed=seed)
    for count in (0, -1, 1.5, "2", True):
        with pytest.raises(ValueError, match="num_envs"):
            OptimalControlVectorEnv(Quadrotor(), count)


@pytest.mark.parametrize("action", [None, "left", [[1.0], [1.0, 2.0]], {"a": 1}])
def test_an_action_that_is_none_is_a_sentence(action):
    env = OptimalControlEnv(Quadrotor())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action"):
        env.step(action)
    with pytest.raises(ValueError, match="state"):
        env.reset(options={"state": action})
