"""The claims about unrolling, implicit differentiation and JFB, held to what they say."""

import dataclasses
import json

import pytest
import torch
from conftest import Ticks

from pontryagin import CoupledControls, DoubleIntegrator, ImplicitPolicy, MultiBicycle, Quadrotor, TrainConfig, recipe
from pontryagin.controllers.hamiltonian import control_hamiltonian
from pontryagin.training.commands.cli import main
from pontryagin.training.theory import compare, gradients
from pontryagin.training.theory import race as racing
from pontryagin.training.theory.compare import compare_gradients
from pontryagin.training.theory.compare_config import CompareConfig
from pontryagin.training.theory.contraction import free_curvature
from pontryagin.training.theory.gradients import (
    gradient_errors,
    iterations_needed,
    line_fit,
    peak_bytes,
    saved_bytes,
)
from pontryagin.training.theory.race import Runner, race
from pontryagin.training.theory.sizes import seconds_by_size
from pontryagin.training.theory.variants import Variant, samples_along_flights, steady_step

COUNTS = (1, 2, 4, 8, 16)


def flights(problem, name, count=3, every=20):
    value = ImplicitPolicy.load(name, device="cpu").value
    z0 = problem.sample_initial_state(count, torch.Generator().manual_seed(5))
    return value, z0, samples_along_flights(problem, value, z0, every)


@pytest.mark.parametrize(("problem", "name"), [(Quadrotor(), "quadrotor"), (MultiBicycle(), "bicycle5_continuous")])
@pytest.mark.parametrize("kind", ["newton", "ascent"])
def test_memory_is_flat_for_jfb_and_implicit_and_a_line_for_unrolling(problem, name, kind):
    _, _, samples = flights(problem, name)
    found = {
        g: [saved_bytes(problem, Variant(kind, g, n), samples, 0.02) for n in COUNTS]
        for g in ("jfb", "implicit", "unroll")
    }
    assert len(set(found["jfb"])) == 1 and len(set(found["implicit"])) == 1
    fit = line_fit(COUNTS, found["unroll"])
    assert fit["r2"] >= 0.999 and not fit["flat"]
    assert fit["slope"] > 0.2 * found["jfb"][0] and found["unroll"][-1] > 4 * found["jfb"][0]


def test_line_fit():
    assert line_fit((1, 2, 3), [5, 7, 9]) == pytest.approx({"slope": 2, "intercept": 3, "r2": 1, "flat": False})
    assert line_fit((1, 2, 3), [5, 5, 5])["flat"] and line_fit((1, 2, 3), [1, 9, 2])["r2"] < 0.1


@pytest.mark.parametrize(("problem", "name"), [(Quadrotor(), "quadrotor"), (MultiBicycle(), "bicycle5_continuous")])
def test_jfb_with_newton_is_the_exact_gradient_along_the_whole_rollout(problem, name):
    value, z0, _ = flights(problem, name)
    short = dataclasses.replace(problem, steps=20)
    base = dataclasses.replace(recipe(name.partition("_")[0], "continuous"), adjoint_clip=None, bound_penalty=0.0)
    variants = [Variant("newton", g, 10) for g in ("jfb", "implicit", "unroll")] + [Variant("ascent", "jfb", 300, 1)]
    rows = gradient_errors(short, value.double(), base, variants, z0.double(), 0.02)
    assert all(row["cosine"] >= 0.999 and row["relative_error"] < 1e-5 for row in rows[:3])
    assert rows[3]["relative_error"] > 0.05  # the fixed step is another matter


def test_more_tracked_steps_come_closer_to_the_exact_gradient():
    problem = Quadrotor(steps=40)  # flown coarser, these weights leave where they were taught, and T is no contraction
    value, z0, samples = flights(problem, "quadrotor", every=4)
    alpha = steady_step(problem, samples)
    variants = [Variant("ascent", "jfb", 400, k) for k in (1, 8, 64)]
    rows = gradient_errors(problem, value.double(), recipe("quadrotor", taught=False), variants, z0.double(), alpha)
    errors = [row["relative_error"] for row in rows]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.1


