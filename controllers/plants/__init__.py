"""Other people's simulators to fly a controller in: MuJoCo, Crazyflow, highway-env, CommonRoad."""

from .commonroad import CommonRoadBicycles
from .crazyflow import CrazyflowDrone
from .highway import HighwayBicycles
from .mujoco import MujocoQuadrotor, PlantMismatch
from .plant import BatchedPlant, Plant, simulate

__all__ = [
    "BatchedPlant",
    "CommonRoadBicycles",
    "CrazyflowDrone",
    "HighwayBicycles",
    "MujocoQuadrotor",
    "Plant",
    "PlantMismatch",
    "simulate",
]
