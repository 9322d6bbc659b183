"""SOAP: Adam where there is no basis to turn, the same in turned coordinates, and better where Adam is blind."""

import copy

import pytest
import torch
from torch import nn

from pontryagin.training import soap
from pontryagin.training.config import TrainConfig
from pontryagin.training.schedule import one_cycle
from pontryagin.training.soap import LARGEST, SOAP, make_optimizer


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def descend(weight: torch.Tensor, loss, optimizer, steps: int = 60, **options) -> nn.Parameter:
    parameter = nn.Parameter(weight.clone())
    rule = optimizer([parameter], lr=3e-2, **options)
    for _ in range(steps):
        rule.zero_grad()
        loss(parameter).backward()
        rule.step()
    return parameter


@pytest.mark.parametrize("shape", [(7,), (1, 1), (LARGEST + 1, 1)])
def test_adam_where_there_is_no_basis(shape: tuple[int, ...]) -> None:
    def loss(w: torch.Tensor) -> torch.Tensor:
        return (w**4 - 3 * w).sum()

    found = descend(weights(*shape), loss, SOAP, betas=(0.9, 0.99))
    expected = descend(weights(*shape), loss, torch.optim.Adam, betas=(0.9, 0.99))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def crooked(w: torch.Tensor) -> torch.Tensor:
    """|A (W - X) B|², with A and B of condition 10 and axes that are none of W's."""
    a, b = (torch.linalg.qr(weights(6, 6, seed=seed))[0] for seed in (1, 2))
    steep = torch.logspace(0, -1, 6, dtype=torch.float64)
    return ((steep * a) @ (w - weights(6, 6, seed=3)) @ (steep * b).mT).square().sum()


def test_turned_coordinates_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Adam cannot say: of f(Q W P) it finds another path than of f(W). Where gradients speak, that is."""
    monkeypatch.setattr(soap, "STEADY", 0.0)
    q, p = (torch.linalg.qr(weights(6, 6, seed=seed))[0] for seed in (4, 5))
    start = weights(6, 6)
    plain = descend(start, crooked, SOAP)
    turned = descend(q.mT @ start @ p.mT, lambda w: crooked(q @ w @ p), SOAP)
    torch.testing.assert_close(q @ turned @ p, plain, rtol=1e-3, atol=1e-3)
    adam = descend(start, crooked, torch.optim.Adam)
    other = descend(q.mT @ start @ p.mT, lambda w: crooked(q @ w @ p), torch.optim.Adam)
    assert (q @ other @ p - adam).abs().max() > 1e-2


def test_it_fits_a_network_closer() -> None:
    """A smooth function of three numbers, the same 300 steps of the same learning rates for both."""

    def left(kind: type[torch.optim.Optimizer]) -> float:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
        generator = torch.Generator().manual_seed(1)
        rule, steps, last = kind(net.parameters(), lr=1e-2, betas=(0.9, 0.99)), 300, []
        for step in range(steps):
            x = torch.randn(256, 3, generator=generator)
            loss = (net(x) - x.cumsum(-1).sin().sum(-1, keepdim=True)).square().mean()
            rule.param_groups[0]["lr"] = one_cycle(1e-2, 0.05, step / steps)
            rule.zero_grad()
            loss.backward()
            rule.step()
            last.append(float(loss.detach()))
        return sum(last[-20:]) / 20

    assert left(SOAP) < 0.6 * left(torch.optim.Adam)


def test_rounding_stays_rounding() -> None:
    """Of gradients of rank 1, too, where most of the basis is free: several processes sum in another order."""

    def path(noise: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(2)
        parameter = nn.Parameter(weights(8, 5).float())
        rule = SOAP([parameter], lr=1e-2)
        for _ in range(50):
            x, y = torch.randn(5, generator=generator), torch.randn(8, generator=generator)
            rule.zero_grad()
            (parameter @ x - y).square().sum().backward()
            assert parameter.grad is not None
            parameter.grad *= 1 + noise * torch.randn(8, 5, generator=torch.Generator().manual_seed(3))
            rule.step()
        return parameter.detach()

    torch.testing.assert_close(path(1e-7), path(0.0), rtol=1e-5, atol=1e-5)


def test_leading_axes_are_a_batch_of_matrices() -> None:
    def loss(w: torch.Tensor) -> torch.Tensor:
        return torch.stack([crooked(one) for one in w.unbind()]).sum()

    both = descend(weights(2, 6, 6), loss, SOAP)
    for one, alone in zip(both.unbind(), weights(2, 6, 6).unbind(), strict=True):
        torch.testing.assert_close(one, descend(alone, crooked, SOAP), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_state_can_be_stored(dtype: torch.dtype) -> None:
    """To the last bit, across a turn of the basis."""
    begun = weights(6, 6).to(dtype)
    gone, parameter = descend(begun, lambda w: crooked(w.double()), SOAP, 25), nn.Parameter(begun.clone())
    rule = SOAP([parameter], lr=3e-2)
    for step in range(25):
        if step == 7:
            stored = copy.deepcopy(rule.state_dict())
            rule = SOAP([parameter], lr=1.0)
            rule.load_state_dict(stored)
        rule.zero_grad()
        crooked(parameter.double()).backward()
        rule.step()
    assert torch.equal(gone, parameter)


def test_a_state_of_less_precision_is_gone_on_from() -> None:
    """As runs have it that were stored when SOAP kept float32."""
    parameter = nn.Parameter(weights(6, 6).float())
    parameter.grad = weights(6, 6, seed=1).float()
    rule = SOAP([parameter], lr=3e-2)
    rule.step()
    stored = rule.state_dict()
    stored["state"][0] = {k: x.float() if isinstance(x, torch.Tensor) else x for k, x in stored["state"][0].items()}
    other = SOAP([parameter], lr=3e-2)
    other.load_state_dict(stored)
    other.step()
    assert {x.dtype for x in other.state[parameter].values() if isinstance(x, torch.Tensor)} == {torch.float64}


def test_a_gradient_of_zero_moves_nothing() -> None:
    still = descend(weights(3, 4), lambda w: 0.0 * w.sum(), SOAP)
    assert torch.equal(still, weights(3, 4))


def test_the_configuration_names_it() -> None:
    module = nn.Linear(2, 3)
    assert type(make_optimizer(module, TrainConfig(), 1e-3)) is SOAP
    assert type(make_optimizer(module, TrainConfig(optimizer="adam"), 1e-3)) is torch.optim.Adam
    with pytest.raises(ValueError, match="optimizer"):
        TrainConfig(optimizer="sgd")
