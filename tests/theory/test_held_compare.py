"""The three gradients compared where the control is held: argmax H_dt."""

import json

import pytest
import torch
from conftest import Ticks

from pontryagin import MultiBicycle, TrainConfig, ValueFunction
from pontryagin.training.commands.cli import main
from pontryagin.training.loss import make_step
from pontryagin.training.theory import race as racing
from pontryagin.training.theory.gradients import gradient_errors, iterations_needed, line_fit, saved_bytes
from pontryagin.training.theory.race import loss_gradient
from pontryagin.training.theory.variants import Variant, exact_config, samples_along_flights, steady_step

HELD = TrainConfig(hamiltonian="held")


def errors(problem, *ways):
    value = ValueFunction(problem, 4, rank=4, seed=1).double()
    z0 = problem.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    rows = gradient_errors(problem, value, HELD, [Variant("newton", g, 40, k) for g, k in ways], z0, 0.1)
    return [row["relative_error"] for row in rows]


def test_angles_of_the_three_gradients(pendulum):
    """Converged, implicit and unroll are exact; jfb leaves out what the blocks of H_uu do, and more steps close it."""
    implicit, unroll, jfb, more = errors(pendulum, ("implicit", 1), ("unroll", 1), ("jfb", 1), ("jfb", 8))
    assert max(implicit, unroll, more) < 1e-9 and 1e-5 < jfb < 1e-3


def test_where_phi_couples_agents_strongly_only_implicit_is_exact():
    implicit, jfb = errors(MultiBicycle(2, steps=4, wheelbase=1.0), ("implicit", 1), ("jfb", 1))
    assert implicit < 1e-9 and 0.1 < jfb < 1


def test_the_exact_gradient_is_that_of_finite_differences(pendulum):
    value = ValueFunction(pendulum, 4, rank=4, seed=1).double()
    z0 = pendulum.sample_initial_state(2, torch.Generator().manual_seed(0)).double()
    exact = exact_config(HELD)
    step = make_step(pendulum, value, exact)
    slope = loss_gradient(pendulum, value, step, exact, z0)
    place = [id(w) for w in value.parameters()].index(id(value.linear))
    sizes = [w.numel() for w in value.parameters()]

    def cost(shift):
        moved = ValueFunction(pendulum, 4, rank=4, seed=1).double()
        with torch.no_grad():
            moved.linear[0] += shift
            z, total, dt = z0, 0.0, pendulum.time_step
            for k in range(pendulum.steps):
                taken = make_step(pendulum, moved, exact)(torch.tensor(k * dt).double(), z, torch.tensor(dt).double())
                z, total = taken.z, total + taken.cost
            return (total + pendulum.terminal_cost(z)).mean()

    difference = (cost(1e-4) - cost(-1e-4)) / 2e-4
    torch.testing.assert_close(slope.split(sizes)[place][0], difference, rtol=1e-5, atol=1e-8)


def test_memory_and_iterations(pendulum):
    value = ValueFunction(pendulum, 4, rank=4, seed=1)
    samples = samples_along_flights(pendulum, value, torch.randn(2, 2), every=4, hamiltonian="held")
    counts = (1, 2, 4, 8)
    jfb, unroll = (
        [saved_bytes(pendulum, Variant("newton", g, n), samples, 0.1) for n in counts] for g in ("jfb", "unroll")
    )
    assert len(set(jfb)) == 1 and line_fit(counts, unroll)["r2"] > 0.999 and unroll[-1] > 4 * jfb[0]
    rows = iterations_needed(pendulum, samples, steady_step(pendulum, samples), 200, 1e-4)
    assert rows[0]["median"] < rows[2]["median"] and samples.phi is value


@pytest.mark.slow
def test_the_quick_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(racing, "time", Ticks(0.2))
    main(["compare-gradients", "double_integrator", "--hamiltonian", "held", "--quick", "--out-dir", str(tmp_path)])
    assert "jfb and implicit do not depend on the iterations" in capsys.readouterr().out
    result = json.loads((tmp_path / "double_integrator" / "compare.json").read_text())
    assert result["about"]["settings"]["hamiltonian"] == "held"
