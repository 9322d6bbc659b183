"""Optima on disk: found again by their states, flown again from their controls, refused where the physics changed."""

import dataclasses
import json

import numpy as np
import pytest
import torch

pytest.importorskip("casadi")


from conftest import Pendulum
from killed import kills

from pontryagin import DoubleIntegrator
from pontryagin.controllers.optimum.ipopt import solve_reference
from pontryagin.controllers.optimum.store import find_reference, load_reference, save_reference
from pontryagin.envs.files import sha256


def test_store(pendulum, tmp_path):
    z0 = pendulum.sample_initial_state(4, torch.Generator().manual_seed(0))
    reference = solve_reference(pendulum, z0)
    path = save_reference(tmp_path / "pendulum-0.5", pendulum, reference, "make references")
    assert {p.name for p in tmp_path.glob("[!.]*")} == {"pendulum-0.5.npz", "pendulum-0.5.json"}
    for rows in ([0, 1, 2, 3], [2, 0]):
        found = find_reference(pendulum, z0[rows], tmp_path)
        assert found is not None
        assert torch.equal(found.cost, reference.cost[rows])
        assert torch.equal(found.t, reference.t) and torch.equal(found.seconds, reference.seconds[rows])
        assert found.converged.all() and found.status == ("Solve_Succeeded",) * len(rows)
        assert torch.equal(found.z[0], z0[rows].double())
        for name, close in (("u", 1e-6), ("z", 1e-6), ("costate", 1e-5)):
            kept = getattr(reference, name)[:, rows]
            torch.testing.assert_close(getattr(found, name), kept, rtol=close, atol=close)
    assert find_reference(pendulum, z0 + 1, tmp_path) is None
    assert find_reference(Pendulum(steps=9), z0, tmp_path) is None
    assert find_reference(pendulum, z0, tmp_path / "nowhere") is None
    with pytest.raises(ValueError, match="no optimum from the state with index 1"):
        load_reference(path, pendulum, torch.stack([z0[0], z0[0] + 1]))
    near = load_reference(path, pendulum, z0.double() * (1 + 1e-7))  # as another CPU may round the draw
    assert torch.equal(near.cost, reference.cost) and torch.equal(near.z[0], z0.double())
    with pytest.raises(ValueError, match="no optimum from the state with index 0"):
        load_reference(path, pendulum, z0.double() + 1e-5)
    with pytest.raises(ValueError, match="expected"):
        load_reference(path, DoubleIntegrator(), z0)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut short or edited"):
        load_reference(path, pendulum, z0)
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        load_reference(path, pendulum, z0)


def test_store_notices_that_the_physics_changed(pendulum, tmp_path, monkeypatch):
    z0 = torch.tensor([[0.4, -0.3]])
    path = save_reference(tmp_path / "old", pendulum, solve_reference(pendulum, z0))
    monkeypatch.setattr(Pendulum, "terminal_cost", lambda self, z: 3.0 * (z * z).sum(-1))
    with pytest.raises(ValueError, match="out of date"):
        load_reference(path, pendulum, z0)


class Narrow(Pendulum):
    """The float32 beside each of its bounds lies outside."""

    control_low = -0.3
    control_high = 0.1


def test_a_rounded_control_stays_within_its_bounds(tmp_path):
    problem, z0 = Narrow(), torch.tensor([[2.0, 1.0], [-2.0, -1.0]])
    reference = solve_reference(problem, z0)
    path = save_reference(tmp_path / "narrow", problem, reference)
    with np.load(path) as stored:
        rounded = stored["u"].astype(float)
        assert stored["u"].dtype == np.float32 and rounded.min() < -0.3 and rounded.max() > 0.1
    u = load_reference(path, problem, z0).u
    assert u.dtype == torch.float64 and (u.min(), u.max()) == (-0.3, 0.1)


class Falling(Pendulum):
    """Multiplies the rounding of its first control by e^20 before the end."""

    def dynamics(self, t, z, u):
        return torch.stack([z[..., 1], 100 * z[..., 0] + u[..., 0]], -1)


def test_controls_that_rounding_would_spoil_are_kept_whole(tmp_path):
    problem, z0 = Falling(horizon=2.0, steps=60), torch.tensor([[1e-3, 0.0]])
    reference = solve_reference(problem, z0)
    found = load_reference(save_reference(tmp_path / "falling", problem, reference), problem, z0)
    assert torch.equal(found.u, reference.u) and torch.equal(found.z, reference.z)


def test_a_failed_solve_is_kept_as_one(pendulum, tmp_path):
    z0 = torch.tensor([[0.4, -0.3]])
    reference = solve_reference(pendulum, z0)
    nothing = {name: torch.full_like(getattr(reference, name), torch.nan) for name in ("z", "u", "running_cost")}
    nothing["z"][0] = z0
    failed = dataclasses.replace(reference, **nothing, converged=torch.tensor([False]), status=("Process_Died",))
    found = load_reference(save_reference(tmp_path / "failed", pendulum, failed), pendulum, z0)
    assert found.cost.isnan().all() and not found.converged.any() and found.status == ("Process_Died",)


def test_another_format_says_how_to_make_it_again(pendulum, tmp_path):
    z0 = torch.tensor([[0.4, -0.3]])
    path = save_reference(tmp_path / "old", pendulum, solve_reference(pendulum, z0))
    about = path.with_suffix(".json")
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 1}))
    with pytest.raises(ValueError, match="format 2: make it again with `pontryagin reference`"):
        load_reference(path, pendulum, z0)


def test_a_kill_leaves_the_old_optima_or_the_new_ones(pendulum, tmp_path, monkeypatch):
    z0, points, costs = torch.tensor([[0.4, -0.3]]), 0, []
    reference = solve_reference(pendulum, z0)
    for k in (0.0, 1e-9):  # two references that tell themselves apart
        costs.append(dataclasses.replace(reference, running_cost=reference.running_cost + k))
    save_reference(tmp_path / "a", pendulum, costs[0])
    for _ in kills(monkeypatch, lambda: save_reference(tmp_path / "a", pendulum, costs[1])):
        points += 1
        found = load_reference(tmp_path / "a", pendulum, z0)
        assert any(torch.equal(found.running_cost, one.running_cost) for one in costs)
    assert points >= 6 and torch.equal(load_reference(tmp_path / "a", pendulum, z0).cost, costs[1].cost)
    assert "earlier" not in json.loads((tmp_path / "a.json").read_text())


@pytest.mark.parametrize("forged", [{"format": 2}, {"sha256": 3}, {"earlier": {"sha256": None}}, [], "x"])
def test_a_forged_record_is_a_sentence(pendulum, tmp_path, forged):
    z0 = torch.tensor([[0.4, -0.3]])
    path = save_reference(tmp_path / "a", pendulum, solve_reference(pendulum, z0))
    path.with_suffix(".json").write_text(json.dumps(forged))
    with pytest.raises(ValueError, match=r"a\.json|a\.npz"):
        load_reference(path, pendulum, z0)


def test_numbers_of_another_shape_are_a_sentence(pendulum, tmp_path):
    z0 = torch.tensor([[0.4, -0.3]])
    path = save_reference(tmp_path / "a", pendulum, solve_reference(pendulum, z0))
    with np.load(path) as stored:
        arrays = dict(stored) | {"u": np.zeros(3)}
    np.savez(path, **arrays)
    about = path.with_suffix(".json")
    about.write_text(json.dumps(json.loads(about.read_text()) | {"sha256": sha256(path.read_bytes())}))
    with pytest.raises(ValueError, match="does not describe"):
        load_reference(path, pendulum, z0)
