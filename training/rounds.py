"""The rounds of ``solve``: optima, the policies made of them, what these cost, and where optima are missing."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor

from ..controllers.optimum import (
    AgentExpansion,
    ReferenceTrajectory,
    cheaper,
    expand_agents,
    hands,
    improve_optimum,
    save_reference,
    solve_optimum,
)
from ..controllers.policy import ImplicitPolicy
from ..controllers.value import ExpandedValue, FlownValue
from ..envs.integrate import Controller, Trajectory
from ..envs.problem import Problem
from ..envs.states import drawn
from .evaluate import gap_figures, relative_gap
from .solved import flights, flown_by, small, sure
from .stages import Stages
from .start import agreed, excess, fewer, member_costs, played, sound

CANDIDATES, MEMBERS, DRAWN, PROBES = 24, 1024, 256, 48
"""Draws of rho_0 whose optima come first; optima kept at most; states flown to find the worst; states on which
policies are compared."""
WILD, STARTS = 8, 4
"""Of the optima of a round, those sought from guesses, and from how many each."""
OPTIMA, RECORD, PAGE = "optima.npz", "solved.json", "report.html"
"""Files of the optima, of the gap that was measured, and of both for people to look at."""
FEEDBACK, PLANS = "their feedback", "plans swept from it"
"""The policy that the optima are, and the one that improves on it."""
SWEEPS = 4
"""Of each plan: from the feedback's flights that is where nearly all of them have become optima."""
AFFORDED, OVERTIME = 0.3, 0.2
"""The share of the time left that the flights of the better policy may take after each round: after the last one, all
that is left and a share of the budget on top."""
EVEN = 0.01
"""Share of the gap asked for by which the policy of more optima may fly dearer on the probes and still be taken: most
states are flown well by then, and what is left is a tail that few probes see."""
BEATEN = 1e-6
"""By how much of its cost a flight must be below an optimum for that not to count as one."""
TABLES = 4_000_000
"""Numbers in the tables of the expansions, at most."""