def test_curvature_leaves_held_controls_out():
    """Without bounds -H_uu of exp(½|u|²) is L (I + u uᵀ); a thrust held at 0 takes no part."""
    problem = Quadrotor()
    _, _, samples = flights(problem, "quadrotor")
    found = samples.curvature(problem)
    held = (samples.u[:, 0] == 0).sum()
    assert len(found) == 4 * len(samples.t) - held and held > 0
    level = torch.exp(0.5 * samples.u.square().sum(-1))
    steepest = (level * (1 + samples.u.square().sum(-1))).max()
    torch.testing.assert_close(found.max(), steepest, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.min(), level.min(), rtol=1e-4, atol=1e-4)


def test_a_problem_without_curvature_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Linear(DoubleIntegrator):
        control_low: float = -1.0
        control_high: float = 1.0

        def running_cost(self, t, z, u):
            return 0.0 * u.sum(-1)

    value = ImplicitPolicy(Linear(), compare.make_value(Linear(), TrainConfig(width=4))).value
    samples = samples_along_flights(Linear(), value, torch.randn(2, 2))
    with pytest.raises(ValueError, match="no curvature"):
        steady_step(Linear(), samples)


def test_iterations_needed():
    problem = Quadrotor()
    _, _, samples = flights(problem, "quadrotor")
    rows = {r["kind"]: r for r in iterations_needed(problem, samples, steady_step(problem, samples), 3000)}
    assert all(r["converged"] == 1 for r in rows.values())
    assert rows["newton"]["median"] < rows["anderson"]["median"] < rows["ascent"]["median"]
    assert sum(rows["ascent"]["counts"]) == len(samples.t)


def test_peak_memory_grows_with_unrolling():
    problem = CoupledControls(16)
    config = TrainConfig(width=8)
    unrolled, jfb = (peak_bytes(problem, Variant("ascent", g, 40).config(config, 0.1), 1000) for g in ("unroll", "jfb"))
    assert unrolled > 2 * jfb > 0


def test_sizes_report_the_residual_of_cg():
    rows = seconds_by_size((2, 40), batch=4, iterations=3)
    assert {r["size"] for r in rows if "newton" in r["way"]} == {2}
    assert all(r["seconds"] > 0 and r["search_seconds"] > 0 for r in rows)
    residuals = [r["cg_residual"] for r in rows if r["way"] == "implicit, cg"]
    assert len(residuals) == 2 and max(residuals) < 1e-5


def test_a_race_watches_angles_and_keeps_the_best(pendulum, monkeypatch):
    monkeypatch.setattr(racing, "time", Ticks(0.05))
    base = TrainConfig(width=8, batch=8, argmax_iterations=10)
    runner = Runner(pendulum, Variant("newton", "jfb", 10), base, 1.0, watched=True)
    told = []
    z0 = pendulum.sample_initial_state(8, torch.Generator().manual_seed(0))
    race([runner], 1.0, 2, z0, lambda share, line: told.append(share))
    result = runner.result()
    assert told == [0.5, 1.0] and len(result["curve"]) == 3 and result["iterations_done"] > 3
    assert result["best_cost"] == min(p["cost"] for p in result["curve"]) < result["curve"][0]["cost"]
    assert result["descent_share"] == 1 and result["cosine_worst"] > 0.999


def test_parts_that_are_there_are_kept(tmp_path, monkeypatch):
    calls = []
    parts = {k: (lambda c, k=k: calls.append(k) or {"step_size": 0.5, "n": len(calls)}) for k in ("pilot", "race")}
    monkeypatch.setattr(compare, "PARTS", parts)
    config = CompareConfig(out=tmp_path)
    first = compare_gradients(DoubleIntegrator(), TrainConfig(), config, "di")
    stored = json.loads((tmp_path / "di" / "compare.json").read_text())
    assert stored == first and calls == ["pilot", "race"]
    again = compare_gradients(DoubleIntegrator(), TrainConfig(), dataclasses.replace(config, resume=True), "di")
    assert again["race"] == first["race"] and calls == ["pilot", "race"]
    other = compare_gradients(DoubleIntegrator(), TrainConfig(), dataclasses.replace(config, time_budget=3.0), "di")
    assert calls == ["pilot", "race"] * 2
    assert other["about"]["command"] == "pontryagin compare-gradients di --time-budget 3s"


def test_a_resume_with_other_settings_or_another_problem_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "PARTS", {"pilot": lambda c: {"step_size": 0.5}})
    config = CompareConfig(out=tmp_path)
    compare_gradients(DoubleIntegrator(), TrainConfig(), config, "di")
    again = dataclasses.replace(config, resume=True)
    with pytest.raises(ValueError, match="settings"):
        compare_gradients(DoubleIntegrator(), TrainConfig(), dataclasses.replace(again, seed=7), "di")
    with pytest.raises(ValueError, match="problem"):
        compare_gradients(DoubleIntegrator(horizon=3.0), TrainConfig(), again, "di")
    with pytest.raises(ValueError, match="no effect with quick"):
        compare_gradients(DoubleIntegrator(), TrainConfig(), CompareConfig(quick=True, states=3, out=tmp_path), "q")


