"""Settings and small problems that several tests share."""

import dataclasses
import importlib.util
import os
import shutil
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each worker, and for what it starts
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
if importlib.util.find_spec("crazyflow"):  # it refuses to be imported after a SciPy without this
    os.environ.setdefault("SCIPY_ARRAY_API", "1")

import pontryagin
from pontryagin import DoubleIntegrator, Problem, Quadrotor

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclasses.dataclass(frozen=True)
class Pendulum(Problem):
    """A user's problem: no closed form anywhere, two blocks of one control, bounds that bind."""

    horizon: float = 1.0
    steps: int = 8
    state_dim = 2
    control_dim = 2
    control_block = 1
    control_low = -1.5
    control_high = 1.0

    def dynamics(self, t, z, u):
        return torch.stack([z[..., 1] + 0.1 * u[..., 1], torch.sin(z[..., 0]) + u[..., 0]], -1)

    def running_cost(self, t, z, u):
        return torch.cosh(u).sum(-1) + 0.1 * (z * z).sum(-1)

    def terminal_cost(self, z):
        return 2.0 * (z * z).sum(-1)

    def sample_initial_state(self, batch, generator=None):
        return 0.5 * torch.randn(batch, 2, generator=generator)


class Offset(DoubleIntegrator):
    """Starts away from the origin, so that the nominal path is not rest."""

    def sample_initial_state(self, batch, generator=None):
        return torch.tensor([2.0, -1.0]) + torch.randn(batch, 2, generator=generator)


class Ticks:
    """A clock for where the module ``time`` is read: it advances at each reading, on every machine alike."""

    def __init__(self, tick=1.0):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now

    monotonic = perf_counter = __call__


@pytest.fixture
def pendulum():
    return Pendulum()


@pytest.fixture
def short_quadrotor():
    return Quadrotor(steps=12)


@pytest.fixture
def policy(short_quadrotor):
    return pontryagin.ImplicitPolicy(short_quadrotor, pontryagin.ValueFunction(short_quadrotor, 16, seed=0))


@pytest.fixture
def browser():
    """Debian's Chromium; Playwright's own where that is installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        own = Path(started.chromium.executable_path)
        found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        if found is None and not own.exists():
            pytest.skip(f"no Chromium on this machine: none of {', '.join(BROWSERS)}, nor Playwright's own")
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        chromium = started.chromium.launch(executable_path=found or own, args=["--no-sandbox"] if root else [])
        yield chromium
        chromium.close()