class Rounds:
    """One call of ``solve``: the clock, the optima so far, and the best policy of them."""

    def __init__(
        self, problem: Problem, budget: float, seed: int, out: Path | None, states: int, enough: float
    ) -> None:
        self.problem, self.budget, self.seed, self.out = problem, budget, seed, out
        self.fresh, self.probes = (
            drawn(problem, count, torch.Generator().manual_seed(seed + 90_001 + i)).double()
            for i, count in enumerate((states, fewer(problem, PROBES, 4)))
        )
        self.reached = math.inf
        self.stages = Stages(budget)
        self.history: list[dict[str, float | str]] = []
        self.policy: ImplicitPolicy
        self.enough, self.stage, self.flying = enough, "", 0.0
        self.planned = False
        self.more: float | None = None
        self.value: FlownValue
        self.whole: AgentExpansion
        self.yardstick: Tensor
        self.cost = torch.full((states,), torch.inf, dtype=torch.float64)
        self.linear = self.cost
        self.path: Trajectory
        self.once = 0.0
        self.optima: ReferenceTrajectory

    @property
    def gap(self) -> float:
        """Its mean over the fresh states whose optimum is known; infinite where none is."""
        return float(relative_gap(self.cost, self.optima.optimum).nanmean().nan_to_num(torch.inf))

    def good(self) -> bool:
        """Whether the gap is small enough, and known of nearly all fresh states."""
        gap = relative_gap(self.cost, self.optima.optimum)
        return sure(gap) and small(gap, self.enough)

    def _policy(self, sweeps: int) -> ImplicitPolicy:
        value = FlownValue(self.problem, self.whole, sweeps).double() if sweeps else self.value
        return ImplicitPolicy(self.problem, value, max_iterations=0, hamiltonian="held")

    @torch.no_grad()
    def _guessed(self, policy: ImplicitPolicy) -> float:
        """Seconds of its flights, from its first two answers: one that chooses among many plans, as all later choices
        together may take again, and one that follows."""
        z0 = torch.cat([self.fresh, self.probes])
        z0, flight, took = z0[: -(-len(z0) // hands())], policy.begin(), []
        for k in range(2):
            begin = self.stages.gone
            flight(torch.tensor(k * self.problem.time_step, dtype=z0.dtype), z0)
            took.append(self.stages.gone - begin)
        return 2 * took[0] + self.problem.steps * took[1]

    def better(self, known: ReferenceTrajectory, last: bool = False) -> None:
        """Plans, where the feedback along ``known`` is not good enough, and if the time allows: what they take on top
        of its flights does not grow with the optima."""
        if self.good() or self.planned:
            return
        if self.more is None:
            self.more = max(self._guessed(self._policy(SWEEPS)) - self.flying, 0.0)
        afford = self.stages.left + OVERTIME * self.budget if last else AFFORDED * self.stages.left
        if self.flying + self.more < afford:
            self.fly(PLANS, known)

    @property
    def most(self) -> int:
        """How many optima are kept."""
        return min(MEMBERS, TABLES // ((self.problem.steps + 1) * self.problem.state_dim * self.problem.state_block))

    @torch.no_grad()
    def expanded(self, known: ReferenceTrajectory) -> None:
        """The expansions about ``known``, and the policy of them, if it is the best so far."""
        if self.out is not None:
            save_reference(self.out / OPTIMA, self.problem, known, "pontryagin solve")
        self.whole = whole = expand_agents(self.problem, known)
        self.stages.stage(f"flying along {len(known.cost)} optima")
        if not self.history:
            costs = member_costs(self.problem, whole, self.probes)
            self.yardstick = costs.amin(-1)
            one = excess(costs, self.yardstick.unsqueeze(-1)).mean(0).argmin().reshape(1)
            self.linear = self._cost(ExpandedValue(self.problem, whole.members(one)).double().feedback, self.fresh)
        self.value = FlownValue(self.problem, whole).double()
        self.planned = False
        self.fly(FEEDBACK, known)
        self.better(known)

    def fly(self, way: str, known: ReferenceTrajectory) -> None:
        """That policy, kept if it is the best on the probes so far; the optima of the fresh states, and the gap."""
        policy = self._policy(SWEEPS if way == PLANS else 0)
        begin = self.stages.gone
        self.planned = way == PLANS
        path = flown_by(self.problem, policy, torch.cat([self.fresh, self.probes]))
        took = self.stages.gone - begin
        if way == FEEDBACK:
            self.flying = took
        else:
            self.more = took - self.flying
        cost, probed = path.cost.nan_to_num(torch.inf, torch.inf).tensor_split([len(self.fresh)])
        flown = float(excess(probed, self.yardstick).mean())
        name = f"{len(known.cost)} expansions, {way}"
        if self.taken(flown):
            self.policy, self.reached, self.cost, self.stage = policy, min(flown, self.reached), cost, name
            self.path = flights(path, slice(len(self.fresh)))
            if self.out is not None:
                for said in (RECORD, PAGE):  # of another policy, if a kill comes before the new ones
                    (self.out / said).unlink(missing_ok=True)
                policy.save(self.out, {"command": "pontryagin solve", "stage": name})
        self.compared(way, known, path, cost)
        gap = relative_gap(self.cost, self.optima.optimum)
        worst = gap_figures(gap)["worst"]
        self.history.append(
            {"stage": self.stage, "seconds": self.stages.gone, "gap_mean": self.gap, "gap_worst": worst}
        )
        best = name if self.stage == name else f"{name}: no better than {self.stage}"
        self.stages.said(f"{best}; gap {self.gap:.2%} mean, {worst:.2%} worst")

    def taken(self, flown: float) -> bool:
        """Whether a policy that flies so far above the yardstick on the probes is taken, in place of the last."""
        return not self.history or flown < self.reached + EVEN * self.enough

    def compared(self, way: str, known: ReferenceTrajectory, path: Trajectory, cost: Tensor) -> None:
        """The optima of the fresh states, sought again from ``known`` and from ``path``, their flights, if cheaper."""
        self.stages.stage("optima of the fresh states")
        most = max(10.0, 0.05 * self.budget)
        if not self.history:  # from the known ones, and of their own: no later round does that
            begin = self.stages.gone
            found = solve_optimum(self.problem, self.fresh, known=known, seconds=most)
            self.optima = cheaper(found, solve_optimum(self.problem, self.fresh, seconds=most))
            self.once = self.stages.gone - begin
        if way == FEEDBACK:
            self.optima = agreed(self.problem, self.optima, most, known)
        cheap = (cost < self.optima.cost).nonzero().ravel()
        if len(cheap):  # what has been flown can be had
            found = solve_optimum(self.problem, self.fresh[cheap], played(path.u[:, cheap]), seconds=most)
            self.optima = self.optima.replaced(cheap, cheaper(self.optima.rows(cheap), found))
            beaten = cost < self.optima.cost - BEATEN * self.optima.cost.abs()
            self.optima = dataclasses.replace(self.optima, converged=self.optima.converged & ~beaten)
        gap = relative_gap(self.cost, self.optima.optimum)
        if small(gap, self.enough) and not sure(gap):  # all that is missing is to know it
            left = (~self.optima.converged).nonzero().ravel()
            most = max(most, AFFORDED * self.stages.left)
            further = improve_optimum(self.problem, self.optima.rows(left), seconds=most)
            self.optima = self.optima.replaced(left, further)

    def taught(self, network: ImplicitPolicy) -> Tensor:
        """What it costs from the fresh states, ``(B,)``."""
        self.stages.stage("flying the network")
        cost = self._cost(network, self.fresh.to(network.value.scale))
        gap = relative_gap(cost, self.optima.optimum)
        worst = float(gap.nan_to_num(-torch.inf).max())
        self.stages.said(f"a network, taught; gap {float(gap.nanmean()):.2%} mean, {worst:.2%} worst")
        return cost

    def improved(self, known: ReferenceTrajectory) -> ReferenceTrajectory:
        """The same ones further downhill: none has converged so far."""
        self.stages.stage(f"{len(known.cost)} optima, further")
        return sound(improve_optimum(self.problem, known, seconds=max(10.0, 0.3 * self.budget)))

    def doubled(self, known: ReferenceTrajectory) -> ReferenceTrajectory:
        """``known``, and as many more (CANDIDATES at least): half drawn, half where flights most exceed the promise."""
        count = min(max(len(known.cost), fewer(self.problem, CANDIDATES)), self.most - len(known.cost))
        self.stages.stage(f"{count} more optima")
        generator = torch.Generator().manual_seed(self.seed + 1_000 * len(self.history))
        z0 = drawn(self.problem, DRAWN + count, generator).double()
        with torch.no_grad():
            costs = member_costs(self.problem, expand_agents(self.problem, known), z0[count:])
            least, best = costs.min(-1)
            dearer = excess(least, self.value.promise(0.0, z0[count:], best))
        worst = z0[count:][dearer.topk(min(count // 2, DRAWN)).indices]
        chosen = torch.cat([worst, z0[: count - len(worst)]])
        most = max(10.0, 0.15 * self.budget)
        # other routes than the known ones are found from wild guesses, and spread by ``agreed``
        known = known.joined(solve_optimum(self.problem, chosen[-WILD:], starts=STARTS, seconds=0.3 * most))
        if count > WILD:
            known = known.joined(solve_optimum(self.problem, chosen[:-WILD], known=known, seconds=most))
        return sound(agreed(self.problem, known, most))

    @torch.no_grad()
    def _cost(self, controller: Controller, z0: Tensor) -> Tensor:
        return flown_by(self.problem, controller, z0).cost.nan_to_num(torch.inf, torch.inf)
