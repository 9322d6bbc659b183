"""The feedback law u*(t, z) = argmax_u H(t, z, ∇phi_theta(t, z), u): a module, a controller, an SB3-shaped policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..envs.catalog import class_name, problem_class
from ..envs.problem import Problem, problem_parameters
from .adapter import actions, observed_rows
from .argmax import Solution, Starts, solve_argmax
from .hamiltonian import control_hamiltonian
from .operators import GradientAscent, Operator, ProjectedNewton
from .storage import read_store, write_store
from .value import Value, restore_value, restored_tensors, stored_tensors

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints"


class ImplicitPolicy(nn.Module):
    """The implicit controller: the costate is p = ∇_z phi(t, z), the control maximises the Hamiltonian.

    Args:
        problem: what is controlled.
        value: phi_theta.
        operator, max_iterations, tolerance, starts: of ``solve_argmax``; the derivative is ``gradient="jfb"``.
    """

    def __init__(
        self,
        problem: Problem,
        value: Value,
        operator: Operator | None = None,
        max_iterations: int = 10,
        tolerance: float = 1e-6,
        starts: Starts = "single",
    ) -> None:
        super().__init__()
        self.problem = problem
        self.value = value
        self.operator: Operator = ProjectedNewton() if operator is None else operator
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        self.starts: Starts = starts

    def solve(self, t: Tensor | float, z: Tensor, u0: Tensor | None = None, begins: Tensor | None = None) -> Solution:
        """The argmax with its residual and status, by sample; from ``u0`` but where ``begins``, ``(B,)``, is true."""
        _, p = self.value.gradient(t, z)
        if u0 is not None and begins is not None:
            u0 = torch.where(
                begins.reshape(-1, 1), control_hamiltonian(self.problem, torch.as_tensor(t), z, p).start(), u0
            )
        return solve_argmax(
            self.problem, t, z, p, operator=self.operator, u0=u0,
            max_iterations=self.max_iterations, tolerance=self.tolerance, starts=self.starts,
        )  # fmt: skip

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """u*(t, z), ``(B, m)``: a controller for ``rollout``; differentiable (JFB)."""
        return self.solve(t, z).control

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Stable-Baselines3's ``predict``: actions in [-1, 1] for observations (z, t).

        Args:
            observation: ``(n + 1,)`` or ``(B, n + 1)``.
            state: what the last call returned: the controls it found, from which the search goes on.
            episode_start: ``(B,)`` bool; where true, ``state`` is not used.
            deterministic: accepted for the interface; the policy always is.

        Returns:
            actions, ``(m,)`` or ``(B, m)`` float32, and the next ``state``.

        Raises:
            ValueError: on a wrong shape, or values that are not finite (naming the first bad sample).
        """
        rows = observed_rows(self.problem, observation)
        device = self.value.scale.device
        with torch.inference_mode():
            batch = torch.from_numpy(rows).to(device, self.value.scale.dtype)
            z, t = batch[:, :-1], batch[:, -1]
            start = None if state is None else torch.as_tensor(state[0], dtype=z.dtype, device=device)
            begins = None if episode_start is None else torch.as_tensor(episode_start, dtype=torch.bool, device=device)
            solution = self.solve(t, z, start, begins)
            action = actions(self.problem, solution.control, np.asarray(observation).shape)
        return action, (solution.control.cpu().numpy(),)

    def save(self, path: str | Path, notes: dict[str, Any] | None = None) -> Path:
        """Write ``path/policy.json`` and its weights, atomically; ``notes`` are plain data (command, figures)."""
        import pontryagin

        operator = {"name": type(self.operator).__name__, **vars(self.operator)}
        record = {
            "kind": "ImplicitPolicy",
            "versions": {"pontryagin": pontryagin.__version__, "torch": torch.__version__},
            "problem": {"class": class_name(type(self.problem)), "parameters": problem_parameters(self.problem)},
            "value": self.value.config,
            "argmax": {
                "operator": operator, "max_iterations": self.max_iterations, "tolerance": self.tolerance,
                "starts": self.starts,
            },
            "notes": notes or {},
        }  # fmt: skip
        write_store(path, "policy", stored_tensors(self.value), record)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", problem: Problem | None = None) -> ImplicitPolicy:
        """A policy from a folder, or a shipped one by name (``"quadrotor"``), without the network.

        Args:
            path: a folder that ``save`` wrote, or a shipped name. A folder in the current directory goes first.
            device: ``"auto"`` is CUDA where there is one.
            problem: needed for a problem of your own whose class has not been imported yet.

        Raises:
            ValueError: if nothing is there, or it is cut short, edited, or for another problem.
        """
        folder = Path(path)
        if not (folder / "policy.json").exists() and (SHIPPED / folder / "policy.json").exists():
            folder = SHIPPED / folder
        if not (folder / "policy.json").exists():
            shipped = sorted(p.parent.name for p in SHIPPED.glob("*/policy.json"))
            raise ValueError(f"no policy at {path!s} (no policy.json there); shipped policies: {shipped}")
        tensors, record = read_store(folder, "policy")
        if record.get("kind") != "ImplicitPolicy":
            raise ValueError(f"{folder} holds a {record.get('kind')!r}; expected an ImplicitPolicy")
        problem = _recorded_problem(record["problem"], problem, folder)
        value = restore_value(problem, record["value"])
        try:
            value.load_state_dict(restored_tensors(value, tensors))
        except RuntimeError as error:
            raise ValueError(f"{folder} does not fit {type(problem).__name__}: {error}") from None
        argmax = dict(record["argmax"])
        operator = argmax.pop("operator")
        kinds = {"ProjectedNewton": ProjectedNewton, "GradientAscent": GradientAscent}
        kind = kinds[operator.pop("name")]
        policy = cls(problem, value, kind(**operator), **argmax)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return policy.to(device)


def _recorded_problem(record: dict[str, Any], given: Problem | None, folder: Path) -> Problem:
    if given is not None:
        if class_name(type(given)) != record["class"] or problem_parameters(given) != record["parameters"]:
            raise ValueError(
                f"{folder} was trained for {record['class']} {record['parameters']}; "
                f"got {class_name(type(given))} {problem_parameters(given)}"
            )
        return given
    found = problem_class(record["class"])
    if found is None:
        raise ValueError(f"{folder} is for {record['class']}; import that class first, or pass problem=")
    parameters = {k: _tupled(v) for k, v in record["parameters"].items()}
    return found(**parameters)


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value
