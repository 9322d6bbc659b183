"""Distillation: the loss, the lessons, and what a network that has learned them can do without any roll-out."""

import dataclasses

import pytest
import torch

import pontryagin
from pontryagin import DoubleIntegrator, MultiBicycle, Quadrotor, TrainConfig, solve_argmax, train
from pontryagin.controllers.hamiltonian import hamiltonian
from pontryagin.training.start.distill import BATCH, Teacher, ask, consult, fenchel_young, teach
from pontryagin.training.train import make_policy, make_value


def draws(problem, batch=64):
    generator = torch.Generator().manual_seed(0)
    z = problem.sample_initial_state(batch, generator).double()
    p = torch.randn(batch, problem.state_dim, generator=generator).double()
    u = torch.randn(batch, problem.control_dim, generator=generator).double()
    low, high = problem.control_bounds(u)
    return torch.rand(batch, generator=generator).double(), z, p, u.clamp(low, high)


def test_the_loss_is_the_regret_of_u_and_0_at_what_p_plays():
    problem = Quadrotor()
    t, z, p, u = draws(problem)
    best = solve_argmax(problem, t, z, p, max_iterations=30, tolerance=1e-12).control
    assert fenchel_young(problem, t, z, p, best).abs().max() < 1e-6
    loss = fenchel_young(problem, t, z, p, u)
    assert (loss >= -1e-9).all() and loss.median() > 0.1
    expected = hamiltonian(problem, t, z, p, best) - hamiltonian(problem, t, z, p, u)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)


def test_its_derivative_is_the_difference_of_two_velocities():
    problem = Quadrotor()
    t, z, p, u = draws(problem)
    p.requires_grad_()
    (slope,) = torch.autograd.grad(fenchel_young(problem, t, z, p, u).sum(), p)
    played = solve_argmax(problem, t, z, p.detach(), max_iterations=5).control
    torch.testing.assert_close(slope, problem.dynamics(t, z, u) - problem.dynamics(t, z, played))
    step = 1e-5 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        change = fenchel_young(problem, t, z, p + step, u) - fenchel_young(problem, t, z, p - step, u)
    torch.testing.assert_close(change, 2 * (slope * step).sum(-1), atol=1e-9, rtol=1e-4)


def test_it_is_convex_along_a_line_of_costates():
    problem = Quadrotor()
    t, z, p, u = draws(problem)
    end = torch.randn(p.shape, generator=torch.Generator().manual_seed(1)).double()
    ends = [fenchel_young(problem, t, z, x, u) for x in (p, end)]
    assert (fenchel_young(problem, t, z, (p + end) / 2, u) <= (ends[0] + ends[1]) / 2 + 1e-9).all()


@pytest.fixture(scope="module")
def teacher():
    return consult(Quadrotor(), TrainConfig(anchors=6))


def test_the_teacher_holds_the_optima(teacher):
    problem = Quadrotor()
    assert teacher.state.shape == (problem.steps, 6, 12) and teacher.gain.shape == (problem.steps, 6, 4, 12)
    optimum = pontryagin.solve_reference(problem, teacher.state[0].double())
    torch.testing.assert_close(teacher.control, optimum.u.float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        teacher.weight * optimum.cost.float(), (teacher.weight * optimum.cost).mean().expand(6).float()
    )


def test_lessons_lie_on_the_paths_and_beside_them(teacher):
    problem = Quadrotor()
    lessons = ask(problem, teacher, 0.05, torch.Generator().manual_seed(1))
    assert lessons.t.shape == lessons.weight.shape == (BATCH,)
    k = (lessons.t / problem.time_step).round().long()
    apart, nearest = (lessons.z.unsqueeze(1) - teacher.state[k]).norm(dim=-1).min(-1)
    assert (apart == 0).sum() >= BATCH // 2 and (apart > 0).sum() > BATCH // 3
    on = apart == 0
    assert torch.equal(lessons.u[on], teacher.control[k, nearest][on])
    low, high = problem.control_bounds(lessons.u)
    assert (lessons.u >= low).all() and (lessons.u <= high).all()
    # beside, the answer is that of the feedback: as far from the control on the path as the gain says, or clipped
    i = nearest[~on]
    kk, d = k[~on], (lessons.z - teacher.state[k, nearest])[~on]
    wanted = teacher.control[kk, i] + (teacher.gain[kk, i] @ d.unsqueeze(-1)).squeeze(-1)
    close = (wanted.clamp(low, high) - lessons.u[~on]).abs().amax(-1) < 1e-4
    assert close.float().mean() > 0.9


