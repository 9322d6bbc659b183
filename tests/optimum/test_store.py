"""Optima on disk: found again by their states, refused where the physics changed."""

import pytest
import torch

pytest.importorskip("casadi")


from conftest import Pendulum

from pontryagin import DoubleIntegrator
from pontryagin.controllers.optimum.ipopt import solve_reference
from pontryagin.controllers.optimum.store import find_reference, load_reference, save_reference


def test_store(pendulum, tmp_path):
    z0 = pendulum.sample_initial_state(4, torch.Generator().manual_seed(0))
    reference = solve_reference(pendulum, z0)
    path = save_reference(tmp_path / "pendulum-0.5", pendulum, reference, "make references")
    assert {p.name for p in tmp_path.iterdir()} == {"pendulum-0.5.npz", "pendulum-0.5.json"}
    for rows in ([0, 1, 2, 3], [2, 0]):
        found = find_reference(pendulum, z0[rows], tmp_path)
        assert found is not None
        assert torch.equal(found.cost, reference.cost[rows])
        assert torch.equal(found.u, reference.u[:, rows])
        assert found.status == ("Solve_Succeeded",) * len(rows)
    assert find_reference(pendulum, z0 + 1, tmp_path) is None
    assert find_reference(Pendulum(steps=9), z0, tmp_path) is None
    assert find_reference(pendulum, z0, tmp_path / "nowhere") is None
    with pytest.raises(ValueError, match="no optimum from the state with index 1"):
        load_reference(path, pendulum, torch.stack([z0[0], z0[0] + 1]))
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
