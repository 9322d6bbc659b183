"""Exports of policies of the held control: NumPy's own step of the bicycles, and ONNX in float64."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from pontryagin import DoubleIntegrator, ImplicitPolicy, MultiBicycle, ValueFunction, rollout
from pontryagin.controllers.export import numpy_held
from pontryagin.controllers.export.export import export_policy
from pontryagin.controllers.export.runtimes import load_runtime
from pontryagin.controllers.optimum import AgentExpansion, expand_agents, solve_optimum
from pontryagin.controllers.value import ExpandedValue, FlownValue
from pontryagin.envs.integrate import advance
from pontryagin.training.commands import export as export_cli
from pontryagin.training.commands.cli import main


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The shipped five for NumPy, and what they see on two flights."""
    policy, folder = ImplicitPolicy.load("bicycle5", device="cpu"), tmp_path_factory.mktemp("numpy")
    export_policy(policy, folder, "numpy", "bicycle5")
    problem = policy.problem
    with torch.no_grad():
        path = rollout(problem, policy, problem.sample_initial_state(2, torch.Generator().manual_seed(1)))
    t = path.t[:-1].reshape(-1, 1, 1).expand(-1, 2, 1)
    return policy, folder, torch.cat([path.z[:-1], t], -1).flatten(0, 1)


def test_numpy_agrees_along_flights(exported):
    policy, folder, seen = exported
    run = load_runtime(folder, "numpy")
    found = np.stack([run(row) for row in seen.numpy()])
    with torch.no_grad():
        expected = policy.solve(seen[:, -1].double(), seen[:, :-1].double())
    assert expected.converged.double().mean() > 0.9
    np.testing.assert_allclose(found, expected.control, rtol=0, atol=1e-6)


def test_numpy_agrees_far_from_the_flights(exported):
    """Where more of T is needed: a fifth of these states had no answer in five applications, and answers differed."""
    policy, folder, _ = exported
    rows = export_cli.scattered(policy, 300, 0)
    with torch.no_grad():
        found = policy.solve(*(torch.from_numpy(part) for part in (rows[:, -1], rows[:, :-1])))
    assert found.converged.float().mean() >= 0.98
    assert export_cli.agreement(policy, folder, "numpy", rows).difference <= export_cli.HELD_LIMIT


def test_the_step_and_its_derivative_are_those_of_torch():
    problem = MultiBicycle(3, targets=(1.0, 1.0), wheelbase=0.3, interaction=7.0, radius=0.6)
    generator = torch.Generator().manual_seed(0)
    z, u = torch.randn(12, generator=generator).double(), torch.randn(4, 6, generator=generator).double()
    p = torch.randn(4, 12, generator=generator).double()
    step = numpy_held.Bicycles(0.3, 7.0, 0.6, 0.1)
    after, cost = step.forward(z.reshape(3, 4).numpy(), u.reshape(4, 3, 2).numpy())
    (expected, spent), pull = torch.func.vjp(
        lambda v: advance(problem, torch.zeros(()).double(), z.expand(4, -1), v, 0.1), u
    )
    np.testing.assert_allclose(after.reshape(4, 12), expected, rtol=1e-10)
    np.testing.assert_allclose(cost, spent, rtol=1e-10)
    slope = step.backward(p.reshape(4, 3, 4).numpy()).reshape(4, 6)
    np.testing.assert_allclose(slope, pull((p, torch.ones(4).double()))[0], rtol=1e-8, atol=1e-10)


def test_the_value_function_is_that_of_torch(exported):
    policy, folder, seen = exported
    run = numpy_held.Policy(folder)
    for row in seen[::17].double():
        t, z = row[-1:], row[None, :-1]
        phi = numpy_held.Expanded(run._w, policy.problem.horizon, float(t))
        states = z.reshape(1, -1, 4).numpy()
        value, p = phi(states, int(phi.bounds(states[0])[0].argmin()))
        with torch.no_grad():
            np.testing.assert_allclose(value, policy.value(t, z), rtol=1e-12)
            np.testing.assert_allclose(p.reshape(1, -1), policy.value.gradient(t, z)[1], rtol=1e-9, atol=1e-9)


def test_numpy_knows_who_speaks(tmp_path):
    policy = ImplicitPolicy.load("bicycle5", device="cpu")
    value, generator = policy.value, torch.Generator().manual_seed(0)
    export_policy(policy, tmp_path, "numpy", "bicycle5")
    run = numpy_held.Policy(tmp_path)
    z = 1.5 * torch.randn(64, 20, generator=generator).double()
    here = numpy_held.Expanded(run._w, policy.problem.horizon, 1.03)
    found = [run.speaker(here, row.reshape(-1, 4).numpy())[0] for row in z]
    assert found == value.speaker(1.03, z).tolist() and len(set(found)) > 1


@pytest.mark.parametrize("count", [1, 2, 7])
def test_numpy_assigns_as_scipy_does(count):
    cost = np.random.default_rng(count).normal(size=(count, count))
    assert numpy_held.assigned(cost).tolist() == linear_sum_assignment(cost)[1].tolist()