def test_a_problem_that_is_no_dataclass_is_refused(tmp_path):
    class Plain(DoubleIntegrator.__mro__[1]):
        state_dim, control_dim, horizon, steps = 1, 1, 1.0, 4
        dynamics = running_cost = terminal_cost = sample_initial_state = lambda self, *a: None

    with pytest.raises(ValueError, match="no dataclass"):
        compare_gradients(Plain(), TrainConfig(), CompareConfig(out=tmp_path), "plain")


@pytest.mark.parametrize("kind", ["newton", "ascent"])
@pytest.mark.parametrize("gradient", ["jfb", "implicit", "unroll"])
def test_the_walk_through_the_graph_counts_what_the_hooks_count(monkeypatch, kind, gradient):
    problem = Quadrotor()
    _, _, samples = flights(problem, "quadrotor")
    variant = Variant(kind, gradient, 3)
    hooked = saved_bytes(problem, variant, samples, 0.02)
    closed = type(control_hamiltonian(problem, samples.t, samples.z, samples.p))
    monkeypatch.setattr(gradients, "DerivedHamiltonian", closed)  # sends it down the other way
    assert saved_bytes(problem, variant, samples, 0.02) == hooked
    assert not samples.p.requires_grad  # the caller's tensors are left alone


def test_memory_where_the_hamiltonian_is_derived(pendulum):
    value = compare.make_value(pendulum, TrainConfig(width=4))
    samples = samples_along_flights(pendulum, value, torch.randn(2, pendulum.state_dim), every=5)
    found = {
        g: [saved_bytes(pendulum, Variant("ascent", g, n), samples, 0.1) for n in COUNTS] for g in ("jfb", "unroll")
    }
    assert len(set(found["jfb"])) == 1 and found["jfb"][0] > 0
    assert line_fit(COUNTS, found["unroll"])["r2"] >= 0.999 and found["unroll"][-1] > 4 * found["jfb"][0]


def test_a_held_control_in_the_middle_leaves_the_curvature_of_the_others():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(50, 1, 4, 4, generator=generator)
    matrix = root @ root.mT + torch.eye(4)
    for index in range(4):
        free = torch.ones(50, 4, dtype=torch.bool)
        free[:, index] = False
        rest = [k for k in range(4) if k != index]
        exact = torch.linalg.eigvalsh(matrix[:, 0][:, rest][:, :, rest])
        found = free_curvature(matrix, free)
        torch.testing.assert_close(found[:, :3], exact, rtol=1e-3, atol=1e-3)
        assert found[:, 3].isnan().all()


@pytest.mark.parametrize("change", [{"time_budget": 0}, {"slices": 0}, {"states": -1}, {"step_size": 0.0}])
def test_refusals(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        CompareConfig(**change)


@pytest.mark.slow
def test_the_quick_command_on_a_problem_without_closed_forms(tmp_path, capsys):
    main(["compare-gradients", "double_integrator", "--quick", "--out-dir", str(tmp_path)])
    assert "do not depend on the iterations" in capsys.readouterr().out


@pytest.mark.slow
def test_the_quick_command_on_the_quadrotor(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(racing, "time", Ticks(0.2))
    main(["compare-gradients", "quadrotor", "--quick", "--out-dir", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "do not depend on the iterations" in printed and "Direction: jfb + newton has cosine 1.000000" in printed
    result = json.loads((tmp_path / "quadrotor" / "compare.json").read_text())
    assert set(compare.PARTS) | {"about"} == set(result)
    assert result["about"]["command"] == "pontryagin compare-gradients quadrotor --quick"
    runs = {r["label"]: r for r in result["race"]["runs"]}
    assert len(runs) == 7 and all(r["iterations_done"] > 2 for r in runs.values())
    assert {"descent_share", "cosine_median"} <= set(runs["jfb + ascent"])
    for panel in ("overview", "memory", "race", "angles", "time", "dimension", "iterations"):
        assert (tmp_path / "quadrotor" / f"{panel}.png").stat().st_size > 10_000
