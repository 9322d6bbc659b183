"""Rules that keep the door to the GPU open, tested without one."""

import functools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import pontryagin
from pontryagin import GradientAscent, ProjectedNewton, Quadrotor, ValueFunction, rollout, solve_argmax
from pontryagin.envs import compiling
from pontryagin.envs.boundary import transition


class NoHostRead(TorchDispatchMode):
    """Raises where a value would travel from the device to the host."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default):
            raise AssertionError("a value was read on the host in the hot path")
        return function(*args, **(kwargs or {}))


def test_the_mode_catches_a_read():
    with NoHostRead(), pytest.raises(AssertionError):
        float(torch.ones(()))


@pytest.mark.parametrize("gradient", ["jfb", "implicit", "unroll"])
@pytest.mark.parametrize("operator", [ProjectedNewton(), GradientAscent(0.01)])
def test_no_value_is_read_on_the_host(operator, gradient):
    problem = Quadrotor(steps=3)
    value = ValueFunction(problem, 8, seed=0)

    def controller(t, z):
        _, p = value.gradient(t, z)
        return solve_argmax(problem, t, z, p, operator=operator, gradient=gradient, max_iterations=3).control

    z0 = problem.sample_initial_state(4)
    with NoHostRead():
        rollout(problem, controller, z0).cost.mean().backward()
    assert all(w.grad is not None for name, w in value.named_parameters() if name != "constant")


def test_a_policy_checks_its_questions_without_reading_them(policy):
    z0 = policy.problem.sample_initial_state(4)
    with NoHostRead():
        rollout(policy.problem, policy, z0).cost.mean().backward()


def test_derived_hamiltonian_reads_nothing(pendulum):
    z = pendulum.sample_initial_state(4)
    p = torch.randn(4, 2, requires_grad=True)
    with NoHostRead():
        solve_argmax(pendulum, 0.0, z, p).control.sum().backward()


def test_every_tensor_follows_its_inputs_to_cuda():
    """Under FakeTensor a tensor created on the CPU in the hot path would raise where it meets a CUDA one."""
    problem = Quadrotor(steps=3)
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad():  # autograd asks for a CUDA stream
        # Module.to("cuda") asks for a real driver even here, so each weight is made anew on the fake device.
        value = ValueFunction(problem, 8, seed=0)
        for module in value.modules():
            for name, weight in list(module._parameters.items()):
                module._parameters[name] = torch.nn.Parameter(torch.empty(weight.shape, device="cuda"))
        value.scale = torch.empty(value.scale.shape, device="cuda")
        policy = pontryagin.ImplicitPolicy(problem, value)
        z0 = torch.zeros(4, 12, device="cuda")
        path = rollout(problem, policy, z0)
        assert path.cost.device.type == path.u.device.type == "cuda"
        index = torch.zeros(4, dtype=torch.int64, device="cuda")
        step = transition(problem, index, z0, torch.zeros(4, 4, device="cuda"))
        assert {x.device.type for x in step} == {"cuda"}


@pytest.mark.parametrize("operator", [ProjectedNewton(), GradientAscent(0.1), GradientAscent(0.1, memory=2)])
def test_the_step_compiles_whole(pendulum, operator):
    value = ValueFunction(pendulum, 8, seed=0)

    def step(t, z):
        _, p = value.gradient(t, z)
        return solve_argmax(pendulum, t, z, p, operator=operator, max_iterations=2).control

    z = pendulum.sample_initial_state(4, torch.Generator().manual_seed(0))
    t = torch.tensor(0.2)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")(t, z)
    torch.testing.assert_close(compiled, step(t, z))
    compiled.sum().backward()
    assert value.opening.grad.isfinite().all()


def test_many_steps_compile_in_one_process(monkeypatch):
    """torch gives up on the ninth compilation of one code object; each of our steps has its own."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    monkeypatch.setattr(compiling, "compiler_at_hand", lambda: True)

    def make(k):
        def step(x: torch.Tensor) -> torch.Tensor:
            return x * k

        return compiling.compiled(step, torch.device("cpu"))

    for k in range(12):
        assert make(k)(torch.ones(2)).tolist() == [k, k]