@pytest.mark.parametrize("targets", [None, ((1.0, 1.0), (1.0, 0.5))])
def test_numpy_flies_before_one_speaks(tmp_path, targets):
    """Between steps, too, and in roles where agents are alike."""
    problem = MultiBicycle(num_agents=2, targets=targets, steps=10, wheelbase=0.3, initial_scale=0.4, interaction=20.0)
    z = problem.sample_initial_state(12, torch.Generator().manual_seed(0)).double()
    value = FlownValue(problem, expand_agents(problem, solve_optimum(problem, z[:4])))
    policy = ImplicitPolicy(problem, value, hamiltonian="held", max_iterations=1).double()
    export_policy(policy, tmp_path, "numpy", "two")
    run = numpy_held.Policy(tmp_path)
    for t in (0.0, 0.4, 1.03, 3.9):
        here = numpy_held.Expanded(run._w, problem.horizon, t)
        expected = value.speaker(t, z).reshape(len(z), -1)
        bounds = ExpandedValue(problem, value_expansion(value)).double().speaker(t, z).reshape(len(z), -1)
        for row, who in zip(z.reshape(-1, 2, 4).numpy(), expected, strict=True):
            member, order = run.speaker(here, row)
            assert [member, *order][: who.numel()] == who.tolist()
        if t < 2:
            assert (expected[:, 0] != bounds[:, 0]).any()
    found = np.stack([run(0.4, row) for row in z.numpy()])
    with torch.no_grad():
        np.testing.assert_allclose(found, policy(0.4, z), rtol=0, atol=1e-6)


def value_expansion(value):
    """The expansion that a value function was made of."""
    tables = {name: getattr(value, name) for name in ("value", "state", "costate", "control", "gain")}
    return AgentExpansion(**tables, curvature=value.root @ value.root.mT)


def test_numpy_knows_who_plays_which_role(tmp_path):
    """Of agents that are alike; what cannot find that out is refused."""
    problem = MultiBicycle(num_agents=3, steps=12)
    z = problem.sample_initial_state(4, torch.Generator().manual_seed(0)).double()
    value = ExpandedValue(problem, expand_agents(problem, solve_optimum(problem, z[:2])))
    policy = ImplicitPolicy(problem, value, hamiltonian="held").double()
    export_policy(policy, tmp_path, "numpy", "three")
    run = load_runtime(tmp_path, "numpy")
    z = torch.cat([z, z.roll(4, -1)])
    found = np.stack([run(np.append(row, 0.0)) for row in z.numpy()])
    expected = policy(0.0, z).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.abs(expected[:4] - expected[4:]).max() > 1e-2
    with pytest.raises(ValueError, match="export this policy of MultiBicycle to numpy"):
        export_policy(policy, tmp_path, "onnx", "three")


def test_numpy_runs_without_us(exported):
    """The folder alone, in a Python that sees neither torch nor pontryagin."""
    policy, folder, seen = exported
    code = (
        "import sys; sys.modules['torch'] = sys.modules['pontryagin'] = None\n"
        "from runtime import Policy\n"
        f"print(Policy().predict({seen[0].tolist()}).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), policy.predict(seen[0].numpy())[0], atol=1e-5)
    tree = ast.parse(Path(numpy_held.__file__).read_text(encoding="utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"numpy"}


def test_newton_by_blocks_of_two_on_free_controls():
    """-H_uu positive definite, indefinite, and with one control held; the pivots stay positive."""
    bend = -np.array([[[4.0, 1.0], [1.0, 3.0]], [[1.0, 2.0], [2.0, 1.0]], [[4.0, 1.0], [1.0, 3.0]]])
    slope, free = np.ones((3, 2)), np.array([[True, True], [True, True], [True, False]])
    found = numpy_held.newton_direction(bend, slope, free)
    np.testing.assert_allclose(found[0], np.linalg.solve(-bend[0], slope[0]))
    assert found[1] @ slope[1] > 0 and found[2].tolist() == [0.25, 0.0]


def test_bad_input_and_other_problems_are_refused(exported, tmp_path):
    policy = numpy_held.Policy(exported[1])
    with pytest.raises(ValueError, match=r"z has shape \(3,\); expected \(20,\)"):
        policy(0.0, np.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        policy(0.0, np.full(20, np.nan))
    problem = DoubleIntegrator()
    other = ImplicitPolicy(problem, ValueFunction(problem, 4, seed=0), hamiltonian="held")
    with pytest.raises(ValueError, match="got DoubleIntegrator, ValueFunction, ProjectedNewton: export this policy to"):
        export_policy(other, tmp_path, "numpy")


def test_parity_from_the_command_line(exported, capsys):
    main(["parity", str(exported[1]), "--states", "10", "--json"])
    assert json.loads(capsys.readouterr().out)["numpy"]["difference"] <= export_cli.HELD_LIMIT


@pytest.mark.slow
def test_onnx_in_float64_agrees(tmp_path):
    """As a held policy is loaded; ONNX Runtime has no tan of a float64."""
    pytest.importorskip("onnxruntime")
    problem = MultiBicycle(1, steps=8, wheelbase=1.0)
    policy = ImplicitPolicy(problem, ValueFunction(problem, 4, rank=4, seed=1), hamiltonian="held").double()
    export_policy(policy, tmp_path, "onnx")
    rows = export_cli.scattered(policy, 50, 0)
    assert export_cli.agreement(policy, tmp_path, "onnx", rows).difference <= 1e-5
