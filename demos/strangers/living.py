"""What grows or turns into something else: a virus, a tumour, a culture, fish and those who eat them, a chemical."""

from dataclasses import dataclass

import torch

import pontryagin


@dataclass(frozen=True)
class Hiv(pontryagin.Problem):
    """z = (healthy cells x, infected cells i, virus v), per mm³; u in [0, 1] is 0 at full therapy and 1 without.

        x' = 10 / (1 + v) - 0.02 x + 0.03 x (1 - (x + i) / 1500) - u k x v    i' = u k x v - 0.5 i
        v' = 300 · 0.5 i - 4.4 v    k = 2.4e-5    L = 0.05 (1500 - x) + (1 - u)²    G = 0

    Source: Butler, Kirschner and Lenhart, "Optimal control of chemotherapy affecting the infectivity of HIV", 1997, in
    Lenhart and Workman, "Optimal control applied to biological models", 2007, lab 8; HIVTreatment of myriad (Howe et
    al. 2022), which counts -0.05 x: less by a constant. T = 20 days. rho_0: (800, 0.04, 1.5) times exp((0.2, 0.5, 0.5)
    N(0, 1)); the source starts from (800, 0.04, 1.5).
    """

    state_dim: int = 3
    control_dim: int = 1
    horizon: float = 20.0
    steps: int = 100
    control_low = 0.0
    control_high = 1.0
    state_names = ("healthy (1/mm^3)", "infected (1/mm^3)", "virus (1/mm^3)")
    control_names = ("infectivity (1)",)

    def dynamics(self, t, z, u):
        healthy, infected, virus = z.unbind(-1)
        caught = 2.4e-5 * u[..., 0] * healthy * virus
        born = 10.0 / (1.0 + virus) - 0.02 * healthy + 0.03 * healthy * (1.0 - (healthy + infected) / 1500.0)
        return torch.stack([born - caught, caught - 0.5 * infected, 150.0 * infected - 4.4 * virus], -1)

    def running_cost(self, t, z, u):
        return 0.05 * (1500.0 - z[..., 0]) + (1.0 - u[..., 0]) ** 2

    def terminal_cost(self, z):
        return torch.zeros_like(z[..., 0])

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([0.2, 0.5, 0.5]) * torch.randn(batch, 3, generator=generator)
        return torch.tensor([800.0, 0.04, 1.5]) * torch.exp(spread)


@dataclass(frozen=True)
class Tumour(pontryagin.Problem):
    """z the density of a tumour as a share of the largest, u the strength of a drug in [0, 2].

        z' = 0.3 z log(1 / z) - 0.45 u z    L = 3 z² + u²    G = 0

    Source: Fister and Panetta, "Optimal control applied to competing chemotherapeutic cell-kill strategies", SIAM J.
    Appl. Math. 63 (2003), 1954-1971, in Lenhart and Workman, 2007, lab 5; CancerTreatment of myriad (Howe et al. 2022).
    T = 20 days. rho_0: uniform in [0.1, 0.98]; the source starts from 0.975.
    """

    state_dim: int = 1
    control_dim: int = 1
    horizon: float = 20.0
    steps: int = 80
    control_low = 0.0
    control_high = 2.0
    state_names = ("density (1)",)
    control_names = ("drug (1)",)

    def dynamics(self, t, z, u):
        return -0.3 * z * torch.log(z) - 0.45 * u * z

    def running_cost(self, t, z, u):
        return 3.0 * z[..., 0] ** 2 + u[..., 0] ** 2

    def terminal_cost(self, z):
        return torch.zeros_like(z[..., 0])

    def sample_initial_state(self, batch, generator=None):
        return 0.1 + 0.88 * torch.rand(batch, 1, generator=generator)


