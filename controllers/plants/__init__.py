"""Other people's simulators to fly a controller in: MuJoCo, highway-env, CommonRoad."""

from .commonroad import CommonRoadBicycles
from .highway import HighwayBicycles
from .mujoco import MujocoQuadrotor, PlantMismatch
from .plant import Plant, simulate

__all__ = ["CommonRoadBicycles", "HighwayBicycles", "PlantMismatch", "MujocoQuadrotor", "Plant", "simulate"]
