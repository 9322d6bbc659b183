"""Feedback controllers derived from the model: u* = argmax_u H(t, z, ∇phi_theta(t, z), u), trained by JFB."""

from pontryagin.controllers.adapter import ControllerPolicy
from pontryagin.controllers.argmax import Solution, solve_argmax
from pontryagin.controllers.baselines import (
    AgentPolicy,
    DirectPolicy,
    ExplicitPolicy,
    LinearQuadraticRegulator,
    RecedingHorizon,
    TimeVaryingLQR,
)
from pontryagin.controllers.channel import Channel
from pontryagin.controllers.export import export_policy, load_runtime
from pontryagin.controllers.hamiltonian import hamiltonian
from pontryagin.controllers.held import HeldHamiltonian
from pontryagin.controllers.held_argmax import bellman_residual, solve_held_argmax
from pontryagin.controllers.implicit import ImplicitGradient
from pontryagin.controllers.observer import Observer
from pontryagin.controllers.operators import GradientAscent, ProjectedNewton
from pontryagin.controllers.optimum import (
    Certificate,
    certify,
    improve_optimum,
    known_reference,
    solve_optimum,
    solve_reference,
)
from pontryagin.controllers.plants import (
    BatchedPlant,
    CommonRoadBicycles,
    CrazyflowDrone,
    HighwayBicycles,
    MujocoQuadrotor,
    Plant,
    PlantMismatch,
    simulate,
)
from pontryagin.controllers.policy import ImplicitPolicy
from pontryagin.controllers.value import AnchoredValue, ExpandedValue, FlownValue, ValueFunction
from pontryagin.controllers.waypoints import Towards, Waypoints
from pontryagin.envs.bicycle import MultiBicycle
from pontryagin.envs.catalog import make_problem
from pontryagin.envs.consumption import Consumption
from pontryagin.envs.coupled import CoupledControls
from pontryagin.envs.crazyflie import Crazyflie
from pontryagin.envs.double_integrator import DoubleIntegrator
from pontryagin.envs.environment import OptimalControlEnv
from pontryagin.envs.free_time import FreeTime
from pontryagin.envs.integrate import Trajectory, rollout
from pontryagin.envs.parallel import as_parallel
from pontryagin.envs.penalty import Violation, penalty, violation
from pontryagin.envs.priced_rate import PricedRate
from pontryagin.envs.problem import Problem
from pontryagin.envs.quadrotor import Quadrotor
from pontryagin.envs.registration import register_environments
from pontryagin.envs.sb3 import as_sb3
from pontryagin.envs.swarm import Swarm
from pontryagin.envs.vector import OptimalControlVectorEnv
from pontryagin.training.checkpoint import History
from pontryagin.training.config import TrainConfig
from pontryagin.training.direct import train_direct
from pontryagin.training.evaluate import Evaluation, evaluate
from pontryagin.training.recipes import recipe
from pontryagin.training.solve import solve
from pontryagin.training.solved import Solved
from pontryagin.training.train import train

__version__ = "0.2.0"

__all__ = [
    "AgentPolicy",
    "AnchoredValue",
    "BatchedPlant",
    "Certificate",
    "Channel",
    "CommonRoadBicycles",
    "ControllerPolicy",
    "Consumption",
    "CoupledControls",
    "Crazyflie",
    "CrazyflowDrone",
    "DirectPolicy",
    "DoubleIntegrator",
    "Evaluation",
    "ExpandedValue",
    "FlownValue",
    "ExplicitPolicy",
    "FreeTime",
    "GradientAscent",
    "HeldHamiltonian",
    "HighwayBicycles",
    "History",
    "ImplicitGradient",
    "ImplicitPolicy",
    "LinearQuadraticRegulator",
    "PlantMismatch",
    "MujocoQuadrotor",
    "MultiBicycle",
    "OptimalControlEnv",
    "OptimalControlVectorEnv",
    "Plant",
    "PricedRate",
    "Problem",
    "Observer",
    "ProjectedNewton",
    "Quadrotor",
    "RecedingHorizon",
    "Solution",
    "Swarm",
    "TimeVaryingLQR",
    "TrainConfig",
    "Towards",
    "Trajectory",
    "ValueFunction",
    "Violation",
    "Waypoints",
    "as_parallel",
    "as_sb3",
    "bellman_residual",
    "certify",
    "evaluate",
    "export_policy",
    "simulate",
    "hamiltonian",
    "known_reference",
    "load_runtime",
    "make_problem",
    "penalty",
    "recipe",
    "rollout",
    "Solved",
    "solve",
    "solve_argmax",
    "solve_held_argmax",
    "improve_optimum",
    "solve_optimum",
    "solve_reference",
    "train",
    "train_direct",
    "violation",
]

register_environments()