@dataclass(frozen=True)
class Reactor(pontryagin.Problem):
    """z = (biomass X, substrate S, product P, volume V), u in [0, 0.2] the feed, of 200 mol/l substrate.

        X' = μ X - u X / V    S' = -μ X / 0.4 - 0.004 X / 1.2 + u (200 - S) / V    P' = 0.004 X - u P / V    V' = u
        μ = 0.02 S / (0.05 + S + S² / 5)    L = -P + u² + 100 penalty(X - 3.7)    G = -P

    Source: do-mpc, example batch bioreactor (Fiedler, Karg, Lüken, Brandner, Heinlein, Brabender and Lucia, "do-mpc:
    towards FAIR nonlinear and robust model predictive control", Control Engineering Practice 140, 2023); there X <= 3.7
    is a bound and the change of u has a price. T = 100 of its steps. rho_0: (1, 0.5, 0.1, 120) times exp((0.2, 0.3,
    0.3, 0.1) N(0, 1)); the source starts from (1, 0.5, 0, 120).
    """

    state_dim: int = 4
    control_dim: int = 1
    horizon: float = 100.0
    steps: int = 200
    control_low = 0.0
    control_high = 0.2
    state_names = ("biomass (mol/l)", "substrate (mol/l)", "product (mol/l)", "volume (m^3)")
    control_names = ("feed (m^3/step)",)

    def dynamics(self, t, z, u):
        biomass, substrate, product, volume = z.unbind(-1)
        feed = u[..., 0] / volume
        growth = 0.02 * substrate / (0.05 + substrate + substrate**2 / 5.0) * biomass
        eaten = growth / 0.4 + 0.004 * biomass / 1.2
        made = 0.004 * biomass - feed * product
        return torch.stack([growth - feed * biomass, feed * (200.0 - substrate) - eaten, made, u[..., 0]], -1)

    def running_cost(self, t, z, u):
        return u[..., 0] ** 2 - z[..., 2] + 100.0 * pontryagin.penalty(z[..., 0] - 3.7)

    def terminal_cost(self, z):
        return -z[..., 2]

    def sample_initial_state(self, batch, generator=None):
        spread = torch.tensor([0.2, 0.3, 0.3, 0.1]) * torch.randn(batch, 4, generator=generator)
        return torch.tensor([1.0, 0.5, 0.1, 120.0]) * torch.exp(spread)


@dataclass(frozen=True)
class Lotka(pontryagin.Problem):
    """z = (prey x, predators y), u in [0, 1] how much is fished of both.

        x' = x - x y - 0.4 x u    y' = -y + x y - 0.2 y u    L = (x - 1)² + (y - 1)²    G = 0

    u has no price: it is 0, 1 or on a singular arc.

    Source: Sager, Bock, Diehl, Reinelt and Schloeder, "Numerical methods for optimal control with binary control
    functions applied to a Lotka-Volterra type fishing problem", 2006: 1.34408 from (0.5, 0.7) for u in between. T = 12.
    rho_0: (0.5, 0.7) times exp(0.3 N(0, 1)).
    """

    state_dim: int = 2
    control_dim: int = 1
    horizon: float = 12.0
    steps: int = 120
    control_low = 0.0
    control_high = 1.0
    state_names = ("prey (1)", "predators (1)")
    control_names = ("fishing (1)",)

    def dynamics(self, t, z, u):
        prey, predators = z.unbind(-1)
        fished = u[..., 0]
        return torch.stack([prey * (1.0 - predators - 0.4 * fished), predators * (prey - 1.0 - 0.2 * fished)], -1)

    def running_cost(self, t, z, u):
        return ((z - 1.0) ** 2).sum(-1)

    def terminal_cost(self, z):
        return torch.zeros_like(z[..., 0])

    def sample_initial_state(self, batch, generator=None):
        return torch.tensor([0.5, 0.7]) * torch.exp(0.3 * torch.randn(batch, 2, generator=generator))


@dataclass(frozen=True)
class Catalyst(pontryagin.Problem):
    """z = (a, b), shares of two substances along a pipe, u in [0, 1] the share of the first of two catalysts.

        a' = u (10 b - a)    b' = u (a - 10 b) - (1 - u) b    L = 0    G = a + b - 1

    What is neither a nor b is the product. The optimum has a singular arc between bounds.

    Source: problem "catmix" of Dolan, Moré and Munson, "Benchmarking optimization software with COPS 3.0", 2004, after
    Jackson 1968. T = 4, there from (1, 0). rho_0: a uniform in [0.5, 1], b = 1 - a.
    """

    state_dim: int = 2
    control_dim: int = 1
    horizon: float = 4.0
    steps: int = 80
    control_low = 0.0
    control_high = 1.0
    state_names = ("a (share)", "b (share)")
    control_names = ("first_catalyst (share)",)

    def dynamics(self, t, z, u):
        back = u[..., 0] * (10.0 * z[..., 1] - z[..., 0])
        return torch.stack([back, -back - (1.0 - u[..., 0]) * z[..., 1]], -1)

    def running_cost(self, t, z, u):
        return 0.0 * z[..., 0]

    def terminal_cost(self, z):
        return z.sum(-1) - 1.0

    def sample_initial_state(self, batch, generator=None):
        first = 0.5 + 0.5 * torch.rand(batch, 1, generator=generator)
        return torch.cat([first, 1.0 - first], -1)