def test_a_distilled_network_flies_before_any_roll_out():
    """The linear-quadratic problem: from the lessons alone within 3 % of the optimum, which is known."""
    problem = DoubleIntegrator()
    config = TrainConfig(anchor="distilled", anchors=32, distill_iterations=600, distill_distance=0.3, width=16)
    policy = make_policy(problem, make_value(problem, config), config)
    z0 = problem.sample_initial_state(64, torch.Generator().manual_seed(2))
    best = pontryagin.solve_reference(problem, z0).cost
    before = pontryagin.rollout(problem, make_policy(problem, make_value(problem, TrainConfig(width=16)), config), z0)
    cost = pontryagin.rollout(problem, policy, z0).cost
    assert cost.mean() <= 1.03 * best.mean() < before.cost.mean()


@pytest.mark.slow
def test_the_optima_of_bicycles_stay_gentle_and_in_one_family():
    problem = MultiBicycle(num_agents=2, targets=((1.0, 1.0), (1.0, 0.5)), steps=20, horizon=2.0)
    teacher = consult(problem, TrainConfig(anchors=3, nominal=True))
    low, high = problem.gentle_bounds
    assert (teacher.control <= torch.tensor(high) + 1e-6).all() and (teacher.control >= torch.tensor(low) - 1e-6).all()
    assert (teacher.control - teacher.control[:, :1]).abs().median() < 0.1


def test_a_run_goes_on_without_its_teacher(tmp_path, monkeypatch):
    problem = DoubleIntegrator()
    config = TrainConfig(
        anchor="distilled", anchors=3, distill_iterations=5, iterations=2, batch=4, width=4, validation_states=4,
        validate_every=1, out=tmp_path,
    )  # fmt: skip
    _, history = train(problem, config)
    assert history.rows[0]["iteration"] == 0  # the first weights are judged, too
    monkeypatch.setattr("pontryagin.training.train.distilled", None)
    longer, rows = train(problem, dataclasses.replace(config, iterations=3, resume=True))
    assert rows.rows[-1]["iteration"] == 3 and rows.rows[: len(history.rows)] == history.rows
    assert rows.best["validation_cost"] <= history.rows[0]["validation_cost"]


def test_a_kill_after_the_lessons_does_not_lose_them(tmp_path, monkeypatch):
    problem = DoubleIntegrator()
    config = TrainConfig(
        anchor="distilled", anchors=3, distill_iterations=5, iterations=2, batch=4, width=4, validation_states=4,
        out=tmp_path,
    )  # fmt: skip
    monkeypatch.setattr("pontryagin.training.train.descend", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(problem, config)
    monkeypatch.undo()
    monkeypatch.setattr("pontryagin.training.train.distilled", None)
    _, history = train(problem, dataclasses.replace(config, resume=True))
    assert history.rows[0]["iteration"] == 0 and history.rows[-1]["iteration"] == 2


def test_lessons_that_are_not_finite_are_refused():
    problem = DoubleIntegrator()
    config = TrainConfig(anchors=2, distill_iterations=3, width=4)
    value = make_value(problem, config)
    before = [weight.clone() for weight in value.parameters()]
    teacher = consult(problem, config)
    with pytest.raises(ValueError, match="ended with a loss of nan"):
        teach(problem, value, teacher._replace(gain=teacher.gain * float("nan")), config)
    assert all(torch.equal(a, b) for a, b in zip(before, value.parameters(), strict=True))


def test_a_part_without_optima_is_left_out(monkeypatch):
    from pontryagin.training.start import distill

    problem = DoubleIntegrator()
    config, solve, calls = TrainConfig(anchors=4), distill.optima, []

    def fails_first(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no open-loop optimum from here")
        return solve(*arguments, **options)

    monkeypatch.setattr(distill, "CHUNK", 2)
    monkeypatch.setattr(distill, "optima", fails_first)
    assert len(consult(problem, config).weight) == 2
    monkeypatch.setattr(distill, "optima", lambda *_, **__: (_ for _ in ()).throw(ValueError("none")))
    with pytest.raises(ValueError, match="no optimum was found from any of 4"):
        consult(problem, config)


def test_teach_is_the_same_twice():
    problem = DoubleIntegrator()
    config = TrainConfig(anchors=2, distill_iterations=3, width=4)
    teacher = Teacher(*(x.clone() for x in consult(problem, config)))
    values = [make_value(problem, config) for _ in range(2)]
    assert teach(problem, values[0], teacher, config) == teach(problem, values[1], teacher, config)
    assert all(torch.equal(a, b) for a, b in zip(values[0].parameters(), values[1].parameters(), strict=True))


@pytest.mark.parametrize("wrong", [{"anchors": 0}, {"distill_iterations": 0}, {"distill_rate": -1.0}])
def test_options_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=f"TrainConfig.{next(iter(wrong))} is"):
        TrainConfig(**wrong)
