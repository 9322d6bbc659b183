"""Other people's simulators to fly a controller in: MuJoCo, highway-env, CommonRoad."""

from .commonroad import CommonRoadBicycles
from .highway import HighwayBicycles
from .mujoco import Mismatch, MujocoQuadrotor
from .plant import Plant, fly

__all__ = ["CommonRoadBicycles", "HighwayBicycles", "Mismatch", "MujocoQuadrotor", "Plant", "fly"]
