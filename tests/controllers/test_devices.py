"""No hot path makes a tensor on the host: shown without a GPU, by what is asked of torch."""

import traceback

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from pontryagin import (
    ImplicitPolicy,
    MultiBicycle,
    OptimalControlVectorEnv,
    Quadrotor,
    TrainConfig,
    ValueFunction,
    rollout,
    solve_optimum,
)
from pontryagin.controllers.optimum import AgentExpansion, expand_agents, rescue
from pontryagin.controllers.value import ExpandedValue, FlownValue
from pontryagin.envs.scattered import ScatteredBicycles
from pontryagin.training.loss import make_step, path_loss
from pontryagin.training.train import begin, iterate

CONSTRUCTORS = _device_constructors()
DRAWS = (
    "sample_initial_state",
    "_initial_states",
    "check_class",
    "seeds_of",
    "count_agents",
    "clip_gradient",
    "find_equilibrium",
)
"""What works on the host on purpose: drawing states, trying a class once, a seeded direction, a norm that was read,
a point of rest."""


class NoHostTensor(TorchFunctionMode):
    """Remembers where a tensor is made without saying on which device."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        moved = function is torch.as_tensor and isinstance(args[0], torch.Tensor)
        if function in CONSTRUCTORS and "device" not in kwargs and not moved:
            stack = [frame for frame in traceback.extract_stack() if "pontryagin/" in frame.filename]
            if not {frame.name for frame in stack} & set(DRAWS) and stack:
                last = stack[-1]
                self.found.add(f"{last.filename.rpartition('pontryagin/')[2]}:{last.lineno} {last.line}")
        return function(*args, **kwargs)


def missing(*_, **__):
    raise ImportError


PROBLEMS = {
    "quadrotor": Quadrotor(steps=3),
    "agents": MultiBicycle(3, targets=((4.0, 4.0), (4.5, 4.0), (4.0, 4.5)), steps=3),
    "alike": MultiBicycle(3, targets=(1.0, 1.0), steps=3),
}


def expanded(problem, flies=False):
    z0 = problem.sample_initial_state(3, torch.Generator().manual_seed(0)).double()
    with torch.random.fork_rng(devices=[]):
        optima = solve_optimum(problem, z0, max_iterations=4)
    known = expand_agents(problem, optima)
    return FlownValue(problem, known) if flies else ExpandedValue(problem, known, 4), z0


def test_the_mode_finds_one():
    from pontryagin.controllers.value import agents

    with NoHostTensor() as mode:
        agents.AgentTerms(1, 2, 3, 1, torch.Generator())
    assert any("agents.py" in line for line in mode.found)


@pytest.mark.parametrize("name", sorted(PROBLEMS))
@pytest.mark.filterwarnings("ignore")
def test_optimum_roll_out_and_iteration_make_nothing_on_the_host(name, monkeypatch):
    problem = PROBLEMS[name]
    monkeypatch.setattr(rescue, "solve_reference", missing)  # IPOPT is of the host, and asked last
    with NoHostTensor() as mode:
        value, z0 = expanded(problem)
    flying, _ = expanded(problem, flies=True)
    for held in (value, flying):
        policy = ImplicitPolicy(problem, held.double(), hamiltonian="held", max_iterations=2)
        with mode:
            rollout(problem, policy, z0)
    network = ValueFunction(problem, 8, seed=0, agent_width=4)
    for starts in ("single", "global"):
        policy = ImplicitPolicy(problem, network, max_iterations=2, starts=starts)
        with mode:
            rollout(problem, policy, z0.float())
    penalties = {"hjb_weight": 0.1, "bound_penalty": 0.1, "terminal_value_weight": 0.1, "terminal_gradient_weight": 0.1}
    for phi, config in (
        (network, TrainConfig(batch=3, adjoint_clip=5.0, argmax_iterations=1, **penalties)),
        (value.float(), TrainConfig(batch=3, hamiltonian="held", anchor="expansion", argmax_iterations=1)),
    ):
        progress = begin(problem, config, torch.device("cpu"), phi)
        step = make_step(problem, phi, config)
        with mode:
            iterate(problem, config, progress, step, 0.5, torch.device("cpu"))
    made = {line for line in mode.found if "__init__" not in line}
    assert not {line for line in made if not line.startswith(("controllers/value/agents", "controllers/value/roles"))}


def test_the_vector_environment_makes_nothing_on_the_host():
    environment = OptimalControlVectorEnv(PROBLEMS["agents"], 4)
    with NoHostTensor() as mode:
        environment.reset(seed=0)
        for _ in range(7):
            environment.step(environment.action_space.sample())
    assert not mode.found


def on_fake_cuda(module):
    """``Module.to("cuda")`` asks for a real driver even here, so each weight is made anew on the fake device."""
    for part in module.modules():
        for name, weight in list(part._parameters.items()):
            part._parameters[name] = torch.nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype, device="cuda"))
        for name, buffer in list(part._buffers.items()):
            part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    return module


@pytest.mark.parametrize(("name", "members"), [("quadrotor", 1), ("quadrotor", 3), ("agents", 3)])
def test_held_policies_and_their_training_step_follow_their_inputs_to_cuda(name, members, monkeypatch):
    """Under FakeTensor a tensor of the host would raise where it meets one of CUDA; who is alike takes the host.

    The sweep back through the step is left out: torch's own, it asks for a driver.
    """
    monkeypatch.setattr("pontryagin.controllers.held._pulled", lambda step, u: (step(u), lambda p: (u * p[1].sum(),)))
    problem = PROBLEMS[name]
    value = ExpandedValue(problem, AgentExpansion.blank(problem, members), 4)
    config = TrainConfig(hamiltonian="held", anchor="expansion", argmax_iterations=2)
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad():  # autograd asks for a CUDA stream
        on_fake_cuda(value)
        z0 = torch.zeros(4, problem.state_dim, device="cuda")
        policy = ImplicitPolicy(problem, value, hamiltonian="held", max_iterations=2)
        assert rollout(problem, policy, z0).cost.device.type == "cuda"
        loss = path_loss(problem, value, make_step(problem, value, config), z0, config)
        assert {x.device.type for x in loss} == {"cuda"}


@pytest.mark.parametrize("problem", [PROBLEMS["quadrotor"], ScatteredBicycles(3, steps=3)], ids=["quadrotor", "apart"])
def test_a_network_trains_on_fake_cuda(problem):
    value = ValueFunction(problem, 8, seed=0, agent_width=4)
    config = TrainConfig(argmax_iterations=2, hjb_weight=0.1, bound_penalty=0.1, starts="global", adjoint_clip=5.0)
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad():
        on_fake_cuda(value)
        z0 = torch.zeros(4, problem.state_dim, device="cuda")
        loss = path_loss(problem, value, make_step(problem, value, config), z0, config)
        assert {x.device.type for x in loss} == {"cuda"}
